// SPDX-License-Identifier: Apache-2.0
#ifndef TENSOR_NORMS_H
#define TENSOR_NORMS_H

#include "dpo/base/exact_sum.h"
#include "optimizer_private.h"

enum { DPO_NORM_OF_WEIGHT, DPO_NORM_OF_UPDATE };

/* Two sums of one tensor. */
typedef struct {
    dpo_exact_sum sum[2]; /* DPO_NORM_OF_... */
} dpo_norm_pair;

/*
 * Two norms of every tensor, of the whole of it: weight and update. Sums of squares are exact over all
 * ranks, so that norms have the same bits for every division among data-parallel ranks.
 */
struct dpo_tensor_norms {
    int64_t n_rows;
    dpo_norm_pair *pair; /* owned, [n_rows] */
    double *ratio;       /* owned, [n_rows] for the method's use */
};

/* \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status dpo_tensor_norms_create(const dpo_grid *grid, int64_t n_rows,
                                                  dpo_tensor_norms **norms);
void dpo_tensor_norms_destroy(dpo_tensor_norms **norms);

/* All sums are empty. */
void dpo_tensor_norms_begin(dpo_tensor_norms *norms);

/* Adds what this rank counts of a part of a tensor: values are the items of range. */
void dpo_norm_pair_add(const dpo_parameter *row, int which, dpo_range range, const float *values,
                       dpo_norm_pair *pair);

/* Adds a pair to a tensor's; threads may do so at the same time. */
void dpo_tensor_norms_add(dpo_tensor_norms *norms, int64_t row, const dpo_norm_pair *pair);

/* Adds up over all ranks. \collective{all ranks of the grid} */
void dpo_tensor_norms_end(dpo_tensor_norms *norms, const dpo_grid *grid);

/* Norm of a whole tensor. */
double dpo_tensor_norms_of(const dpo_tensor_norms *norms, int64_t row, int which);

#endif
