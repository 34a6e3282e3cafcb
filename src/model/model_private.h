// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_MODEL_PRIVATE_H
#define DPO_MODEL_MODEL_PRIVATE_H

#include "dpo/base/arena.h"
#include "dpo/comm/exchange.h"
#include "dpo/math/attention.h"
#include "dpo/math/matmul.h"
#include "dpo/math/rotary.h"
#include "dpo/math/token_logps.h"
#include "dpo/model/generate.h"
#include "dpo/model/model.h"
#include "sampling.h"

/*
 * Legend: N tokens, R rows, M = N except in the last block, where M = R; D model, E head_dim; of this
 * tensor-parallel rank: H heads, K kv-heads, Q = (H + 2K) E, F columns of the MLP, V tokens of the
 * vocabulary. Arrays behind void are of the limits' activations type. Arrays of "own" rows, M', N' or R', hold dpo_partition_tokens() of the M, N or R.
 */

/* One block's part of the flat vector of weights or of gradients. */
typedef struct {
    float *norm1;   /* [D] */
    float *qkv;     /* [Q, D] */
    float *o;       /* [D, H E] */
    float *norm2;   /* [D] */
    float *gate_up; /* [2F, D] */
    float *down;    /* [D, F] */
} dpo_block_vectors;

/*
 * What a block computes and keeps for its backward pass; what is cheap to redo (norms, the gated
 * activation) is not kept.
 *
 * Invariant: out is the next block's x. Of a model that is not trainable all blocks share their
 * buffers, and middle = x = out (in the last block middle = out). What is computed again lies in
 * buffers that all blocks share but the last, whose rows it has for itself.
 */
typedef struct {
    float *x;      /* [N', D] the residual stream as it enters */
    float *rstd1;  /* [N'] */
    void *qkv;     /* [N, Q] queries and keys turned */
    void *heads;   /* [N, H E] output of attention */
    float *lse;    /* [N, H] */
    void *o_in;    /* [M, H E] heads; in the last block those of the rows that predict */
    float *middle; /* [M', D] the residual stream between attention and MLP */
    float *rstd2;  /* [M'] */
    void *
        gate_up; /* [M, 2F], rows dpo_gate_up_stride() apart; the backward pass replaces it by its gradient */
    float *out; /* [M', D] the residual stream as it leaves */
} dpo_block_activations;

/* A transformer block. */
typedef struct {
    dpo_block_vectors weight;
    dpo_block_vectors gradient; /* NULLs if not trainable */
    dpo_block_activations act;
} dpo_block;

/*
 * Buffers of one block's pass, T = max(max_tokens, max_rows); those with a leading d are NULL if not
 * trainable. Of several tensor-parallel ranks h, rows and partial lie in the exchange; of one, partial
 * and dh are h, and rows is not used.
 */
typedef struct {
    void *staging;                    /* of the linear layers */
    int32_t *position;                /* [N] */
    float *h;                         /* [T, D] input of a linear layer, all rows */
    float *rows;                      /* [T, D] all rows of the residual stream or its gradient */
    float *partial;                   /* [T, D] what this rank adds to all rows */
    void *ff;                         /* [T, F] gated activation */
    float *rstd;                      /* [R'] of the final norm */
    dpo_logit_statistics *statistics; /* [R] of the vocabulary */
    dpo_logit_statistics *all_statistics; /* [ranks, R]; NULL of one rank */
    int32_t *dtoken;                      /* [N] whose embedding gets a gradient; -1 for padding */
    void *dff;                            /* [T, F] */
    void *dqkv;                           /* [N, Q] */
    void *dheads;                         /* [N, H E] */
    void *do_in;                          /* [R, H E] of the last block */
    float *dx;                            /* [N', D] gradient of the residual stream */
    float *dout; /* [R', D] gradient of the residual stream as it leaves the last block */
    float *dh;   /* [T', D] gradient of h's own rows */
    float
        *dhead; /* [R, D] what this rank adds to the gradient of the head's input; may be partial */
} dpo_scratch;

struct dpo_model {
    const dpo_grid *grid; /* borrowed */
    dpo_model_config config;
    dpo_partition partition;
    int64_t n_shared_kv;     /* kv-heads that several ranks have */
    int64_t *shared_kv;      /* [n_shared_kv], owned */
    dpo_model_limits limits; /* max_positions > 0 */
    dpo_parameters parameters;
    dpo_arena arena; /* holds all that follows down to scratch, but what lies in the exchange */
    float *weights;  /* [n_elements] */
    uint16_t *weights_bf16; /* [n_elements] rounded; NULL unless products take bf16 */
    bool is_rounded;        /* weights_bf16 are those of weights */
    float *gradients;       /* [n_elements] or NULL */
    dpo_block *block;       /* [L], owned */
    dpo_scratch scratch;
    dpo_exchange *exchange; /* of the tensor-parallel ranks, [T, D] */

    dpo_matmul *qkv_matmul;
    dpo_matmul *o_matmul;
    dpo_matmul *gate_up_matmul;
    dpo_matmul *down_matmul;
    dpo_attention *attention;
    dpo_rotary *rotary;
    dpo_token_logps *token_logps;

    int64_t kept_tokens; /* N and R of the forward pass whose activations are kept, -1 = none */
    int64_t kept_rows;
};

/* A part of the flat vector of weights, as products read it. */
static inline dpo_weight dpo_model_weight(const dpo_model *model, const float *weight)
{
    const uint16_t *rounded = model->weights_bf16;

    return (dpo_weight){weight, rounded == NULL ? NULL : rounded + (weight - model->weights)};
}

/* model.c: before a pass, brings weights_bf16 up to date. */
void dpo_model_round_weights(dpo_model *model);

/* The linear layers of a block. */
typedef enum { DPO_QKV, DPO_O, DPO_GATE_UP, DPO_DOWN, DPO_N_LINEARS } dpo_linear;

/* model.c: the shape of this rank's part of one. */
dpo_matmul_shape dpo_model_linear_shape(const dpo_model *model, dpo_linear linear);

/* Table and final norm in a flat vector of weights or of gradients. */
float *dpo_model_embedding(const dpo_model *model, float *flat); /* [V, D] */
float *dpo_model_norm(const dpo_model *model, float *flat);      /* [D] */
float *dpo_model_head(const dpo_model *model, float *flat);      /* [V, D]; the table if tied */

/* layout.c: what the model's arena holds; config, partition, limits, parameters and block are there.
   Measures while the arena does. */
void dpo_model_lay_out(dpo_model *model, dpo_model_memory *memory);

/* model.c: this rank's heads. */
dpo_attention_shape dpo_model_attention_shape(const dpo_model *model);

/* layout.c: rows of the exchange. */
int64_t dpo_model_exchange_rows(const dpo_model *model);

/* vocabulary.c: x = embedding of the batch's tokens into the first block. */
void dpo_model_embed(dpo_model *model, const dpo_batch *batch);

/* vocabulary.c: adds scratch.dx to the gradients of the batch's tokens, but not to that of padding. */
void dpo_model_dembed(dpo_model *model, const dpo_batch *batch);

/* vocabulary.c: final norm of the last block's rows into scratch.h [R, D]. */
void dpo_model_final_norm(dpo_model *model, int64_t n_rows);

/* vocabulary.c: logp [R] of the targets from scratch.h. */
void dpo_model_head_forward(dpo_model *model, const dpo_batch *batch, float *logp);

/* vocabulary.c: dL/dlogp to scratch.dout, the gradient of the last block's rows: head, then final norm. */
void dpo_model_head_backward(dpo_model *model, const dpo_batch *batch, const float *coefficient);

/* vocabulary.c: the next token behind scratch.h [1, D]; logits and candidate [vocab_size] are scratch. */
int32_t dpo_model_next_token(dpo_model *model, const dpo_sampling *sampling, int64_t index,
                             float *logits, dpo_candidate *candidate);

/* block.c: x to out of one block, over the segments of a batch. */
void dpo_block_forward(dpo_model *model, const dpo_batch *batch, int64_t layer);

/* block.c: the same for one token, whose position is in scratch, against a key-value cache
   [> length, K E] each. */
void dpo_block_decode(dpo_model *model, const dpo_batch *batch, int64_t layer, int64_t length,
                      float *key_cache, float *value_cache);

/* block.c: scratch.dx = dL/dx from dL/dout, which is in scratch.dout (last block) or scratch.dx. */
void dpo_block_backward(dpo_model *model, const dpo_batch *batch, int64_t layer);

/* Columns of a rank's queries, keys and values: (H + 2K) E. */
static inline int64_t dpo_qkv_width(const dpo_model *model)
{
    const dpo_partition *p = &model->partition;

    return (dpo_range_length(p->heads) + 2 * dpo_range_length(p->kv_heads)) *
           model->config.head_dim;
}

/* Elements from one row of gate_up to the next. */
static inline int64_t dpo_gate_up_stride(const dpo_model *model)
{
    return dpo_matmul_fast_stride(model->limits.activations,
                                  2 * dpo_range_length(model->partition.ff));
}

/* Columns of a rank's output of attention: H E. */
static inline int64_t dpo_heads_width(const dpo_model *model)
{
    return dpo_range_length(model->partition.heads) * model->config.head_dim;
}

/* The two gathered matrices of the exchange: scratch.h and scratch.rows. */
enum { DPO_WHOLE_INPUT, DPO_WHOLE_ROWS, DPO_N_WHOLES };

/* linear.c: the own ones of n rows of width D. */
float *dpo_own_rows(const dpo_model *model, int64_t n, float *all);

/* linear.c: all n rows of scratch.h on every rank, of which each wrote its own. */
void dpo_linear_gather_input(dpo_model *model, int64_t n);

/* linear.c: all n rows of a matrix of width D of which each rank has its own; in scratch.rows, or `own`
   itself of one rank. Valid until the next gathering of rows. */
const float *dpo_linear_gather_rows(dpo_model *model, int64_t n, const float *own);

/* linear.c: own (=|+=) the own rows of the sum over ranks of partial, which is scratch.partial. */
void dpo_linear_reduce(dpo_model *model, int64_t n, dpo_output output, float *own);

/* linear.c: own += own rows of the sum over ranks of x W^T: row-parallel, x is this rank's columns. */
void dpo_linear_row_forward(dpo_model *model, dpo_matmul *matmul, int64_t n, const void *x,
                            const float *weight, float *own);

/* linear.c: scratch.dh = own rows of the sum over ranks of dy W: column-parallel backward. */
void dpo_linear_column_backward(dpo_model *model, dpo_matmul *matmul, int64_t n, const void *dy,
                                const float *weight);

/* linear.c: sums the gradients of a layer that several ranks have (of the last one also the final
   norm's) over these ranks. */
void dpo_linear_sum_shared(dpo_model *model, int64_t layer);

#endif
