// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/machine.h"

#include "dpo/comm/collective.h"
#include "dpo/math/peak.h"

/* The sum over the ranks of what each found, if all did. */
static dpo_status add_up(const dpo_grid *grid, dpo_status status, double *speed)
{
    DPO_TRY(dpo_agree(grid, status));
    dpo_sum_f64(grid, DPO_WORLD, 1, speed);
    return DPO_OK;
}

dpo_status dpo_machine_matmul(const dpo_grid *grid, dpo_element compute, double budget_s,
                              double *flops_per_s)
{
    *flops_per_s = 0.0;
    dpo_barrier(grid, DPO_WORLD);
    return add_up(grid, dpo_peak_matmul(compute, budget_s, flops_per_s), flops_per_s);
}

dpo_status dpo_machine_memory(const dpo_grid *grid, double budget_s, double *bytes_per_s)
{
    *bytes_per_s = 0.0;
    dpo_barrier(grid, DPO_WORLD);
    return add_up(grid, dpo_peak_memory(budget_s, bytes_per_s), bytes_per_s);
}
