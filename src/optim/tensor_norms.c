// SPDX-License-Identifier: Apache-2.0
#include "tensor_norms.h"

#include <math.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"

static dpo_status allocate(int64_t n_rows, dpo_tensor_norms **norms)
{
    DPO_TRY(DPO_NEW(*norms, 1));
    (*norms)->n_rows = n_rows;
    DPO_TRY(DPO_NEW((*norms)->pair, n_rows));
    return DPO_NEW((*norms)->ratio, n_rows);
}

dpo_status dpo_tensor_norms_create(const dpo_grid *grid, int64_t n_rows, dpo_tensor_norms **norms)
{
    return dpo_agree(grid, allocate(n_rows, norms));
}

void dpo_tensor_norms_destroy(dpo_tensor_norms **norms)
{
    if (*norms == NULL) return;
    dpo_free((*norms)->pair);
    dpo_free((*norms)->ratio);
    dpo_free(*norms);
    *norms = NULL;
}

void dpo_tensor_norms_begin(dpo_tensor_norms *norms)
{
    memset(norms->pair, 0, (size_t)norms->n_rows * sizeof *norms->pair);
}

void dpo_norm_pair_add(const dpo_parameter *row, int which, dpo_range range, const float *values,
                       dpo_norm_pair *pair)
{
    dpo_range counted = dpo_range_intersect(range, dpo_parameter_counted(row));

    dpo_add_squares(counted, values + (counted.begin - range.begin), &pair->sum[which]);
}

void dpo_tensor_norms_add(dpo_tensor_norms *norms, int64_t row, const dpo_norm_pair *pair)
{
#pragma omp critical(dpo_tensor_norms_add)
    for (int which = 0; which < 2; which++)
        dpo_add_exact(&pair->sum[which], &norms->pair[row].sum[which]);
}

void dpo_tensor_norms_end(dpo_tensor_norms *norms, const dpo_grid *grid)
{
    dpo_sum_i64(grid, DPO_WORLD, norms->n_rows * 2 * DPO_EXACT_SUM_LIMBS,
                norms->pair[0].sum[0].limb);
}

double dpo_tensor_norms_of(const dpo_tensor_norms *norms, int64_t row, int which)
{
    return sqrt(dpo_exact_sum_value(&norms->pair[row].sum[which]));
}
