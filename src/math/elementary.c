// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/elementary.h"

#include <string.h>

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

void dpo_narrow_run(int64_t n, const float *x, uint16_t *y)
{
    enum { PIECE = 1 << 12 };
    const dpo_kernels *kernels = dpo_kernels_get();

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += PIECE)
        kernels->narrow(n - i < PIECE ? n - i : PIECE, x + i, y + i);
}

void dpo_widen_run(dpo_element element, int64_t n, const void *x, float *y)
{
    if (element == DPO_F32)
        memcpy(y, x, (size_t)n * sizeof *y);
    else
        dpo_kernels_get()->widen(n, x, y);
}
