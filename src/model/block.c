// SPDX-License-Identifier: Apache-2.0
/*
 * A block of the Llama family:
 *
 *     middle = x + heads Wo^T      heads = attention(rotary(norm1(x) Wqkv^T))
 *     out = middle + ff Wdown^T    ff = silu(gate) * up,  [gate, up] = norm2(middle) Wgate_up^T
 *
 * The last block computes attention for all tokens, and the rest for the R rows that predict only.
 */
#include <string.h>

#include "dpo/math/activation.h"
#include "dpo/math/embedding.h"
#include "dpo/math/norm.h"
#include "dpo/math/rows.h"
#include "model_private.h"

static bool is_last(const dpo_model *model, int64_t layer)
{
    return layer == model->config.n_layers - 1;
}

static int64_t d_heads(const dpo_model_config *c)
{
    return c->n_heads * c->head_dim;
}

static int64_t d_qkv(const dpo_model_config *c)
{
    return (c->n_heads + 2 * c->n_kv_heads) * c->head_dim;
}

void dpo_model_embed(dpo_model *model, const dpo_batch *batch)
{
    const dpo_model_config *c = &model->config;

    dpo_embedding_forward(batch->n_tokens, c->d_model, (dpo_range){0, c->n_vocab}, batch->token,
                          dpo_model_embedding(model, model->weights), model->block[0].act.x);
}

/* torch's nn.Embedding, made with padding_idx, leaves that row out; a tied head still moves it. */
void dpo_model_dembed(dpo_model *model, const dpo_batch *batch)
{
    const dpo_model_config *c = &model->config;
    int32_t *dtoken = model->scratch.dtoken;

    for (int64_t n = 0; n < batch->n_tokens; n++)
        dtoken[n] = batch->token[n] == c->padding ? -1 : batch->token[n];
    dpo_embedding_backward(batch->n_tokens, c->d_model, (dpo_range){0, c->n_vocab}, dtoken,
                           model->scratch.dx, dpo_model_embedding(model, model->gradients));
}

/* h = norm1(x), kept nowhere. */
static void norm_x(dpo_model *model, const dpo_block *block, int64_t n_tokens)
{
    dpo_rms_norm_forward(n_tokens, model->config.d_model, model->config.norm_eps, block->act.x,
                         block->weight.norm1, model->scratch.h, block->act.rstd1);
}

/* h = norm2(middle), kept nowhere. */
static void norm_middle(dpo_model *model, const dpo_block *block, int64_t n)
{
    dpo_rms_norm_forward(n, model->config.d_model, model->config.norm_eps, block->act.middle,
                         block->weight.norm2, model->scratch.h, block->act.rstd2);
}

/* x to qkv, queries and keys turned. */
static void project(dpo_model *model, const dpo_block *block, int64_t n_tokens)
{
    const dpo_model_config *c = &model->config;
    const dpo_block_activations *act = &block->act;

    norm_x(model, block, n_tokens);
    dpo_matmul_forward(model->qkv_matmul, n_tokens, model->scratch.h, block->weight.qkv, DPO_ASSIGN,
                       act->qkv);
    dpo_rotary_forward(model->rotary, n_tokens, model->scratch.position, c->n_heads + c->n_kv_heads,
                       d_qkv(c), act->qkv);
}

/* What goes on behind attention: everything, or the rows that predict. */
static void select_rows(const dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_model_config *c = &model->config;
    const dpo_block_activations *act = &model->block[layer].act;

    if (is_last(model, layer)) {
        dpo_rows_gather(batch->n_rows, c->d_model, batch->row, act->x, act->middle);
        dpo_rows_gather(batch->n_rows, d_heads(c), batch->row, act->heads, act->o_in);
    } else if (act->middle != act->x) {
        memcpy(act->middle, act->x, (size_t)(batch->n_tokens * c->d_model) * sizeof *act->x);
    }
}

/* o_in and middle to out. */
static void finish(dpo_model *model, const dpo_block *block, int64_t n)
{
    const dpo_block_activations *act = &block->act;
    dpo_scratch *scratch = &model->scratch;

    dpo_matmul_forward(model->o_matmul, n, act->o_in, block->weight.o, DPO_ADD, act->middle);
    norm_middle(model, block, n);
    dpo_matmul_forward(model->gate_up_matmul, n, scratch->h, block->weight.gate_up, DPO_ASSIGN,
                       act->gate_up);
    dpo_swiglu_forward(n, model->config.d_ff, act->gate_up, scratch->ff);
    if (act->out != act->middle)
        memcpy(act->out, act->middle, (size_t)(n * model->config.d_model) * sizeof *act->out);
    dpo_matmul_forward(model->down_matmul, n, scratch->ff, block->weight.down, DPO_ADD, act->out);
}

void dpo_block_forward(dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_block *block = &model->block[layer];

    project(model, block, batch->n_tokens);
    dpo_attention_forward(model->attention, &batch->segments, block->act.qkv, block->act.heads,
                          block->act.lse);
    select_rows(model, batch, layer);
    finish(model, block, is_last(model, layer) ? batch->n_rows : batch->n_tokens);
}

void dpo_block_decode(dpo_model *model, const dpo_batch *batch, int64_t layer, int64_t length,
                      float *key_cache, float *value_cache)
{
    const dpo_block *block = &model->block[layer];

    project(model, block, 1);
    dpo_attention_decode(model->attention, 1, block->act.qkv, &length, &key_cache, &value_cache,
                         block->act.heads);
    select_rows(model, batch, layer);
    finish(model, block, 1);
}

/* dout to dL/dmiddle, in place, and do_in. */
static void dfinish(dpo_model *model, const dpo_block *block, int64_t n, float *dout, float *do_in)
{
    const dpo_block_activations *act = &block->act;
    const dpo_block_vectors *weight = &block->weight, *gradient = &block->gradient;
    dpo_scratch *scratch = &model->scratch;

    dpo_swiglu_forward(n, model->config.d_ff, act->gate_up, scratch->ff);
    dpo_matmul_backward_weight(model->down_matmul, n, scratch->ff, dout, gradient->down);
    dpo_matmul_backward_data(model->down_matmul, n, dout, weight->down, DPO_ASSIGN, scratch->dff);
    dpo_swiglu_backward(n, model->config.d_ff, act->gate_up, scratch->dff, act->gate_up);
    norm_middle(model, block, n);
    dpo_matmul_backward_weight(model->gate_up_matmul, n, scratch->h, act->gate_up,
                               gradient->gate_up);
    dpo_matmul_backward_data(model->gate_up_matmul, n, act->gate_up, weight->gate_up, DPO_ASSIGN,
                             scratch->h);
    dpo_rms_norm_backward(n, model->config.d_model, act->middle, weight->norm2, act->rstd2,
                          scratch->h, dout, gradient->norm2);
    dpo_matmul_backward_weight(model->o_matmul, n, act->o_in, dout, gradient->o);
    dpo_matmul_backward_data(model->o_matmul, n, dout, weight->o, DPO_ASSIGN, do_in);
}

/* Gradients of the rows that predict go back to their tokens; of the other tokens they are zero. */
static void dselect_rows(const dpo_model *model, const dpo_batch *batch)
{
    const dpo_model_config *c = &model->config;
    const dpo_scratch *scratch = &model->scratch;

    memset(scratch->dx, 0, (size_t)(batch->n_tokens * c->d_model) * sizeof *scratch->dx);
    dpo_rows_scatter_add(batch->n_rows, c->d_model, batch->row, scratch->dout, scratch->dx);
    memset(scratch->dheads, 0, (size_t)(batch->n_tokens * d_heads(c)) * sizeof *scratch->dheads);
    dpo_rows_scatter_add(batch->n_rows, d_heads(c), batch->row, scratch->do_in, scratch->dheads);
}

/* dqkv to dx, which is added to. */
static void dproject(dpo_model *model, const dpo_block *block, int64_t n_tokens)
{
    const dpo_model_config *c = &model->config;
    dpo_scratch *scratch = &model->scratch;

    dpo_rotary_backward(model->rotary, n_tokens, scratch->position, c->n_heads + c->n_kv_heads,
                        d_qkv(c), scratch->dqkv);
    norm_x(model, block, n_tokens);
    dpo_matmul_backward_weight(model->qkv_matmul, n_tokens, scratch->h, scratch->dqkv,
                               block->gradient.qkv);
    dpo_matmul_backward_data(model->qkv_matmul, n_tokens, scratch->dqkv, block->weight.qkv,
                             DPO_ASSIGN, scratch->h);
    dpo_rms_norm_backward(n_tokens, c->d_model, block->act.x, block->weight.norm1, block->act.rstd1,
                          scratch->h, scratch->dx, block->gradient.norm1);
}

void dpo_block_backward(dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_block *block = &model->block[layer];
    dpo_scratch *scratch = &model->scratch;

    if (is_last(model, layer)) {
        dfinish(model, block, batch->n_rows, scratch->dout, scratch->do_in);
        dselect_rows(model, batch);
    } else {
        dfinish(model, block, batch->n_tokens, scratch->dx, scratch->dheads);
    }
    dpo_attention_backward(model->attention, &batch->segments, block->act.qkv, block->act.heads,
                           block->act.lse, scratch->dheads, scratch->dqkv);
    dproject(model, block, batch->n_tokens);
}
