// SPDX-License-Identifier: Apache-2.0
#ifndef TREE_REFERENCE_H
#define TREE_REFERENCE_H

#include <stdint.h>

/* Addend of a rank: of many magnitudes, so that another order of additions gives other bits. */
static inline float addend_of(int rank, int64_t i)
{
    uint64_t x = ((uint64_t)i * 31 + (uint64_t)rank + 1) * 0x9E3779B97F4A7C15u;

    x ^= x >> 29;
    x *= 0xBF58476D1CE4E5B9u;
    x ^= x >> 32;
    float scale = (float)(1u << (x & 15u));

    return ((float)(x >> 40) * 0x1p-24f - 0.5f) * scale;
}

/* The sum of item i over ranks [lo, hi), as the headers of comm define it. */
static inline float tree_of(int lo, int hi, int64_t i)
{
    int half = 1;

    if (hi - lo == 1) return addend_of(lo, i);
    while (2 * half < hi - lo)
        half *= 2;
    return tree_of(lo, lo + half, i) + tree_of(lo + half, hi, i);
}

#endif
