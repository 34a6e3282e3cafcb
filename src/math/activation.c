// SPDX-License-Identifier: Apache-2.0
/* Rows of the gated activation dealt to threads; the formulas are in kernels/elementwise.c. */
#include "dpo/math/activation.h"

#include "dpo/base/phase.h"
#include "kernels/kernels.h"

enum { PARALLEL_FROM = 1 << 13 };

void dpo_swiglu_forward(int64_t n_tokens, int64_t d_ff, const float *gate_up, float *y)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_ACTIVATION);
#pragma omp parallel for schedule(static) if (n_tokens * d_ff >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++) {
        const float *gate = gate_up + n * 2 * d_ff;

        kernels->swiglu_forward(d_ff, gate, gate + d_ff, y + n * d_ff);
    }
    dpo_phase_end(DPO_PHASE_ACTIVATION);
}

void dpo_swiglu_backward(int64_t n_tokens, int64_t d_ff, const float *gate_up, const float *dy,
                         float *dgate_up)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_ACTIVATION);
#pragma omp parallel for schedule(static) if (n_tokens * d_ff >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++) {
        const float *gate = gate_up + n * 2 * d_ff;
        float *dgate = dgate_up + n * 2 * d_ff;

        kernels->swiglu_backward(d_ff, gate, gate + d_ff, dy + n * d_ff, dgate, dgate + d_ff);
    }
    dpo_phase_end(DPO_PHASE_ACTIVATION);
}
