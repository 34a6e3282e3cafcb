// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of the model, split by vocabulary: rank t has rows [V t / T, V (t + 1) / T) of the embedding
 * and of the head.
 *
 *     embedding   each rank looks up the tokens it has, zeros for the others; reduce-scatter to own rows
 *     head        each rank has its columns of the logits [R, V]; of them only each row's largest, sum of
 *                 exponentials and target go to the other ranks, never the logits
 */
#include <string.h>

#include "dpo/comm/collective.h"
#include "dpo/math/embedding.h"
#include "dpo/math/norm.h"
#include "model_private.h"

void dpo_model_embed(dpo_model *model, const dpo_batch *batch)
{
    bool is_alone = model->partition.size == 1;
    float *x = model->block[0].act.x;

    dpo_embedding_forward(batch->n_tokens, model->config.d_model, model->partition.vocabulary,
                          batch->token, dpo_model_embedding(model, model->weights),
                          is_alone ? x : model->scratch.partial);
    dpo_linear_reduce(model, batch->n_tokens, DPO_ASSIGN, x);
}

/* torch's nn.Embedding, made with padding_idx, leaves that row out; a tied head still moves it. */
void dpo_model_dembed(dpo_model *model, const dpo_batch *batch)
{
    const dpo_model_config *c = &model->config;
    int32_t *dtoken = model->scratch.dtoken;
    const float *dx = dpo_linear_gather_rows(model, batch->n_tokens, model->scratch.dx);

    for (int64_t n = 0; n < batch->n_tokens; n++)
        dtoken[n] = batch->token[n] == c->padding ? -1 : batch->token[n];
    dpo_embedding_backward(batch->n_tokens, c->d_model, model->partition.vocabulary, dtoken, dx,
                           dpo_model_embedding(model, model->gradients));
}

static const dpo_block_activations *last_block(const dpo_model *model)
{
    return &model->block[model->config.n_layers - 1].act;
}

void dpo_model_final_norm(dpo_model *model, int64_t n_rows)
{
    int64_t n_own = dpo_range_length(dpo_partition_tokens(&model->partition, n_rows));

    dpo_rms_norm_forward(n_own, model->config.d_model, model->config.norm_eps,
                         last_block(model)->out, dpo_model_norm(model, model->weights),
                         dpo_own_rows(model, n_rows, model->scratch.h), model->scratch.rstd);
    dpo_linear_gather_input(model, n_rows);
}

/* The statistics of all ranks' vocabularies, brought together in the order of the ranks. */
static void merge_statistics(dpo_model *model, int64_t n_rows)
{
    dpo_scratch *scratch = &model->scratch;
    size_t bytes = (size_t)n_rows * sizeof *scratch->statistics;

    if (model->partition.size == 1) return;
    dpo_all_gather_bytes(model->grid, DPO_TENSOR, (int64_t)bytes, scratch->statistics,
                         scratch->all_statistics);
    memcpy(scratch->statistics, scratch->all_statistics, bytes);
    for (int r = 1; r < model->partition.size; r++)
        dpo_logit_statistics_merge(n_rows, scratch->all_statistics + r * n_rows,
                                   scratch->statistics);
}

void dpo_model_head_forward(dpo_model *model, const dpo_batch *batch, float *logp)
{
    dpo_token_logps_statistics(model->token_logps, batch->n_rows, model->scratch.h,
                               dpo_model_weight(model, dpo_model_head(model, model->weights)),
                               batch->target, model->scratch.statistics);
    merge_statistics(model, batch->n_rows);
    dpo_token_logps_finish(model->token_logps, batch->n_rows, model->scratch.statistics, logp);
}

void dpo_model_head_backward(dpo_model *model, const dpo_batch *batch, const float *coefficient)
{
    int64_t d_model = model->config.d_model, n_rows = batch->n_rows;
    int64_t n_own = dpo_range_length(dpo_partition_tokens(&model->partition, n_rows));
    dpo_scratch *scratch = &model->scratch;
    bool is_alone = model->partition.size == 1;

    dpo_token_logps_backward(model->token_logps, n_rows, scratch->h,
                             dpo_model_weight(model, dpo_model_head(model, model->weights)),
                             batch->target, coefficient, scratch->dhead,
                             dpo_model_head(model, model->gradients));
    dpo_linear_reduce(model, n_rows, DPO_ASSIGN, scratch->dh);
    memset(scratch->dout, 0, (size_t)(n_own * d_model) * sizeof *scratch->dout);
    dpo_rms_norm_backward(n_own, d_model, last_block(model)->out,
                          dpo_model_norm(model, model->weights), scratch->rstd,
                          is_alone ? scratch->dhead : scratch->dh, scratch->dout,
                          dpo_model_norm(model, model->gradients));
}

/* A rank's most likely token. */
typedef struct {
    float logit;
    int32_t token;
} likeliest;

/* The most likely token of all ranks, the lowest id among equals: only a token of each rank is sent. */
static int32_t most_likely_of_ranks(const dpo_model *model, const float *logits)
{
    enum { MAX_RANKS = 1024 };
    const dpo_partition *p = &model->partition;
    int64_t n_local = dpo_range_length(p->vocabulary);
    likeliest all[MAX_RANKS], own;

    DPO_ASSERT(p->size <= MAX_RANKS);
    own.token = dpo_most_likely(n_local, logits);
    own.logit = logits[own.token];
    own.token += (int32_t)p->vocabulary.begin;
    dpo_all_gather_bytes(model->grid, DPO_TENSOR, sizeof own, &own, all);
    for (int r = 0; r < p->size; r++)
        if (r == 0 || all[r].logit > own.logit) own = all[r];
    return own.token;
}

int32_t dpo_model_next_token(dpo_model *model, const dpo_sampling *sampling, int64_t index,
                             float *logits, dpo_candidate *candidate)
{
    const dpo_partition *p = &model->partition;
    float *local = logits + p->vocabulary.begin;

    dpo_token_logps_logits(model->token_logps, 1, model->scratch.h,
                           dpo_model_weight(model, dpo_model_head(model, model->weights)), local);
    if (p->size > 1 && sampling->temperature == 0) return most_likely_of_ranks(model, local);
    if (p->size > 1) dpo_all_gather_f32(model->grid, DPO_TENSOR, model->config.n_vocab, logits);
    return dpo_sample(sampling, model->config.n_vocab, logits, index, candidate);
}
