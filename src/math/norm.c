// SPDX-License-Identifier: Apache-2.0
/* Rows and columns of the RMSNorm dealt to threads; the formulas are in kernels/norm.c. */
#include "dpo/math/norm.h"

#include "dpo/base/phase.h"
#include "kernels/kernels.h"

enum { COLUMNS = 32, PARALLEL_FROM = 1 << 14 };

void dpo_rms_norm_forward(int64_t n_tokens, int64_t d_model, double eps, const float *x,
                          const float *weight, float *y, float *rstd)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_NORM);
#pragma omp parallel for schedule(static) if (n_tokens * d_model >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++)
        rstd[n] = kernels->rms_norm_forward(d_model, eps, x + n * d_model, weight, y + n * d_model);
    dpo_phase_end(DPO_PHASE_NORM);
}

/* dweight goes by columns, so that each of its elements has one thread and one order of sums. */
void dpo_rms_norm_backward(int64_t n_tokens, int64_t d_model, const float *x, const float *weight,
                           const float *rstd, const float *dy, float *dx, float *dweight)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_NORM);
#pragma omp parallel if (n_tokens * d_model >= PARALLEL_FROM)
    {
#pragma omp for schedule(static) nowait
        for (int64_t n = 0; n < n_tokens; n++)
            kernels->rms_norm_backward(d_model, x + n * d_model, weight, rstd[n], dy + n * d_model,
                                       dx + n * d_model);
#pragma omp for schedule(static)
        for (int64_t d = 0; d < d_model; d += COLUMNS)
            kernels->rms_norm_dweight(n_tokens, d_model,
                                      d + COLUMNS < d_model ? COLUMNS : d_model - d, x + d, rstd,
                                      dy + d, dweight + d);
    }
    dpo_phase_end(DPO_PHASE_NORM);
}
