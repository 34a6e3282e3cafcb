// SPDX-License-Identifier: Apache-2.0
/*
 * Kernels that are bound by memory, on arrays that no cache holds, as in a step, where activations come back from
 * memory. Bytes are those that have to be read and written, each once.
 *
 *   n rows of each array; D width, F d_ff, H heads, K kv-heads, E head_dim.
 */
#include "bench_private.h"
#include "dpo/base/memory.h"
#include "dpo/math/activation.h"
#include "dpo/math/embedding.h"
#include "dpo/math/norm.h"
#include "dpo/math/rotary.h"

enum { ARRAY_ITEMS = 1 << 23 };

/* Three arrays of about ARRAY_ITEMS, cut into rows as each kernel needs them. */
typedef struct {
    const dpo_model_config *config;
    dpo_rotary *rotary;              /* owned, as all arrays */
    float *x, *y, *z;                /* [n, width] */
    float *weight, *dweight, *rstd;  /* [D], [D], [n] */
    int32_t *position, *token;       /* [n] */
    int64_t n_wide, n_qkv, n_narrow; /* rows of [n, 2F], of [n, (H + 2K) E], of [n, D] */
} elementwise;

static int64_t d_qkv(const dpo_model_config *c)
{
    return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
}

static void norm_forward(void *context)
{
    elementwise *e = context;

    dpo_rms_norm_forward(e->n_narrow, e->config->d_model, e->config->norm_eps, e->x, e->weight,
                         e->y, e->rstd);
}

static void norm_backward(void *context)
{
    elementwise *e = context;

    dpo_rms_norm_backward(e->n_narrow, e->config->d_model, e->x, e->weight, e->rstd, e->y, e->z,
                          e->dweight);
}

static void rotary_forward(void *context)
{
    elementwise *e = context;
    const dpo_model_config *c = e->config;

    dpo_rotary_forward(e->rotary, e->n_qkv, e->position, c->n_heads + c->n_kv_heads, d_qkv(c),
                       e->x);
}

static void swiglu_forward(void *context)
{
    elementwise *e = context;

    dpo_swiglu_forward(DPO_F32, e->n_wide, e->config->d_ff, 2 * e->config->d_ff, e->x, e->y);
}

static void swiglu_backward(void *context)
{
    elementwise *e = context;

    dpo_swiglu_backward(DPO_F32, e->n_wide, e->config->d_ff, 2 * e->config->d_ff, e->x, e->y, e->z);
}

static void embedding_forward(void *context)
{
    elementwise *e = context;

    dpo_embedding_forward(e->n_narrow, e->config->d_model, (dpo_range){0, e->n_narrow}, e->token,
                          e->x, e->y);
}

static void embedding_backward(void *context)
{
    elementwise *e = context;

    dpo_embedding_backward(e->n_narrow, e->config->d_model, (dpo_range){0, e->n_narrow}, e->token,
                           e->y, e->z);
}

static double narrow_items(const elementwise *e)
{
    return (double)(e->n_narrow * e->config->d_model);
}

static double rotary_items(const elementwise *e)
{
    const dpo_model_config *c = e->config;

    return (double)(e->n_qkv * (c->n_heads + c->n_kv_heads) * c->head_dim);
}

static double ff_items(const elementwise *e)
{
    return (double)(e->n_wide * e->config->d_ff);
}

/* What is read and written for one item, in items of f32. */
static const struct {
    const char *name;
    dpo_bench_function *run;
    double (*items)(const elementwise *e);
    double n_moved;
} kernels[] = {
    {"rms_norm forward", norm_forward, narrow_items, 2.0},
    {"rms_norm backward", norm_backward, narrow_items, 4.0},
    {"rotary", rotary_forward, rotary_items, 2.0},
    {"swiglu forward", swiglu_forward, ff_items, 3.0},
    {"swiglu backward", swiglu_backward, ff_items, 5.0},
    {"embedding forward", embedding_forward, narrow_items, 2.0},
    {"embedding backward", embedding_backward, narrow_items, 3.0},
};

enum { N_KERNELS = sizeof kernels / sizeof kernels[0] };

static int64_t at_least_one(int64_t n)
{
    return n > 0 ? n : 1;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static dpo_status create(const dpo_model_config *c, elementwise *e)
{
    dpo_rotary_options rope = c->rope;

    e->config = c;
    e->n_narrow = at_least_one(ARRAY_ITEMS / c->d_model);
    e->n_wide = at_least_one(ARRAY_ITEMS / (2 * c->d_ff));
    e->n_qkv = at_least_one(ARRAY_ITEMS / d_qkv(c));
    int64_t n_items = larger(ARRAY_ITEMS, larger(2 * c->d_ff, larger(c->d_model, d_qkv(c))));

    DPO_TRY(dpo_rotary_create(&rope, &e->rotary));
    DPO_TRY(dpo_bench_values(n_items, &e->x));
    DPO_TRY(dpo_bench_values(n_items, &e->y));
    DPO_TRY(dpo_bench_values(n_items, &e->z));
    DPO_TRY(dpo_bench_values(c->d_model, &e->weight));
    DPO_TRY(dpo_bench_values(c->d_model, &e->dweight));
    DPO_TRY(dpo_bench_values(e->n_narrow, &e->rstd));
    DPO_TRY(DPO_NEW(e->position, e->n_qkv));
    DPO_TRY(DPO_NEW(e->token, e->n_narrow));
    for (int64_t n = 0; n < e->n_qkv; n++)
        e->position[n] = (int32_t)(n % rope.max_positions);
    for (int64_t n = 0; n < e->n_narrow; n++)
        e->token[n] = (int32_t)(n * 7919 % e->n_narrow);
    return DPO_OK;
}

static void destroy(elementwise *e)
{
    dpo_rotary_destroy(&e->rotary);
    dpo_free(e->x);
    dpo_free(e->y);
    dpo_free(e->z);
    dpo_free(e->weight);
    dpo_free(e->dweight);
    dpo_free(e->rstd);
    dpo_free(e->position);
    dpo_free(e->token);
}

static dpo_status measure(dpo_bench *bench, elementwise *e)
{
    for (int i = 0; i < N_KERNELS; i++) {
        const dpo_bench_case row = {.group = "kernels",
                                    .name = kernels[i].name,
                                    .unit = "B/s",
                                    .bound = DPO_BOUND_MEMORY,
                                    .amount = kernels[i].items(e) * kernels[i].n_moved *
                                              (double)sizeof(float)};

        DPO_TRY(dpo_bench_measure(bench, &row, kernels[i].run, e));
    }
    return DPO_OK;
}

dpo_status dpo_bench_elementwise(dpo_bench *bench)
{
    elementwise e = {0};
    dpo_status status = dpo_agree(bench->grid, create(bench->options->config, &e));

    if (status == DPO_OK) status = measure(bench, &e);
    destroy(&e);
    return status;
}
