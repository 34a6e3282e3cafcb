// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <string.h>

/* Items at a time: a few blocks stay in the first-level cache, one a level of the tree. */
enum { BLOCK = 512 };

static void add_two(int n, const float *a, const float *b, float *restrict sum)
{
    for (int i = 0; i < n; i++)
        sum[i] = a[i] + b[i];
}

static void add_to(int n, const float *restrict addend, float *restrict sum)
{
    for (int i = 0; i < n; i++)
        sum[i] += addend[i];
}

static int largest_power_below(int n)
{
    int power = 1;

    while (2 * power < n)
        power *= 2;
    return power;
}

/* NOLINTBEGIN(misc-no-recursion): as deep as the logarithm of the number of ranks. */
/* sum [n] = the tree of the items [at, at + n) of n_sources > 1 vectors. */
static void sum_block(int n_sources, const float *const *source, int64_t at, int n, float *sum)
{
    float right[BLOCK];
    int n_left = largest_power_below(n_sources);

    if (n_sources == 2) {
        add_two(n, source[0] + at, source[1] + at, sum);
        return;
    }
    sum_block(n_left, source, at, n, sum);
    if (n_sources - n_left == 1) {
        add_to(n, source[n_left] + at, sum);
        return;
    }
    sum_block(n_sources - n_left, source + n_left, at, n, right);
    add_to(n, right, sum);
}
/* NOLINTEND(misc-no-recursion) */

void dpo_tree_sum_f32(int n_sources, const float *const *source, int64_t n, bool add, float *out)
{
    float sum[BLOCK];

    for (int64_t at = 0; at < n; at += BLOCK) {
        int count = n - at < BLOCK ? (int)(n - at) : BLOCK;
        size_t bytes = (size_t)count * sizeof *sum;

        if (n_sources == 1)
            memcpy(sum, source[0] + at, bytes);
        else
            sum_block(n_sources, source, at, count, sum);
        if (add)
            add_to(count, sum, out + at);
        else
            memcpy(out + at, sum, bytes);
    }
}
