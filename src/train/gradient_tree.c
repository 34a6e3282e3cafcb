// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/gradient_tree.h"

#include <string.h>

#include "dpo/base/memory.h"

/*
 * Invariant: n_added shards of the n_shards are in; level l holds a sum of 2^l shards if bit l of n_added
 * is set, those of the highest bit being the first ones.
 */
struct dpo_gradient_tree {
    int64_t n, n_shards, n_added;
    float *levels; /* owned, [log2 n_shards, n] */
};

static int64_t n_levels(int64_t n_shards)
{
    int64_t n = 0;

    while ((int64_t)1 << n < n_shards)
        n++;
    return n;
}

int64_t dpo_gradient_tree_bytes(int64_t n, int64_t n_shards)
{
    return n_levels(n_shards) * n * (int64_t)sizeof(float);
}

dpo_status dpo_gradient_tree_create(int64_t n, int64_t n_shards, dpo_gradient_tree **tree)
{
    DPO_ASSERT(n >= 0 && n_shards > 0 && (n_shards & (n_shards - 1)) == 0);
    DPO_TRY(DPO_NEW(*tree, 1));
    **tree = (dpo_gradient_tree){.n = n, .n_shards = n_shards};
    dpo_status status = DPO_NEW((*tree)->levels, n_levels(n_shards) * n);

    if (status != DPO_OK) dpo_gradient_tree_destroy(tree);
    return status;
}

void dpo_gradient_tree_destroy(dpo_gradient_tree **tree)
{
    if (*tree == NULL) return;
    dpo_free((*tree)->levels);
    dpo_free(*tree);
    *tree = NULL;
}

static void add(int64_t n, const float *restrict earlier, float *restrict later)
{
    for (int64_t i = 0; i < n; i++)
        later[i] = earlier[i] + later[i];
}

void dpo_gradient_tree_add(dpo_gradient_tree *tree, float *gradient)
{
    int64_t level = 0;

    for (; tree->n_added >> level & 1; level++)
        add(tree->n, tree->levels + level * tree->n, gradient);
    tree->n_added++;
    if (tree->n_added == tree->n_shards)
        tree->n_added = 0;
    else
        memcpy(tree->levels + level * tree->n, gradient, (size_t)tree->n * sizeof *gradient);
}
