// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_TREE_H
#define DPO_COMM_TREE_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Sums vectors along a fixed binary tree:
 *
 *     tree(lo, hi) = tree(lo, mid) + tree(mid, hi),   mid = lo + the largest power of two below hi - lo
 *
 * so that a vector which is itself a tree sum of a power of two of vectors may take their place.
 *
 * \local
 * \param[in]     n_sources  > 0.
 * \param[in]     source     [n_sources] vectors, f32 [n].
 * \param[in]     n          >= 0.
 * \param[in]     add        Whether the sum is added to out or replaces it.
 * \param[in,out] out        f32 [n]; may be one of the sources.
 */
void dpo_tree_sum_f32(int n_sources, const float *const *source, int64_t n, bool add, float *out);

#endif
