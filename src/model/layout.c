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

static void *take_activations(dpo_arena *arena, const dpo_model *model, int64_t rows,
                              int64_t columns)
{
    return dpo_arena_take(arena, rows * columns,
                          (size_t)dpo_element_bytes(model->limits.activations));
}

/* Own ones of n rows, of the rank that has most. */
static int64_t own(const dpo_model *model, int64_t n)
{
    return dpo_range_length(dpo_range_of_part(n, model->partition.size, 0));
}

/* A block's input. */
static void take_input(dpo_arena *arena, const dpo_model *model, dpo_block_activations *act)
{
    int64_t n_own = own(model, model->limits.max_tokens);

    act->x = take(arena, n_own, model->config.d_model);
    act->rstd1 = take(arena, n_own, 1);
}

/* What a block keeps of its attention. */
static void take_attention(dpo_arena *arena, const dpo_model *model, dpo_block_activations *act)
{
    int64_t n = model->limits.max_tokens;

    act->qkv = take_activations(arena, model, n, dpo_qkv_width(model));
    act->heads = take_activations(arena, model, n, dpo_heads_width(model));
    act->lse = take(arena, n, dpo_range_length(model->partition.heads));
    act->o_in = act->heads;
}

/* What a block keeps behind its attention, for n tokens or rows. */
static void take_mlp(dpo_arena *arena, const dpo_model *model, int64_t n,
                     dpo_block_activations *act)
{
    act->rstd2 = take(arena, own(model, n), 1);
    act->gate_up = take_activations(arena, model, n, dpo_gate_up_stride(model));
}

/* The last block goes on with the rows that predict only. */
static void take_rows(dpo_arena *arena, const dpo_model *model, dpo_block_activations *act)
{
    int64_t n = model->limits.max_rows, n_own = own(model, n), d_model = model->config.d_model;

    act->o_in = take_activations(arena, model, n, dpo_heads_width(model));
    act->middle = take(arena, n_own, d_model);
    act->out = model->limits.trainable ? take(arena, n_own, d_model) : act->middle;
    take_mlp(arena, model, n, act);
}

/* Whether a block has buffers of its own for a part of it, or uses those of block 0. */
static bool has_own(const dpo_model *model, int64_t layer, dpo_recompute part)
{
    dpo_recompute recompute = model->limits.recompute;

    if (layer == 0) return true;
    return model->limits.trainable && recompute != part && recompute != DPO_RECOMPUTE_LAYER;
}

static void share_attention(const dpo_block_activations *first, dpo_block_activations *act)
{
    act->qkv = first->qkv;
    act->heads = act->o_in = first->heads;
    act->lse = first->lse;
}

static void share_mlp(const dpo_block_activations *first, dpo_block_activations *act)
{
    act->rstd2 = first->rstd2;
    act->gate_up = first->gate_up;
}

/* Everything between a block's input and its output, of all tokens. */
static void lay_out_inside(dpo_arena *arena, dpo_model *model, int64_t layer)
{
    const dpo_block_activations *first = &model->block[0].act;
    dpo_block_activations *act = &model->block[layer].act;
    int64_t n = model->limits.max_tokens;
    bool last = layer == model->config.n_layers - 1, trainable = model->limits.trainable;

    if (has_own(model, layer, DPO_RECOMPUTE_ATTENTION))
        take_attention(arena, model, act);
    else
        share_attention(first, act);
    if (last) return;
    if (!trainable)
        act->middle = act->x;
    else
        act->middle = has_own(model, layer, DPO_RECOMPUTE_LAYER)
                          ? take(arena, own(model, n), model->config.d_model)
                          : first->middle;
    if (has_own(model, layer, DPO_RECOMPUTE_MLP))
        take_mlp(arena, model, n, act);
    else
        share_mlp(first, act);
}

static void lay_out_blocks(dpo_arena *arena, dpo_model *model)
{
    int64_t n_layers = model->config.n_layers;

    for (int64_t layer = 0; layer < n_layers; layer++) {
        dpo_block_activations *act = &model->block[layer].act;

        if (layer == 0 || model->limits.trainable) {
            take_input(arena, model, act);
        } else {
            act->x = model->block[0].act.x;
            act->rstd1 = model->block[0].act.rstd1;
        }
        lay_out_inside(arena, model, layer);
        if (layer == n_layers - 1) take_rows(arena, model, act);
        if (layer > 0) model->block[layer - 1].act.out = act->x;
    }
}

/* More rows than a batch: the gradients that ranks have in common go through the exchange too. */
int64_t dpo_model_exchange_rows(const dpo_model *model)
{
    int64_t n_batch = larger(model->limits.max_tokens, model->limits.max_rows);

    return larger(n_batch, 3 + 2 * model->n_shared_kv * model->config.head_dim);
}

/* What one rank has in its arena, and several in the exchange. */
static void lay_out_rows(dpo_arena *arena, const dpo_model *model, int64_t n_any,
                         dpo_scratch *scratch)
{
    int64_t n_rows = model->limits.max_rows, d_model = model->config.d_model;
    bool is_alone = model->partition.size == 1, trainable = model->limits.trainable;

    scratch->statistics = dpo_arena_take(arena, n_rows, sizeof *scratch->statistics);
    if (is_alone) {
        scratch->h = scratch->partial = scratch->dh = take(arena, n_any, d_model);
        if (trainable) scratch->dhead = take(arena, n_rows, d_model);
        return;
    }
    scratch->all_statistics =
        dpo_arena_take(arena, model->partition.size * n_rows, sizeof *scratch->all_statistics);
    if (trainable) scratch->dh = take(arena, own(model, n_any), d_model);
}

/* The linear layers run one after the other. */
static int64_t staging_bytes(const dpo_model *model)
{
    int64_t most = 0;

    for (int linear = 0; linear < DPO_N_LINEARS; linear++) {
        const dpo_matmul_shape shape = dpo_model_linear_shape(model, (dpo_linear)linear);

        most = larger(most, dpo_matmul_staging_bytes(&shape));
    }
    return most;
}

static void lay_out_scratch(dpo_arena *arena, const dpo_model *model, dpo_scratch *scratch)
{
    int64_t n = model->limits.max_tokens, n_rows = model->limits.max_rows;
    int64_t n_any = larger(n, n_rows), d_ff = dpo_range_length(model->partition.ff);

    *scratch = (dpo_scratch){0};
    scratch->position = dpo_arena_take(arena, n, sizeof *scratch->position);
    lay_out_rows(arena, model, n_any, scratch);
    scratch->staging = dpo_arena_take(arena, staging_bytes(model), 1);
    scratch->ff = take_activations(arena, model, n_any, d_ff);
    scratch->rstd = take(arena, own(model, n_rows), 1);
    if (!model->limits.trainable) return;
    scratch->dtoken = dpo_arena_take(arena, n, sizeof *scratch->dtoken);
    scratch->dff = take_activations(arena, model, n_any, d_ff);
    scratch->dqkv = take_activations(arena, model, n, dpo_qkv_width(model));
    scratch->dheads = take_activations(arena, model, n, dpo_heads_width(model));
    scratch->do_in = take_activations(arena, model, n_rows, dpo_heads_width(model));
    scratch->dx = take(arena, own(model, n), model->config.d_model);
    scratch->dout = take(arena, own(model, n_rows), model->config.d_model);
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
    int64_t all = model->limits.max_rows * dpo_range_length(model->partition.vocabulary) *
                  (int64_t)sizeof(float);

    if (!model->limits.trainable) return 0;
    return model->limits.logits_bytes < all ? model->limits.logits_bytes : all;
}

static int64_t plans_bytes(const dpo_model *model)
{
    const dpo_attention_shape shape = dpo_model_attention_shape(model);
    int64_t angles = model->limits.max_positions * model->config.head_dim * (int64_t)sizeof(float);

    return dpo_attention_plan_bytes(&shape, model->limits.max_tokens) +
           dpo_token_logps_plan_bytes(model->config.d_model, model->partition.vocabulary,
                                      model->limits.max_rows, model->limits.compute) +
           angles;
}

void dpo_model_lay_out(dpo_model *model, dpo_model_memory *memory)
{
    dpo_arena *arena = &model->arena;
    int64_t n_elements = model->parameters.n_elements, mark = 0;

    model->weights = take(arena, n_elements, 1);
    memory->weights = since(arena, &mark);
    model->weights_bf16 = model->limits.compute == DPO_BF16
                              ? dpo_arena_take(arena, n_elements, sizeof *model->weights_bf16)
                              : NULL;
    memory->rounded = since(arena, &mark);
    model->gradients = model->limits.trainable ? take(arena, n_elements, 1) : NULL;
    memory->gradients = since(arena, &mark);
    lay_out_blocks(arena, model);
    memory->activations = since(arena, &mark);
    lay_out_scratch(arena, model, &model->scratch);
    memory->scratch = since(arena, &mark);
    if (model->partition.size > 1)
        memory->exchange =
            dpo_exchange_plan_bytes(model->partition.size, dpo_model_exchange_rows(model),
                                    model->config.d_model, DPO_N_WHOLES);
    memory->plans = plans_bytes(model);
    memory->logits = logits_bytes(model);
    memory->total = arena->used_bytes + memory->exchange + memory->plans + memory->logits;
}
