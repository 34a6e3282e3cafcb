// SPDX-License-Identifier: Apache-2.0
/*
 * Attention and log-probabilities, against the matmul peak; reading a key-value cache, against the memory.
 *
 *   N tokens, H heads, K kv-heads, E head_dim, D width, V vocabulary. The micro-batch is two examples of a
 *   prompt and two responses, a quarter and two eighths of the tokens.
 */
#include "bench_private.h"
#include "dpo/base/memory.h"
#include "dpo/math/attention.h"
#include "dpo/math/token_logps.h"

enum { N_SEGMENTS = 6, LOGPS_ROWS = 1024 };
static const int64_t logits_bytes = 256LL << 20;

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

typedef struct {
    dpo_token_logps *logps; /* owned, as all arrays */
    int64_t n_rows;
    float *h, *dh;                    /* [R, D] */
    float *weight, *dweight;          /* [V, D] */
    float *logp, *coefficient;        /* [R] */
    dpo_logit_statistics *statistics; /* [R] */
    int32_t *target;                  /* [R] */
} logps_bench;

static void logps_forward(void *context)
{
    logps_bench *l = context;

    dpo_token_logps_statistics(l->logps, l->n_rows, l->h, (dpo_weight){.f32 = l->weight}, l->target,
                               l->statistics);
    dpo_token_logps_finish(l->logps, l->n_rows, l->statistics, l->logp);
}

/* Backward uses up what forward kept, so it is never alone. */
static void logps_both(void *context)
{
    logps_bench *l = context;

    logps_forward(l);
    dpo_token_logps_backward(l->logps, l->n_rows, l->h, (dpo_weight){.f32 = l->weight}, l->target,
                             l->coefficient, l->dh, l->dweight);
}

static dpo_status logps_create(const dpo_model_config *c, int64_t n_tokens, logps_bench *l)
{
    l->n_rows = n_tokens < LOGPS_ROWS ? n_tokens : LOGPS_ROWS;
    DPO_TRY(dpo_token_logps_create(c->d_model, (dpo_range){0, c->n_vocab}, l->n_rows, logits_bytes,
                                   DPO_F32, &l->logps));
    DPO_TRY(dpo_bench_values(l->n_rows * c->d_model, &l->h));
    DPO_TRY(dpo_bench_values(l->n_rows * c->d_model, &l->dh));
    DPO_TRY(dpo_bench_values(c->n_vocab * c->d_model, &l->weight));
    DPO_TRY(dpo_bench_values(c->n_vocab * c->d_model, &l->dweight));
    DPO_TRY(dpo_bench_values(l->n_rows, &l->logp));
    DPO_TRY(dpo_bench_values(l->n_rows, &l->coefficient));
    DPO_TRY(DPO_NEW(l->statistics, l->n_rows));
    DPO_TRY(DPO_NEW(l->target, l->n_rows));
    for (int64_t r = 0; r < l->n_rows; r++)
        l->target[r] = (int32_t)(r * 7919 % c->n_vocab);
    return DPO_OK;
}

static void logps_destroy(logps_bench *l)
{
    dpo_token_logps_destroy(&l->logps);
    dpo_free(l->h);
    dpo_free(l->dh);
    dpo_free(l->weight);
    dpo_free(l->dweight);
    dpo_free(l->logp);
    dpo_free(l->coefficient);
    dpo_free(l->statistics);
    dpo_free(l->target);
}

static dpo_status logps_measure(dpo_bench *bench, logps_bench *l)
{
    const dpo_model_config *c = bench->options->config;
    double flops = 2.0 * (double)l->n_rows * (double)c->n_vocab * (double)c->d_model;
    dpo_bench_case row = {.group = "kernels",
                          .name = "token_logps forward",
                          .unit = "FLOP/s",
                          .bound = DPO_BOUND_MATMUL,
                          .amount = flops};

    DPO_TRY(dpo_bench_measure(bench, &row, logps_forward, l));
    row.name = "token_logps forward and backward";
    row.amount = 3.0 * flops;
    return dpo_bench_measure(bench, &row, logps_both, l);
}

static dpo_status bench_logps(dpo_bench *bench)
{
    logps_bench l = {0};
    dpo_status status =
        dpo_agree(bench->grid, logps_create(bench->options->config, bench->options->n_tokens, &l));

    if (status == DPO_OK) status = logps_measure(bench, &l);
    logps_destroy(&l);
    return status;
}

dpo_status dpo_bench_kernels(dpo_bench *bench)
{
    DPO_TRY(bench_attention(bench));
    DPO_TRY(bench_logps(bench));
    DPO_TRY(dpo_bench_elementwise(bench));
    return dpo_bench_optimizer(bench);
}
