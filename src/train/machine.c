// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/machine.h"

#include "dpo/comm/collective.h"
#include "dpo/math/peak.h"

static dpo_status measure(const dpo_grid *grid, dpo_status (*peak)(double, double *),
                          double budget_s, double *sum)
{
    *sum = 0.0;
    dpo_barrier(grid, DPO_WORLD);
    DPO_TRY(dpo_agree(grid, peak(budget_s, sum)));
    dpo_sum_f64(grid, DPO_WORLD, 1, sum);
    return DPO_OK;
}

dpo_status dpo_machine_matmul(const dpo_grid *grid, double budget_s, double *flops_per_s)
{
    return measure(grid, dpo_peak_matmul, budget_s, flops_per_s);
}

dpo_status dpo_machine_memory(const dpo_grid *grid, double budget_s, double *bytes_per_s)
{
    return measure(grid, dpo_peak_memory, budget_s, bytes_per_s);
}
