// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/peak.h"

#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "dpo/math/elementary.h"
#include "onednn.h"

/* C = A B with A [m, k], B [k, n]: rows of a micro-batch times widths of layers, ascending. */
typedef struct {
    int64_t m, n, k;
} product_shape;

static const product_shape shapes[] = {{512, 768, 768},    {1024, 1024, 1024}, {2048, 1536, 1024},
                                       {1920, 1920, 960}, /* no stride is a power of two */
                                       {2048, 2048, 2048}, {4096, 4096, 2048}};

enum {
    N_SHAPES = sizeof shapes / sizeof shapes[0],
    MIN_RUNS = 2, /* the first one wakes threads and touches memory */
    TRIAD_ITEMS = 1 << 24
};

static double flops_of(const product_shape *shape)
{
    return 2.0 * (double)shape->m * (double)shape->n * (double)shape->k;
}

/* Operands of any shape of the table; whatever their type, there is room for f32. */
typedef struct {
    dpo_element compute;
    float *a, *b, *c; /* owned */
} operands;

static void multiply(const product_shape *shape, const operands *o)
{
    int64_t m = shape->m, n = shape->n, k = shape->k;

    dpo_gemm((dpo_product){o->compute, m, n, k, n}, (dpo_matrix){o->a, k, 0},
             (dpo_matrix){o->b, n, 0}, 0.0f, o->c);
}

/*
 * Seconds of the fastest run of a shape. Memory that was never written would be one page that stays in cache.
 * Read as bf16 these numbers are 1, 0.5 and zeros.
 */
static double time_product(const product_shape *shape, double budget_s, const operands *o)
{
    double best_s = 1e30;

    dpo_fill_run(shape->m * shape->k, 1.0f, o->a);
    dpo_fill_run(shape->k * shape->n, 0.5f, o->b);
    double begin_s = dpo_clock_s();
    double end_s = begin_s;

    for (int run = 0; run < MIN_RUNS || end_s - begin_s < budget_s; run++) {
        double run_begin_s = dpo_clock_s();

        multiply(shape, o);
        end_s = dpo_clock_s();
        best_s = end_s - run_begin_s < best_s ? end_s - run_begin_s : best_s;
    }
    return best_s;
}

/* Larger products come closer to the peak; those that would not fit into the budget are left out. */
static double find_peak(double budget_s, const operands *o)
{
    double end_s = dpo_clock_s() + budget_s;
    double peak = 0.0;

    for (int i = 0; i < N_SHAPES; i++) {
        double left_s = end_s - dpo_clock_s();

        if (i > 0 && (MIN_RUNS + 1) * flops_of(&shapes[i]) > left_s * peak) break;
        double speed = flops_of(&shapes[i]) / time_product(&shapes[i], left_s / (N_SHAPES - i), o);

        peak = speed > peak ? speed : peak;
    }
    return peak;
}

dpo_status dpo_peak_matmul(dpo_element compute, double budget_s, double *flops_per_s)
{
    const product_shape *largest = &shapes[N_SHAPES - 1];
    operands o = {.compute = compute};
    dpo_status status = DPO_NEW(o.a, largest->m * largest->k);

    if (status == DPO_OK) status = DPO_NEW(o.b, largest->k * largest->n);
    if (status == DPO_OK) status = DPO_NEW(o.c, largest->m * largest->n);
    if (status == DPO_OK) *flops_per_s = find_peak(budget_s, &o);
    dpo_free(o.a);
    dpo_free(o.b);
    dpo_free(o.c);
    return status;
}

static void triad(int64_t n, const float *restrict b, const float *restrict c, float *restrict a)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++)
        a[i] = b[i] + 3.0f * c[i];
}

static double time_triad(double budget_s, const float *b, const float *c, float *a)
{
    double best_s = 1e30;
    double end_s = dpo_clock_s() + budget_s;

    for (int run = 0; run < MIN_RUNS || dpo_clock_s() < end_s; run++) {
        double begin_s = dpo_clock_s();

        triad(TRIAD_ITEMS, b, c, a);
        best_s = dpo_clock_s() - begin_s < best_s ? dpo_clock_s() - begin_s : best_s;
    }
    return best_s;
}

dpo_status dpo_peak_memory(double budget_s, double *bytes_per_s)
{
    float *a = NULL, *b = NULL, *c = NULL;
    dpo_status status = DPO_NEW(a, TRIAD_ITEMS);

    if (status == DPO_OK) status = DPO_NEW(b, TRIAD_ITEMS);
    if (status == DPO_OK) status = DPO_NEW(c, TRIAD_ITEMS);
    if (status == DPO_OK) {
        dpo_fill_run(TRIAD_ITEMS, 0.0f, a);
        dpo_fill_run(TRIAD_ITEMS, 1.0f, b);
        dpo_fill_run(TRIAD_ITEMS, 2.0f, c);
        *bytes_per_s = 12.0 * (double)TRIAD_ITEMS / time_triad(budget_s, b, c, a);
    }
    dpo_free(a);
    dpo_free(b);
    dpo_free(c);
    return status;
}
