// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_GRADIENT_TREE_H
#define DPO_TRAIN_GRADIENT_TREE_H

/**
 * \file
 * The sum of a rank's shards along a binary tree, for reproducible runs:
 *
 *     shards       g0   g1   g2   g3    g4   g5   g6   g7
 *     two ranks    ((g0 + g1) + (g2 + g3))  ((g4 + g5) + (g6 + g7))
 *     buckets.h                          \  /
 *                                         +
 *
 * One rank with all shards, two with half of them, ... add the same numbers in the same order. A rank
 * that has k shards keeps log2(k) partial sums as long as a gradient.
 */

#include <stdint.h>

#include "dpo/base/status.h"

/** Partial sums; opaque. */
typedef struct dpo_gradient_tree dpo_gradient_tree;

/**
 * Makes room for partial sums.
 *
 * \local
 * \param[in]  n         Length of a gradient, >= 0.
 * \param[in]  n_shards  Gradients that are added, a power of two.
 * \param[out] tree      Owned by the caller, for dpo_gradient_tree_destroy(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_gradient_tree_create(int64_t n, int64_t n_shards,
                                                   dpo_gradient_tree **tree);

/** Frees a tree and clears the handle; NULL is left alone. \local */
void dpo_gradient_tree_destroy(dpo_gradient_tree **tree);

/** Memory of a tree, bytes. \local */
int64_t dpo_gradient_tree_bytes(int64_t n, int64_t n_shards);

/**
 * Adds the gradient of the next shard. After n_shards of them the tree is empty again.
 *
 * \local
 * \param[in,out] tree      The tree.
 * \param[in,out] gradient  f32 [n]; the last shard's becomes the sum of all, the others' are used up.
 */
void dpo_gradient_tree_add(dpo_gradient_tree *tree, float *gradient);

#endif
