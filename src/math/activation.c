// SPDX-License-Identifier: Apache-2.0
/* Rows of the gated activation dealt to threads; the formulas are in kernels/elementwise.c. */
#include "dpo/math/activation.h"

#include "dpo/base/phase.h"
#include "element_rows.h"

enum { PARALLEL_FROM = 1 << 13, PIECE = 512 };

/* One row's arrays, and the widths of gate and of up. */
typedef struct {
    const dpo_kernels *kernels;
    dpo_element element;
    int64_t d_ff;
} row_shape;

static void forward_row(const row_shape *shape, const void *gate_up, void *y)
{
    const dpo_kernels *kernels = shape->kernels;
    float gates[PIECE], ups[PIECE], results[PIECE];
    int64_t step = shape->element == DPO_F32 ? shape->d_ff : PIECE;

    for (int64_t i = 0; i < shape->d_ff; i += step) {
        int64_t n = i + step < shape->d_ff ? step : shape->d_ff - i;
        const float *gate = dpo_read_elements(kernels, shape->element, gate_up, i, n, gates);
        const float *up =
            dpo_read_elements(kernels, shape->element, gate_up, shape->d_ff + i, n, ups);
        float *result = dpo_begin_elements(shape->element, y, i, results);

        kernels->swiglu_forward(n, gate, up, result);
        dpo_end_elements(kernels, shape->element, y, i, n, result);
    }
}

static void backward_row(const row_shape *shape, const void *gate_up, const void *dy,
                         void *dgate_up)
{
    const dpo_kernels *kernels = shape->kernels;
    float gates[PIECE], ups[PIECE], dys[PIECE];
    int64_t step = shape->element == DPO_F32 ? shape->d_ff : PIECE;

    for (int64_t i = 0; i < shape->d_ff; i += step) {
        int64_t n = i + step < shape->d_ff ? step : shape->d_ff - i, j = shape->d_ff + i;
        const float *gate = dpo_read_elements(kernels, shape->element, gate_up, i, n, gates);
        const float *up = dpo_read_elements(kernels, shape->element, gate_up, j, n, ups);
        const float *slope = dpo_read_elements(kernels, shape->element, dy, i, n, dys);
        float *dgate = dpo_begin_elements(shape->element, dgate_up, i, gates);
        float *dup = dpo_begin_elements(shape->element, dgate_up, j, ups);

        kernels->swiglu_backward(n, gate, up, slope, dgate, dup);
        dpo_end_elements(kernels, shape->element, dgate_up, i, n, dgate);
        dpo_end_elements(kernels, shape->element, dgate_up, j, n, dup);
    }
}

void dpo_swiglu_forward(dpo_element element, int64_t n_tokens, int64_t d_ff, int64_t stride,
                        const void *gate_up, void *y)
{
    const row_shape shape = {dpo_kernels_get(), element, d_ff};

    dpo_phase_begin(DPO_PHASE_ACTIVATION);
#pragma omp parallel for schedule(static) if (n_tokens * d_ff >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++)
        forward_row(&shape, dpo_const_at(element, gate_up, n * stride),
                    dpo_at(element, y, n * d_ff));
    dpo_phase_end(DPO_PHASE_ACTIVATION);
}

void dpo_swiglu_backward(dpo_element element, int64_t n_tokens, int64_t d_ff, int64_t stride,
                         const void *gate_up, const void *dy, void *dgate_up)
{
    const row_shape shape = {dpo_kernels_get(), element, d_ff};

    dpo_phase_begin(DPO_PHASE_ACTIVATION);
#pragma omp parallel for schedule(static) if (n_tokens * d_ff >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++)
        backward_row(&shape, dpo_const_at(element, gate_up, n * stride),
                     dpo_const_at(element, dy, n * d_ff), dpo_at(element, dgate_up, n * stride));
    dpo_phase_end(DPO_PHASE_ACTIVATION);
}
