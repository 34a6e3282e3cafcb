// SPDX-License-Identifier: Apache-2.0
/*
 * Attention, against the matmul peak; reading a key-value cache, against the memory. And all other kernels.
 *
 *   N tokens, H heads, K kv-heads, E head_dim. For products of bf16 all but lse lies in bf16. The micro-batch is two examples of a
 *   prompt and two responses, a quarter and two eighths of the tokens. Of the five products of attention's backward
 *   pass four are counted, since one only computes the scores again: 0.8 is the most that it can show.
 */
#include <stdio.h>

#include "bench_private.h"
#include "dpo/base/memory.h"
#include "dpo/math/attention.h"

enum { N_SEGMENTS = 6 };

static const int64_t parents[N_SEGMENTS] = {-1, 0, 0, -1, 3, 3};
static const int64_t ends_in_eighths[N_SEGMENTS + 1] = {0, 2, 3, 4, 6, 7, 8};

typedef struct {
    dpo_attention *attention; /* owned, as all arrays */
    int64_t begin[N_SEGMENTS + 1];
    dpo_segments segments;
    void *qkv, *dqkv;     /* elements [N, (H + 2K) E] */
    void *heads, *dheads; /* elements [N, H E] */
    float *lse;           /* [N, H] */
    float *key, *value;   /* [N, K E] */
} attention_bench;

static void attention_forward(void *context)
{
    attention_bench *a = context;

    dpo_attention_forward(a->attention, &a->segments, a->qkv, a->heads, a->lse);
}

static void attention_backward(void *context)
{
    attention_bench *a = context;

    dpo_attention_backward(a->attention, &a->segments, a->qkv, a->heads, a->lse, a->dheads,
                           a->dqkv);
}

static void attention_decode(void *context)
{
    attention_bench *a = context;
    int64_t length = a->begin[N_SEGMENTS] - 1;

    dpo_attention_decode(a->attention, 1, a->qkv, &length, &a->key, &a->value, a->heads);
}

static dpo_status attention_create(const dpo_bench *bench, dpo_element compute, attention_bench *a)
{
    const dpo_model_config *c = bench->options->config;
    const dpo_attention_shape shape = {.n_heads = c->n_heads,
                                       .n_kv_heads = c->n_kv_heads,
                                       .head_dim = c->head_dim,
                                       .elements = compute,
                                       .compute = compute};
    int64_t n = bench->options->n_tokens;
    int64_t d_heads = c->n_heads * c->head_dim;
    int64_t d_kv = c->n_kv_heads * c->head_dim;

    for (int s = 0; s <= N_SEGMENTS; s++)
        a->begin[s] = n * ends_in_eighths[s] / 8;
    a->segments = (dpo_segments){N_SEGMENTS, a->begin, parents};
    DPO_TRY(dpo_attention_create(&shape, n, &a->attention));
    DPO_TRY(dpo_bench_elements(compute, n * (d_heads + 2 * d_kv), &a->qkv));
    DPO_TRY(dpo_bench_elements(compute, n * (d_heads + 2 * d_kv), &a->dqkv));
    DPO_TRY(dpo_bench_elements(compute, n * d_heads, &a->heads));
    DPO_TRY(dpo_bench_elements(compute, n * d_heads, &a->dheads));
    DPO_TRY(dpo_bench_values(n * c->n_heads, &a->lse));
    DPO_TRY(dpo_bench_values(n * d_kv, &a->key));
    return dpo_bench_values(n * d_kv, &a->value);
}

static void attention_destroy(attention_bench *a)
{
    dpo_attention_destroy(&a->attention);
    dpo_free(a->qkv);
    dpo_free(a->dqkv);
    dpo_free(a->heads);
    dpo_free(a->dheads);
    dpo_free(a->lse);
    dpo_free(a->key);
    dpo_free(a->value);
}

static dpo_status attention_measure(dpo_bench *bench, dpo_element compute, attention_bench *a)
{
    const dpo_model_config *c = bench->options->config;
    int64_t d_heads = c->n_heads * c->head_dim;
    double forward_flops = 4.0 * (double)d_heads * dpo_segments_n_pairs(&a->segments);
    char name[32];
    dpo_bench_case row = {.group = "kernels",
                          .name = name,
                          .unit = "FLOP/s",
                          .bound = dpo_bench_matmul_bound(compute),
                          .amount = forward_flops};

    (void)snprintf(name, sizeof name, "%sattention forward", dpo_bench_prefix(compute));
    DPO_TRY(dpo_bench_measure(bench, &row, attention_forward, a));
    (void)snprintf(name, sizeof name, "%sattention backward", dpo_bench_prefix(compute));
    row.amount = 2.0 * forward_flops;
    return dpo_bench_measure(bench, &row, attention_backward, a);
}

/* The same whatever products take. */
static dpo_status decode_measure(dpo_bench *bench, attention_bench *a)
{
    const dpo_model_config *c = bench->options->config;
    int64_t cache_floats = 2 * c->n_kv_heads * c->head_dim * a->begin[N_SEGMENTS];
    const dpo_bench_case row = {.group = "kernels",
                                .name = "attention decode",
                                .unit = "B/s",
                                .bound = DPO_BOUND_MEMORY,
                                .amount = (double)cache_floats * sizeof(float)};

    return dpo_bench_measure(bench, &row, attention_decode, a);
}

static dpo_status bench_attention(dpo_bench *bench, dpo_element compute)
{
    attention_bench a = {0};
    dpo_status status = dpo_agree(bench->grid, attention_create(bench, compute, &a));

    if (status == DPO_OK) status = attention_measure(bench, compute, &a);
    if (status == DPO_OK && compute == DPO_F32) status = decode_measure(bench, &a);
    attention_destroy(&a);
    return status;
}

dpo_status dpo_bench_kernels(dpo_bench *bench)
{
    for (int compute = DPO_F32; compute <= DPO_BF16; compute++) {
        if (!dpo_bench_computes(bench, (dpo_element)compute)) continue;
        DPO_TRY(bench_attention(bench, (dpo_element)compute));
        DPO_TRY(dpo_bench_logps(bench, (dpo_element)compute));
    }
    DPO_TRY(dpo_bench_elementwise(bench));
    DPO_TRY(dpo_bench_stored_bf16(bench));
    return dpo_bench_optimizer(bench);
}
