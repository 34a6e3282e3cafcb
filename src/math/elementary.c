// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/elementary.h"

#include "kernels/kernels.h"

void dpo_exp_run(int64_t n, const float *x, float *y)
{
    dpo_kernels_get()->exp_run(n, x, y);
}

void dpo_sigmoid_run(int64_t n, const float *x, float *y)
{
    dpo_kernels_get()->sigmoid_run(n, x, y);
}

void dpo_fill_run(int64_t n, float value, float *y)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        y[i] = value;
}
