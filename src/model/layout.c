// SPDX-License-Identifier: Apache-2.0
#include "model_private.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static float *take(dpo_arena *arena, int64_t rows, int64_t columns)
{
    return dpo_arena_take(arena, rows * columns, sizeof(float));
}

/* What a block keeps of all its tokens. */
static void take_tokens(dpo_arena *arena, const dpo_model *model, dpo_block_activations *act)
{
    const dpo_model_config *c = &model->config;
    int64_t n = model->limits.max_tokens;

    act->x = take(arena, n, c->d_model);
    act->rstd1 = take(arena, n, 1);
    act->qkv = take(arena, n, (c->n_heads + 2 * c->n_kv_heads) * c->head_dim);
    act->heads = take(arena, n, c->n_heads * c->head_dim);
    act->lse = take(arena, n, c->n_heads);
    act->o_in = act->heads;
    act->middle = act->x;
}

/* What a block keeps behind its attention, for n tokens or rows. */
static void take_mlp(dpo_arena *arena, const dpo_model *model, int64_t n,
                     dpo_block_activations *act)
{
    act->rstd2 = take(arena, n, 1);
    act->gate_up = take(arena, n, 2 * model->config.d_ff);
}

/* The last block goes on with the rows that predict only. */
static void take_rows(dpo_arena *arena, const dpo_model *model, dpo_block_activations *act)
{
    const dpo_model_config *c = &model->config;
    int64_t n = model->limits.max_rows;

    act->o_in = take(arena, n, c->n_heads * c->head_dim);
    act->middle = take(arena, n, c->d_model);
    act->out = model->limits.trainable ? take(arena, n, c->d_model) : act->middle;
    take_mlp(arena, model, n, act);
}

static void lay_out_blocks(dpo_arena *arena, dpo_model *model)
{
    const dpo_model_config *c = &model->config;
    int64_t n = model->limits.max_tokens;

    for (int64_t layer = 0; layer < c->n_layers; layer++) {
        dpo_block_activations *act = &model->block[layer].act;
        bool last = layer == c->n_layers - 1;

        if (layer == 0 || model->limits.trainable) {
            take_tokens(arena, model, act);
            if (!last && model->limits.trainable) act->middle = take(arena, n, c->d_model);
            if (!last) take_mlp(arena, model, n, act);
        } else {
            *act = model->block[0].act;
        }
        if (last) take_rows(arena, model, act);
        if (layer > 0) model->block[layer - 1].act.out = act->x;
    }
}

static void lay_out_scratch(dpo_arena *arena, const dpo_model *model, dpo_scratch *scratch)
{
    const dpo_model_config *c = &model->config;
    int64_t n = model->limits.max_tokens, n_rows = model->limits.max_rows;
    int64_t n_any = larger(n, n_rows), d_heads = c->n_heads * c->head_dim;

    *scratch = (dpo_scratch){0};
    scratch->position = dpo_arena_take(arena, n, sizeof *scratch->position);
    scratch->h = take(arena, n_any, c->d_model);
    scratch->ff = take(arena, n_any, c->d_ff);
    scratch->rstd = take(arena, n_rows, 1);
    if (!model->limits.trainable) return;
    scratch->dtoken = dpo_arena_take(arena, n, sizeof *scratch->dtoken);
    scratch->dff = take(arena, n_any, c->d_ff);
    scratch->dqkv = take(arena, n, d_heads + 2 * c->n_kv_heads * c->head_dim);
    scratch->dheads = take(arena, n, d_heads);
    scratch->do_in = take(arena, n_rows, d_heads);
    scratch->dx = take(arena, n, c->d_model);
    scratch->dout = take(arena, n_rows, c->d_model);
    scratch->dh = take(arena, n_rows, c->d_model);
}

/* Bytes taken since *mark, which moves on. */
static int64_t since(const dpo_arena *arena, int64_t *mark)
{
    int64_t bytes = arena->used_bytes - *mark;

    *mark = arena->used_bytes;
    return bytes;
}

static int64_t logits_bytes(const dpo_model *model)
{
    int64_t all = model->limits.max_rows * model->config.n_vocab * (int64_t)sizeof(float);

    if (!model->limits.trainable) return 0;
    return model->limits.logits_bytes < all ? model->limits.logits_bytes : all;
}

void dpo_model_lay_out(dpo_model *model, dpo_model_memory *memory)
{
    dpo_arena *arena = &model->arena;
    int64_t n_elements = model->parameters.n_elements, mark = 0;

    model->weights = take(arena, n_elements, 1);
    memory->weights = since(arena, &mark);
    model->gradients = model->limits.trainable ? take(arena, n_elements, 1) : NULL;
    memory->gradients = since(arena, &mark);
    lay_out_blocks(arena, model);
    memory->activations = since(arena, &mark);
    lay_out_scratch(arena, model, &model->scratch);
    memory->scratch = since(arena, &mark);
    memory->logits = logits_bytes(model);
    memory->total = arena->used_bytes + memory->logits;
}
