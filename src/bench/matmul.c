// SPDX-License-Identifier: Apache-2.0
/*
 * The matrix products of the model's linear layers, in all three directions and with packed weights; and the peaks
 * themselves. Products of bf16 have x, y and their gradients in bf16 too. Rows of y lie as those of training do.
 */
#include "dpo/math/matmul.h"

#include <stdio.h>

#include "bench_private.h"
#include "dpo/base/memory.h"

/* Rows of the product with the vocabulary, whose result is large. */
enum { HEAD_ROWS = 512 };

typedef struct {
    dpo_bench_layer shape;
    dpo_element compute;
    dpo_matmul *matmul; /* owned, as all arrays */
    void *x, *y;        /* elements of the type of compute */
    float *weight;
    uint16_t *weight_bf16;
    float *staging;
} layer;

static dpo_weight weight_of(const layer *l)
{
    return (dpo_weight){.f32 = l->weight, .bf16 = l->weight_bf16};
}

static void forward(void *context)
{
    layer *l = context;

    dpo_matmul_forward(l->matmul, l->shape.n, l->x, weight_of(l), DPO_ASSIGN, l->y);
}

static void backward_data(void *context)
{
    layer *l = context;

    dpo_matmul_backward_data(l->matmul, l->shape.n, l->y, weight_of(l), DPO_ASSIGN, l->x);
}

static void backward_weight(void *context)
{
    layer *l = context;

    dpo_matmul_backward_weight(l->matmul, l->shape.n, l->x, l->y, l->weight);
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
    const dpo_bench_layer *s = &l->shape;
    const dpo_matmul_shape shape = {.name = s->name,
                                    .d_in = s->d_in,
                                    .d_out = s->d_out,
                                    .max_tokens = s->n,
                                    .y_stride = s->y_stride,
                                    .x = l->compute,
                                    .y = l->compute,
                                    .compute = l->compute};

    DPO_TRY(DPO_NEW(l->staging, dpo_matmul_staging_bytes(&shape) / (int64_t)sizeof *l->staging));
    DPO_TRY(dpo_matmul_create(&shape, l->staging, &l->matmul));
    DPO_TRY(dpo_bench_elements(l->compute, s->n * s->d_in, &l->x));
    DPO_TRY(
        dpo_bench_elements(l->compute, s->n * (s->y_stride > 0 ? s->y_stride : s->d_out), &l->y));
    DPO_TRY(dpo_bench_values(s->d_in * s->d_out, &l->weight));
    return l->compute == DPO_BF16 ? dpo_bench_bits(s->d_in * s->d_out, &l->weight_bf16) : DPO_OK;
}

static void destroy(layer *l)
{
    dpo_matmul_destroy(&l->matmul);
    dpo_free(l->staging);
    dpo_free(l->weight_bf16);
    dpo_free(l->weight);
    dpo_free(l->y);
    dpo_free(l->x);
}

static dpo_status measure(dpo_bench *bench, layer *l)
{
    for (int i = 0; i < N_DIRECTIONS; i++) {
        char name[48];
        dpo_bench_case row = {.group = "matmul",
                              .name = name,
                              .unit = "FLOP/s",
                              .bound = dpo_bench_matmul_bound(l->compute),
                              .amount = dpo_bench_layer_flops(&l->shape)};

        (void)snprintf(name, sizeof name, "%s%s %s", dpo_bench_prefix(l->compute), l->shape.name,
                       directions[i].name);
        DPO_TRY(dpo_bench_measure(bench, &row, directions[i].run, l));
    }
    return DPO_OK;
}

static dpo_status bench_layer(dpo_bench *bench, const dpo_bench_layer *shape, dpo_element compute)
{
    layer l = {.shape = *shape, .compute = compute};
    dpo_status status = dpo_agree(bench->grid, create(&l));

    if (status == DPO_OK) status = measure(bench, &l);
    destroy(&l);
    return status;
}

static dpo_status bench_layers(dpo_bench *bench, dpo_element compute)
{
    const dpo_model_config *c = bench->options->config;
    int64_t n = bench->options->n_tokens;
    int64_t d_heads = c->n_heads * c->head_dim;
    const dpo_bench_layer layers[] = {
        {"qkv", n, c->d_model, d_heads + 2 * c->n_kv_heads * c->head_dim, 0},
        {"o", n, d_heads, c->d_model, 0},
        {"gate_up", n, c->d_model, 2 * c->d_ff, dpo_matmul_fast_stride(compute, 2 * c->d_ff)},
        {"down", n, c->d_ff, c->d_model, 0},
        {"head", n < HEAD_ROWS ? n : HEAD_ROWS, c->d_model, c->n_vocab, 0}};

    DPO_TRY(dpo_bench_put_peak(bench, dpo_bench_matmul_bound(compute), "matmul",
                               compute == DPO_BF16 ? "bf16 peak" : "peak", "FLOP/s"));
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        DPO_TRY(bench_layer(bench, &layers[i], compute));
        DPO_TRY(dpo_bench_prepacked(bench, &layers[i], compute));
    }
    return DPO_OK;
}

dpo_status dpo_bench_memory(dpo_bench *bench)
{
    return dpo_bench_put_peak(bench, DPO_BOUND_MEMORY, "memory", "triad", "B/s");
}

dpo_status dpo_bench_matmul(dpo_bench *bench)
{
    DPO_TRY(bench_layers(bench, DPO_F32));
    return dpo_bench_computes(bench, DPO_BF16) ? bench_layers(bench, DPO_BF16) : DPO_OK;
}
