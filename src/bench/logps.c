// SPDX-License-Identifier: Apache-2.0
/*
 * Log-probabilities, against the matmul peak.   R rows, D width, V vocabulary.
 */
#include "dpo/math/token_logps.h"

#include <stdio.h>

#include "bench_private.h"
#include "dpo/base/memory.h"

enum { LOGPS_ROWS = 1024 };
static const int64_t logits_bytes = 256LL << 20;

typedef struct {
    dpo_token_logps *logps; /* owned, as all arrays */
    int64_t n_rows;
    float *h, *dh;                    /* [R, D] */
    float *weight, *dweight;          /* [V, D] */
    uint16_t *weight_bf16;            /* [V, D], NULL unless products take bf16 */
    float *logp, *coefficient;        /* [R] */
    dpo_logit_statistics *statistics; /* [R] */
    int32_t *target;                  /* [R] */
} logps_bench;

static dpo_weight weight_of(const logps_bench *l)
{
    return (dpo_weight){.f32 = l->weight, .bf16 = l->weight_bf16};
}

static void logps_forward(void *context)
{
    logps_bench *l = context;

    dpo_token_logps_statistics(l->logps, l->n_rows, l->h, weight_of(l), l->target, l->statistics);
    dpo_token_logps_finish(l->logps, l->n_rows, l->statistics, l->logp);
}

/* Backward uses up what forward kept, so it is never alone. */
static void logps_both(void *context)
{
    logps_bench *l = context;

    logps_forward(l);
    dpo_token_logps_backward(l->logps, l->n_rows, l->h, weight_of(l), l->target, l->coefficient,
                             l->dh, l->dweight);
}

static dpo_status create(const dpo_bench *bench, dpo_element compute, logps_bench *l)
{
    const dpo_model_config *c = bench->options->config;
    int64_t n_tokens = bench->options->n_tokens;

    l->n_rows = n_tokens < LOGPS_ROWS ? n_tokens : LOGPS_ROWS;
    DPO_TRY(dpo_token_logps_create(c->d_model, (dpo_range){0, c->n_vocab}, l->n_rows, logits_bytes,
                                   compute, &l->logps));
    DPO_TRY(dpo_bench_values(l->n_rows * c->d_model, &l->h));
    DPO_TRY(dpo_bench_values(l->n_rows * c->d_model, &l->dh));
    DPO_TRY(dpo_bench_values(c->n_vocab * c->d_model, &l->weight));
    if (compute == DPO_BF16) DPO_TRY(dpo_bench_bits(c->n_vocab * c->d_model, &l->weight_bf16));
    DPO_TRY(dpo_bench_values(c->n_vocab * c->d_model, &l->dweight));
    DPO_TRY(dpo_bench_values(l->n_rows, &l->logp));
    DPO_TRY(dpo_bench_values(l->n_rows, &l->coefficient));
    DPO_TRY(DPO_NEW(l->statistics, l->n_rows));
    DPO_TRY(DPO_NEW(l->target, l->n_rows));
    for (int64_t r = 0; r < l->n_rows; r++)
        l->target[r] = (int32_t)(r * 7919 % c->n_vocab);
    return DPO_OK;
}

static void destroy(logps_bench *l)
{
    dpo_token_logps_destroy(&l->logps);
    dpo_free(l->h);
    dpo_free(l->dh);
    dpo_free(l->weight);
    dpo_free(l->weight_bf16);
    dpo_free(l->dweight);
    dpo_free(l->logp);
    dpo_free(l->coefficient);
    dpo_free(l->statistics);
    dpo_free(l->target);
}

static dpo_status measure(dpo_bench *bench, dpo_element compute, logps_bench *l)
{
    const dpo_model_config *c = bench->options->config;
    double flops = 2.0 * (double)l->n_rows * (double)c->n_vocab * (double)c->d_model;
    char name[48];
    dpo_bench_case row = {.group = "kernels",
                          .name = name,
                          .unit = "FLOP/s",
                          .bound = dpo_bench_matmul_bound(compute),
                          .amount = flops};

    (void)snprintf(name, sizeof name, "%stoken_logps forward", dpo_bench_prefix(compute));
    DPO_TRY(dpo_bench_measure(bench, &row, logps_forward, l));
    (void)snprintf(name, sizeof name, "%stoken_logps forward and backward",
                   dpo_bench_prefix(compute));
    row.amount = 3.0 * flops;
    return dpo_bench_measure(bench, &row, logps_both, l);
}

dpo_status dpo_bench_logps(dpo_bench *bench, dpo_element compute)
{
    logps_bench l = {0};
    dpo_status status = dpo_agree(bench->grid, create(bench, compute, &l));

    if (status == DPO_OK) status = measure(bench, compute, &l);
    destroy(&l);
    return status;
}
