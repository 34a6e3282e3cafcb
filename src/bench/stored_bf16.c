// SPDX-License-Identifier: Apache-2.0
/*
 * Activations that are stored in bf16, on any CPU: turning them into f32 and back, and kernels that do it on their
 * way. As in elementwise.c, no cache holds the arrays, and bytes are counted once.
 */
#include "bench_private.h"
#include "dpo/base/memory.h"
#include "dpo/math/activation.h"
#include "dpo/math/elementary.h"

enum { ARRAY_ITEMS = 1 << 23 };

/* Arrays of ARRAY_ITEMS, or of one row if that is more. */
typedef struct {
    int64_t n, d_ff; /* rows of [n, 2F] */
    int64_t n_items; /* n 2F */
    float *wide;     /* owned, as all arrays */
    uint16_t *x, *y, *z;
} stored;

static void narrow(void *context)
{
    stored *s = context;

    dpo_narrow_run(s->n_items, s->wide, s->x);
}

static void widen(void *context)
{
    stored *s = context;

    dpo_widen_run(DPO_BF16, s->n_items, s->x, s->wide);
}

static void swiglu_forward(void *context)
{
    stored *s = context;

    dpo_swiglu_forward(DPO_BF16, s->n, s->d_ff, 2 * s->d_ff, s->x, s->y);
}

static void swiglu_backward(void *context)
{
    stored *s = context;

    dpo_swiglu_backward(DPO_BF16, s->n, s->d_ff, 2 * s->d_ff, s->x, s->y, s->z);
}

/* Bytes read and written for one item of [n, 2F]. */
static const struct {
    const char *name;
    dpo_bench_function *run;
    double item_bytes;
} kernels[] = {{"narrow to bf16", narrow, 6.0},
               {"widen from bf16", widen, 6.0},
               {"swiglu forward, stored bf16", swiglu_forward, 3.0},
               {"swiglu backward, stored bf16", swiglu_backward, 5.0}};

enum { N_KERNELS = sizeof kernels / sizeof kernels[0] };

static dpo_status create(int64_t d_ff, stored *s)
{
    s->d_ff = d_ff;
    s->n = ARRAY_ITEMS / (2 * d_ff) > 0 ? ARRAY_ITEMS / (2 * d_ff) : 1;
    s->n_items = s->n * 2 * d_ff;
    DPO_TRY(dpo_bench_values(s->n_items, &s->wide));
    DPO_TRY(dpo_bench_bits(s->n_items, &s->x));
    DPO_TRY(dpo_bench_bits(s->n_items / 2, &s->y));
    return dpo_bench_bits(s->n_items, &s->z);
}

static void destroy(stored *s)
{
    dpo_free(s->wide);
    dpo_free(s->x);
    dpo_free(s->y);
    dpo_free(s->z);
}

static dpo_status measure(dpo_bench *bench, stored *s)
{
    for (int i = 0; i < N_KERNELS; i++) {
        const dpo_bench_case row = {.group = "kernels",
                                    .name = kernels[i].name,
                                    .unit = "B/s",
                                    .bound = DPO_BOUND_MEMORY,
                                    .amount = (double)s->n_items * kernels[i].item_bytes};

        DPO_TRY(dpo_bench_measure(bench, &row, kernels[i].run, s));
    }
    return DPO_OK;
}

dpo_status dpo_bench_stored_bf16(dpo_bench *bench)
{
    stored s = {0};
    dpo_status status = dpo_agree(bench->grid, create(bench->options->config->d_ff, &s));

    if (status == DPO_OK) status = measure(bench, &s);
    destroy(&s);
    return status;
}
