// SPDX-License-Identifier: Apache-2.0
/*
 * A block of the Llama family:
 *
 *     middle = x + heads Wo^T      heads = attention(rotary(norm1(x) Wqkv^T))
 *     out = middle + ff Wdown^T    ff = silu(gate) * up,  [gate, up] = norm2(middle) Wgate_up^T
 *
 * The last block computes attention for all tokens, and the rest for the R rows that predict only.
 *
 * Who holds what (linear.c has the picture): x, middle, out and the norms' statistics are split by
 * tokens, everything between the norms and the sums by heads and columns of the MLP.
 */
#include <string.h>

#include "dpo/math/activation.h"
#include "dpo/math/norm.h"
#include "dpo/math/rows.h"
#include "model_private.h"

static bool is_last(const dpo_model *model, int64_t layer)
{
    return layer == model->config.n_layers - 1;
}

static int64_t n_own(const dpo_model *model, int64_t n)
{
    return dpo_range_length(dpo_partition_tokens(&model->partition, n));
}

static int64_t d_ff(const dpo_model *model)
{
    return dpo_range_length(model->partition.ff);
}

/* Heads that are turned: queries and keys. */
static int64_t n_turned(const dpo_model *model)
{
    return dpo_range_length(model->partition.heads) + dpo_range_length(model->partition.kv_heads);
}

/* h = norm of the own ones of n rows, and then all rows of it; kept nowhere. */
static void norm_rows(dpo_model *model, int64_t n, const float *own, const float *weight,
                      float *rstd)
{
    dpo_rms_norm_forward(n_own(model, n), model->config.d_model, model->config.norm_eps, own,
                         weight, dpo_own_rows(model, n, model->scratch.h), rstd);
    dpo_linear_gather_input(model, n);
}

/* x to qkv, queries and keys turned. */
static void project(dpo_model *model, const dpo_block *block, int64_t n_tokens)
{
    const dpo_block_activations *act = &block->act;

    norm_rows(model, n_tokens, act->x, block->weight.norm1, act->rstd1);
    dpo_matmul_forward(model->qkv_matmul, n_tokens, model->scratch.h,
                       dpo_model_weight(model, block->weight.qkv), DPO_ASSIGN, act->qkv);
    dpo_rotary_forward(model->rotary, n_tokens, model->scratch.position, n_turned(model),
                       dpo_qkv_width(model), act->qkv);
}

/* x to heads. */
static void attend(dpo_model *model, const dpo_batch *batch, const dpo_block *block)
{
    project(model, block, batch->n_tokens);
    dpo_attention_forward(model->attention, &batch->segments, block->act.qkv, block->act.heads,
                          block->act.lse);
}

/* What goes on behind attention: everything, or the rows that predict, wherever their tokens are. */
static void select_rows(dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_block_activations *act = &model->block[layer].act;
    int64_t d_model = model->config.d_model;

    if (is_last(model, layer)) {
        dpo_range own = dpo_partition_tokens(&model->partition, batch->n_rows);
        const float *x = dpo_linear_gather_rows(model, batch->n_tokens, act->x);

        dpo_rows_gather(DPO_F32, dpo_range_length(own), d_model, batch->row + own.begin, x,
                        act->middle);
        dpo_rows_gather(model->limits.activations, batch->n_rows, dpo_heads_width(model),
                        batch->row, act->heads, act->o_in);
    } else if (act->middle != act->x) {
        memcpy(act->middle, act->x,
               (size_t)(n_own(model, batch->n_tokens) * d_model) * sizeof *act->x);
    }
}

/* o_in and middle to out, n rows. */
static void finish(dpo_model *model, const dpo_block *block, int64_t n)
{
    const dpo_block_activations *act = &block->act;
    dpo_scratch *scratch = &model->scratch;

    dpo_linear_row_forward(model, model->o_matmul, n, act->o_in, block->weight.o, act->middle);
    norm_rows(model, n, act->middle, block->weight.norm2, act->rstd2);
    dpo_matmul_forward(model->gate_up_matmul, n, scratch->h,
                       dpo_model_weight(model, block->weight.gate_up), DPO_ASSIGN, act->gate_up);
    dpo_swiglu_forward(model->limits.activations, n, d_ff(model), dpo_gate_up_stride(model),
                       act->gate_up, scratch->ff);
    if (act->out != act->middle)
        memcpy(act->out, act->middle,
               (size_t)(n_own(model, n) * model->config.d_model) * sizeof *act->out);
    dpo_linear_row_forward(model, model->down_matmul, n, scratch->ff, block->weight.down, act->out);
}

void dpo_block_forward(dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_block *block = &model->block[layer];

    attend(model, batch, block);
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

/* Whether a block's backward pass has to compute a part of its forward pass again. */
static bool is_redone(const dpo_model *model, int64_t layer, dpo_recompute part)
{
    dpo_recompute recompute = model->limits.recompute;

    return !is_last(model, layer) && (recompute == part || recompute == DPO_RECOMPUTE_LAYER);
}

/* Own rows of dout to those of dL/dmiddle, in place; all n rows of it are left gathered. */
static const float *dmlp(dpo_model *model, int64_t layer, int64_t n, float *dout)
{
    const dpo_block *block = &model->block[layer];
    const dpo_block_activations *act = &block->act;
    const dpo_block_vectors *weight = &block->weight, *gradient = &block->gradient;
    dpo_scratch *scratch = &model->scratch;
    dpo_element activations = model->limits.activations;
    const float *all = dpo_linear_gather_rows(model, n, dout);

    norm_rows(model, n, act->middle, weight->norm2, act->rstd2);
    if (is_redone(model, layer, DPO_RECOMPUTE_MLP))
        dpo_matmul_forward(model->gate_up_matmul, n, scratch->h,
                           dpo_model_weight(model, weight->gate_up), DPO_ASSIGN, act->gate_up);
    dpo_swiglu_forward(activations, n, d_ff(model), dpo_gate_up_stride(model), act->gate_up,
                       scratch->ff);
    dpo_matmul_backward_weight(model->down_matmul, n, scratch->ff, all, gradient->down);
    dpo_matmul_backward_data(model->down_matmul, n, all, dpo_model_weight(model, weight->down),
                             DPO_ASSIGN, scratch->dff);
    dpo_swiglu_backward(activations, n, d_ff(model), dpo_gate_up_stride(model), act->gate_up,
                        scratch->dff, act->gate_up);
    dpo_matmul_backward_weight(model->gate_up_matmul, n, scratch->h, act->gate_up,
                               gradient->gate_up);
    dpo_linear_column_backward(model, model->gate_up_matmul, n, act->gate_up, weight->gate_up);
    dpo_rms_norm_backward(n_own(model, n), model->config.d_model, act->middle, weight->norm2,
                          act->rstd2, scratch->dh, dout, gradient->norm2);
    return dpo_linear_gather_rows(model, n, dout);
}

/* All rows of dL/dmiddle to do_in. */
static void do_projection(dpo_model *model, const dpo_block *block, int64_t n, const float *dmiddle,
                          void *do_in)
{
    dpo_matmul_backward_weight(model->o_matmul, n, block->act.o_in, dmiddle, block->gradient.o);
    dpo_matmul_backward_data(model->o_matmul, n, dmiddle, dpo_model_weight(model, block->weight.o),
                             DPO_ASSIGN, do_in);
}

/* Gradients of the rows that predict go back to their tokens; of the other tokens they are zero. */
static void dselect_rows(const dpo_model *model, const dpo_batch *batch, const float *dmiddle)
{
    const dpo_scratch *scratch = &model->scratch;
    dpo_range own = dpo_partition_tokens(&model->partition, batch->n_tokens);
    int64_t d_model = model->config.d_model, d_heads = dpo_heads_width(model);
    dpo_element activations = model->limits.activations;

    memset(scratch->dx, 0, (size_t)(dpo_range_length(own) * d_model) * sizeof *scratch->dx);
    dpo_rows_scatter_add(DPO_F32, batch->n_rows, d_model, batch->row, own, dmiddle, scratch->dx);
    memset(scratch->dheads, 0,
           (size_t)(batch->n_tokens * d_heads * dpo_element_bytes(activations)));
    dpo_rows_scatter_add(activations, batch->n_rows, d_heads, batch->row,
                         (dpo_range){0, batch->n_tokens}, scratch->do_in, scratch->dheads);
}

/* dqkv to dx, which is added to. */
static void dproject(dpo_model *model, const dpo_block *block, int64_t n_tokens)
{
    const dpo_block_activations *act = &block->act;
    dpo_scratch *scratch = &model->scratch;

    dpo_rotary_backward(model->rotary, n_tokens, scratch->position, n_turned(model),
                        dpo_qkv_width(model), scratch->dqkv);
    norm_rows(model, n_tokens, act->x, block->weight.norm1, act->rstd1);
    dpo_matmul_backward_weight(model->qkv_matmul, n_tokens, scratch->h, scratch->dqkv,
                               block->gradient.qkv);
    dpo_linear_column_backward(model, model->qkv_matmul, n_tokens, scratch->dqkv,
                               block->weight.qkv);
    dpo_rms_norm_backward(n_own(model, n_tokens), model->config.d_model, act->x,
                          block->weight.norm1, act->rstd1, scratch->dh, scratch->dx,
                          block->gradient.norm1);
}

/* What the backward pass needs and was not kept, but for the MLP's columns. */
static void redo(dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_block *block = &model->block[layer];

    if (!is_redone(model, layer, DPO_RECOMPUTE_ATTENTION)) return;
    attend(model, batch, block);
    if (model->limits.recompute != DPO_RECOMPUTE_LAYER) return;
    select_rows(model, batch, layer);
    dpo_linear_row_forward(model, model->o_matmul, batch->n_tokens, block->act.o_in,
                           block->weight.o, block->act.middle);
}

void dpo_block_backward(dpo_model *model, const dpo_batch *batch, int64_t layer)
{
    const dpo_block *block = &model->block[layer];
    dpo_scratch *scratch = &model->scratch;

    redo(model, batch, layer);
    if (is_last(model, layer)) {
        const float *dmiddle = dmlp(model, layer, batch->n_rows, scratch->dout);

        do_projection(model, block, batch->n_rows, dmiddle, scratch->do_in);
        dselect_rows(model, batch, dmiddle);
    } else {
        const float *dmiddle = dmlp(model, layer, batch->n_tokens, scratch->dx);

        do_projection(model, block, batch->n_tokens, dmiddle, scratch->dheads);
    }
    dpo_attention_backward(model->attention, &batch->segments, block->act.qkv, block->act.heads,
                           block->act.lse, scratch->dheads, scratch->dqkv);
    dproject(model, block, batch->n_tokens);
}
