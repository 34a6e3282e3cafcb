// SPDX-License-Identifier: Apache-2.0
/* The matrix products of the model's linear layers, in all three directions; and the peaks themselves. */
#include "dpo/math/matmul.h"

#include <stdio.h>

#include "bench_private.h"
#include "dpo/base/memory.h"

/* Rows of the product with the vocabulary: as the program cuts them. */
enum { HEAD_ROWS = 512 };

/* One layer: x [n, d_in], y [n, d_out], weight [d_out, d_in]. */
typedef struct {
    const char *name;
    int64_t n, d_in, d_out;
    dpo_matmul *matmul; /* owned, as all that follows */
    float *x, *y, *weight;
} layer;

static void forward(void *context)
{
    layer *l = context;

    dpo_matmul_forward(l->matmul, l->n, l->x, (dpo_weight){.f32 = l->weight}, DPO_ASSIGN, l->y);
}

static void backward_data(void *context)
{
    layer *l = context;

    dpo_matmul_backward_data(l->matmul, l->n, l->y, (dpo_weight){.f32 = l->weight}, DPO_ASSIGN, l->x);
}

static void backward_weight(void *context)
{
    layer *l = context;

    dpo_matmul_backward_weight(l->matmul, l->n, l->x, l->y, l->weight);
}

static const struct {
    const char *name;
    dpo_bench_function *run;
} directions[] = {{"forward", forward},
                  {"backward_data", backward_data},
                  {"backward_weight", backward_weight}};

enum { N_DIRECTIONS = sizeof directions / sizeof directions[0] };

static dpo_status create(layer *l)
{
    const dpo_matmul_shape shape = {
        .name = l->name, .d_in = l->d_in, .d_out = l->d_out, .max_tokens = l->n};

    DPO_TRY(dpo_matmul_create(&shape, NULL, &l->matmul));
    DPO_TRY(dpo_bench_values(l->n * l->d_in, &l->x));
    DPO_TRY(dpo_bench_values(l->n * l->d_out, &l->y));
    return dpo_bench_values(l->d_in * l->d_out, &l->weight);
}

static void destroy(layer *l)
{
    dpo_free(l->weight);
    dpo_free(l->y);
    dpo_free(l->x);
    dpo_matmul_destroy(&l->matmul);
}

static dpo_status measure(dpo_bench *bench, layer *l)
{
    for (int i = 0; i < N_DIRECTIONS; i++) {
        char name[48];
        dpo_bench_case row = {.group = "matmul",
                              .name = name,
                              .unit = "FLOP/s",
                              .bound = DPO_BOUND_MATMUL,
                              .amount = 2.0 * (double)l->n * (double)l->d_in * (double)l->d_out};

        (void)snprintf(name, sizeof name, "%s %s", l->name, directions[i].name);
        DPO_TRY(dpo_bench_measure(bench, &row, directions[i].run, l));
    }
    return DPO_OK;
}

static dpo_status put_peak(dpo_bench *bench, dpo_bound bound, const char *group, const char *name,
                           const char *unit)
{
    double n_ranks = (double)dpo_grid_size(bench->grid, DPO_WORLD);
    const dpo_bench_case row = {
        .group = group, .name = name, .unit = unit, .amount = bench->peak[bound] / n_ranks};

    return dpo_bench_put(bench, &row, 1.0);
}

dpo_status dpo_bench_memory(dpo_bench *bench)
{
    return put_peak(bench, DPO_BOUND_MEMORY, "memory", "triad", "B/s");
}

dpo_status dpo_bench_matmul(dpo_bench *bench)
{
    const dpo_model_config *c = bench->options->config;
    int64_t n = bench->options->n_tokens;
    int64_t n_head = n < HEAD_ROWS ? n : HEAD_ROWS;
    int64_t d_heads = c->n_heads * c->head_dim;
    layer layers[] = {
        {"qkv", n, c->d_model, d_heads + 2 * c->n_kv_heads * c->head_dim, NULL, NULL, NULL, NULL},
        {"o", n, d_heads, c->d_model, NULL, NULL, NULL, NULL},
        {"gate_up", n, c->d_model, 2 * c->d_ff, NULL, NULL, NULL, NULL},
        {"down", n, c->d_ff, c->d_model, NULL, NULL, NULL, NULL},
        {"head", n_head, c->d_model, c->n_vocab, NULL, NULL, NULL, NULL}};

    DPO_TRY(put_peak(bench, DPO_BOUND_MATMUL, "matmul", "peak", "FLOP/s"));
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        dpo_status status = dpo_agree(bench->grid, create(&layers[i]));

        if (status == DPO_OK) status = measure(bench, &layers[i]);
        destroy(&layers[i]);
        DPO_TRY(status);
    }
    return DPO_OK;
}
