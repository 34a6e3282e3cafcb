// SPDX-License-Identifier: Apache-2.0
/*
 * Attention, against the matmul peak; reading a key-value cache, against the memory. And all other kernels.
 *
 *   N tokens, H heads, K kv-heads, E head_dim. The micro-batch is two examples of a
 *   prompt and two responses, a quarter and two eighths of the tokens. Of the five products of attention's backward
 *   pass four are counted, since one only computes the scores again: 0.8 is the most that it can show.
 */
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
    float *qkv, *dqkv;     /* [N, (H + 2K) E] */
    float *heads, *dheads; /* [N, H E] */
    float *lse;            /* [N, H] */
    float *key, *value;    /* [N, K E] */
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

static dpo_status attention_create(const dpo_model_config *c, int64_t n, attention_bench *a)
{
    const dpo_attention_shape shape = {
        .n_heads = c->n_heads, .n_kv_heads = c->n_kv_heads, .head_dim = c->head_dim};
    int64_t d_heads = c->n_heads * c->head_dim;
    int64_t d_kv = c->n_kv_heads * c->head_dim;

    for (int s = 0; s <= N_SEGMENTS; s++)
        a->begin[s] = n * ends_in_eighths[s] / 8;
    a->segments = (dpo_segments){N_SEGMENTS, a->begin, parents};
    DPO_TRY(dpo_attention_create(&shape, n, &a->attention));
    DPO_TRY(dpo_bench_values(n * (d_heads + 2 * d_kv), &a->qkv));
    DPO_TRY(dpo_bench_values(n * (d_heads + 2 * d_kv), &a->dqkv));
    DPO_TRY(dpo_bench_values(n * d_heads, &a->heads));
    DPO_TRY(dpo_bench_values(n * d_heads, &a->dheads));
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

static dpo_status attention_measure(dpo_bench *bench, attention_bench *a)
{
    const dpo_model_config *c = bench->options->config;
    int64_t d_heads = c->n_heads * c->head_dim;
    double forward_flops = 4.0 * (double)d_heads * dpo_segments_n_pairs(&a->segments);
    double cache_bytes =
        2.0 * (double)(c->n_kv_heads * c->head_dim * a->begin[N_SEGMENTS]) * sizeof(float);
    dpo_bench_case row = {.group = "kernels",
                          .name = "attention forward",
                          .unit = "FLOP/s",
                          .bound = DPO_BOUND_MATMUL,
                          .amount = forward_flops};

    DPO_TRY(dpo_bench_measure(bench, &row, attention_forward, a));
    row.name = "attention backward";
    row.amount = 2.0 * forward_flops;
    DPO_TRY(dpo_bench_measure(bench, &row, attention_backward, a));
    row =
        (dpo_bench_case){"kernels", "attention decode", "B/s", DPO_BOUND_MEMORY, cache_bytes, 0.0};
    return dpo_bench_measure(bench, &row, attention_decode, a);
}

static dpo_status bench_attention(dpo_bench *bench)
{
    attention_bench a = {0};
    dpo_status status = dpo_agree(
        bench->grid, attention_create(bench->options->config, bench->options->n_tokens, &a));

    if (status == DPO_OK) status = attention_measure(bench, &a);
    attention_destroy(&a);
    return status;
}

dpo_status dpo_bench_kernels(dpo_bench *bench)
{
    DPO_TRY(bench_attention(bench));
    DPO_TRY(dpo_bench_logps(bench, DPO_F32));
    if (dpo_bench_computes(bench, DPO_BF16)) DPO_TRY(dpo_bench_logps(bench, DPO_BF16));
    DPO_TRY(dpo_bench_elementwise(bench));
    DPO_TRY(dpo_bench_stored_bf16(bench));
    return dpo_bench_optimizer(bench);
}
