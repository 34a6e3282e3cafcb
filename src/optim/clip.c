// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/clip.h"

#include <math.h>

#include "dpo/comm/collective.h"
#include "pieces.h"

void dpo_clip_add_squares(const dpo_parameters *parameters, const dpo_shard *shard,
                          const float *gradients, dpo_exact_sum *sum)
{
    int64_t first = 0;

    for (int64_t i = 0; i < shard->n_ranges; i++) {
        dpo_range range = shard->range[i];

        while (dpo_range_of_row(&parameters->row[first]).end <= range.begin)
            first++;
        for (int64_t r = first; r < parameters->n_rows && parameters->row[r].offset < range.end;
             r++) {
            dpo_range counted =
                dpo_range_intersect(range, dpo_parameter_counted(&parameters->row[r]));

            dpo_add_squares(counted, gradients + counted.begin, sum);
        }
    }
}

double dpo_clip_norm(const dpo_grid *grid, const dpo_exact_sum *sum)
{
    dpo_exact_sum whole = *sum;

    dpo_sum_i64(grid, DPO_WORLD, DPO_EXACT_SUM_LIMBS, whole.limb);
    return sqrt(dpo_exact_sum_value(&whole));
}

double dpo_clip_coefficient(double norm, double clip)
{
    const double torch_eps = 1e-6;
    double coefficient = clip / (norm + torch_eps);

    return clip == 0.0 || coefficient > 1.0 ? 1.0 : coefficient;
}
