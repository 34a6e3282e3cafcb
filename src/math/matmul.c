// SPDX-License-Identifier: Apache-2.0
/*
 * y = x W^T; dx = dy W; dW += dy^T x.   N tokens, I d_in, O d_out; x [N, I], W [O, I], y [N, O].
 *
 * Where elements are of the type that products take, a product goes over all rows at once. Else rows are
 * converted on their way into and out of it, a strip at a time, so that what is converted stays in cache.
 */
#include "dpo/math/matmul.h"

#include <stdio.h>

#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "dpo/base/range.h"
#include "element_rows.h"
#include "onednn.h"

enum { STRIP_ROWS = 1024 };

struct dpo_matmul {
    dpo_matmul_shape shape;            /* its name is not kept */
    int64_t strip;                     /* rows of a product */
    void *x_staging, *y_staging;       /* [strip, I], [strip, O] */
    int forward_phase, backward_phase; /* base/phase.h */
};

/* x or y of a run: rows of `width` elements and where converted ones go, which lie one behind the other. */
typedef struct {
    dpo_element element;
    int64_t width, stride;
    void *staging;
} side;

static side x_side(const dpo_matmul *matmul)
{
    const dpo_matmul_shape *shape = &matmul->shape;

    return (side){shape->x, shape->d_in, shape->d_in, matmul->x_staging};
}

static side y_side(const dpo_matmul *matmul)
{
    const dpo_matmul_shape *shape = &matmul->shape;

    return (side){shape->y, shape->d_out, shape->y_stride, matmul->y_staging};
}

/* Rows whole pages apart lie in the same few sets of the caches; 16 elements more take products over them 2 to
   9 % less time. */
int64_t dpo_matmul_fast_stride(dpo_element element, int64_t width)
{
    enum { PAGE_BYTES = 4096, APART = 16 };

    return width * dpo_element_bytes(element) % PAGE_BYTES == 0 ? width + APART : width;
}

static bool is_converted(const dpo_matmul_shape *shape)
{
    return shape->x != DPO_F32 || shape->y != DPO_F32 || shape->compute != DPO_F32;
}

static int64_t strip_rows(const dpo_matmul_shape *shape)
{
    if (!is_converted(shape) || shape->max_tokens < STRIP_ROWS) return shape->max_tokens;
    return STRIP_ROWS;
}

int64_t dpo_matmul_staging_bytes(const dpo_matmul_shape *shape)
{
    if (!is_converted(shape)) return 0;
    return strip_rows(shape) * (shape->d_in + shape->d_out) * (int64_t)sizeof(float);
}

static int find_phase(const char *name, const char *direction)
{
    char text[DPO_PHASE_NAME_BYTES];

    (void)snprintf(text, sizeof text, "linear %s %s", name, direction);
    return dpo_phase_named(text);
}

dpo_status dpo_matmul_create(const dpo_matmul_shape *shape, void *staging, dpo_matmul **matmul)
{
    DPO_ASSERT(shape->d_in > 0 && shape->d_out > 0 && shape->max_tokens > 0);
    DPO_ASSERT(shape->compute == DPO_F32 || dpo_onednn_multiplies_bf16());
    DPO_ASSERT(shape->y_stride == 0 || shape->y_stride >= shape->d_out);
    int64_t strip = strip_rows(shape);

    DPO_TRY(DPO_NEW(*matmul, 1));
    **matmul = (dpo_matmul){.shape = *shape,
                            .strip = strip,
                            .x_staging = staging,
                            .forward_phase = find_phase(shape->name, "forward"),
                            .backward_phase = find_phase(shape->name, "backward")};
    (*matmul)->shape.name = NULL;
    if (shape->y_stride == 0) (*matmul)->shape.y_stride = shape->d_out;
    if (is_converted(shape)) (*matmul)->y_staging = (float *)staging + strip * shape->d_in;
    return DPO_OK;
}

void dpo_matmul_destroy(dpo_matmul **matmul)
{
    dpo_free(*matmul);
    *matmul = NULL;
}

static void begin(const dpo_matmul *matmul, int phase, int64_t n_tokens)
{
    const dpo_matmul_shape *shape = &matmul->shape;

    DPO_ASSERT(n_tokens >= 0 && n_tokens <= shape->max_tokens);
    dpo_phase_begin(phase);
    dpo_phase_add_flops(phase, 2.0 * (double)n_tokens * (double)shape->d_in * (double)shape->d_out);
}

/* The rows of a strip, as the products read them. */
static dpo_matrix read_rows(const dpo_matmul *matmul, side from, dpo_range rows, const void *array,
                            int transposed)
{
    const dpo_kernels *kernels = dpo_kernels_get();
    const void *first = dpo_const_at(from.element, array, rows.begin * from.stride);
    dpo_element compute = matmul->shape.compute;

    if (from.element == compute) return (dpo_matrix){first, from.stride, transposed};
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < dpo_range_length(rows); r++) {
        const void *row = dpo_const_at(from.element, first, r * from.stride);

        dpo_copy_elements(kernels, from.width, from.element, row, compute,
                          dpo_at(compute, from.staging, r * from.width));
    }
    return (dpo_matrix){from.staging, from.width, transposed};
}

/* Behind a product into the staging memory. */
static void write_rows(side to, dpo_range rows, void *array)
{
    const dpo_kernels *kernels = dpo_kernels_get();
    uint16_t *first = (uint16_t *)array + rows.begin * to.stride;

    if (to.element == DPO_F32) return;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < dpo_range_length(rows); r++)
        kernels->narrow(to.width, (const float *)to.staging + r * to.width, first + r * to.stride);
}

/* to (=|+=) from W or from W^T. */
static void multiply_by_weight(const dpo_matmul *matmul, int64_t n_tokens, side from,
                               const void *in, side to, dpo_matrix weight, dpo_output output,
                               void *out)
{
    DPO_ASSERT(output == DPO_ASSIGN || to.element == DPO_F32);
    for (int64_t at = 0; at < n_tokens; at += matmul->strip) {
        dpo_range rows = {at, at + matmul->strip < n_tokens ? at + matmul->strip : n_tokens};
        dpo_matrix a = read_rows(matmul, from, rows, in, 0);
        bool is_direct = to.element == DPO_F32;
        float *c = is_direct ? (float *)out + at * to.stride : to.staging;

        dpo_gemm((dpo_product){matmul->shape.compute, dpo_range_length(rows), to.width, from.width,
                               is_direct ? to.stride : to.width},
                 a, weight, output == DPO_ADD ? 1.0f : 0.0f, c);
        write_rows(to, rows, out);
    }
}

static dpo_matrix weight_matrix(const dpo_matmul *matmul, dpo_weight weight, int transposed)
{
    bool is_f32 = matmul->shape.compute == DPO_F32;

    return (dpo_matrix){is_f32 ? (const void *)weight.f32 : weight.bf16, matmul->shape.d_in,
                        transposed};
}

void dpo_matmul_forward(dpo_matmul *matmul, int64_t n_tokens, const void *x, dpo_weight weight,
                        dpo_output output, void *y)
{
    begin(matmul, matmul->forward_phase, n_tokens);
    multiply_by_weight(matmul, n_tokens, x_side(matmul), x, y_side(matmul),
                       weight_matrix(matmul, weight, 1), output, y);
    dpo_phase_end(matmul->forward_phase);
}

void dpo_matmul_backward_data(dpo_matmul *matmul, int64_t n_tokens, const void *dy,
                              dpo_weight weight, dpo_output output, void *dx)
{
    begin(matmul, matmul->backward_phase, n_tokens);
    multiply_by_weight(matmul, n_tokens, y_side(matmul), dy, x_side(matmul),
                       weight_matrix(matmul, weight, 0), output, dx);
    dpo_phase_end(matmul->backward_phase);
}

void dpo_matmul_backward_weight(dpo_matmul *matmul, int64_t n_tokens, const void *x, const void *dy,
                                float *dweight)
{
    int64_t d_in = matmul->shape.d_in, d_out = matmul->shape.d_out;

    begin(matmul, matmul->backward_phase, n_tokens);
    for (int64_t at = 0; at < n_tokens; at += matmul->strip) {
        dpo_range rows = {at, at + matmul->strip < n_tokens ? at + matmul->strip : n_tokens};
        dpo_matrix a = read_rows(matmul, y_side(matmul), rows, dy, 1);
        dpo_matrix b = read_rows(matmul, x_side(matmul), rows, x, 0);

        dpo_gemm((dpo_product){matmul->shape.compute, d_out, d_in, dpo_range_length(rows), d_in}, a,
                 b, 1.0f, dweight);
    }
    dpo_phase_end(matmul->backward_phase);
}
