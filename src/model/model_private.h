// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_MODEL_PRIVATE_H
#define DPO_MODEL_MODEL_PRIVATE_H

#include "dpo/base/arena.h"
#include "dpo/math/attention.h"
#include "dpo/math/matmul.h"
#include "dpo/math/rotary.h"
#include "dpo/math/token_logps.h"
#include "dpo/model/model.h"

/* Legend: N tokens, R rows, M = N except in the last block, where M = R; D model, H heads,
   K kv-heads, E head_dim, Q = (H + 2K) E, F d_ff, V vocabulary. */

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
 * buffers, and middle = x = out (in the last block middle = out).
 */
typedef struct {
    float *x;       /* [N, D] the residual stream as it enters */
    float *rstd1;   /* [N] */
    float *qkv;     /* [N, Q] queries and keys turned */
    float *heads;   /* [N, H E] output of attention */
    float *lse;     /* [N, H] */
    float *o_in;    /* [M, H E] heads; in the last block those of the rows that predict */
    float *middle;  /* [M, D] the residual stream between attention and MLP */
    float *rstd2;   /* [M] */
    float *gate_up; /* [M, 2F]; the backward pass replaces it by its gradient */
    float *out;     /* [M, D] the residual stream as it leaves */
} dpo_block_activations;

/* A transformer block. */
typedef struct {
    dpo_block_vectors weight;
    dpo_block_vectors gradient; /* NULLs if not trainable */
    dpo_block_activations act;
} dpo_block;

/* Buffers of one block's pass, T = max(max_tokens, max_rows); those with a leading d are NULL if
   not trainable. */
typedef struct {
    int32_t *position; /* [N] */
    float *h;          /* [T, D] input of a linear layer, then its gradient */
    float *ff;         /* [T, F] gated activation */
    float *rstd;       /* [R] of the final norm */
    int32_t *dtoken;   /* [N] whose embedding gets a gradient; -1 for padding */
    float *dff;        /* [T, F] */
    float *dqkv;       /* [N, Q] */
    float *dheads;     /* [N, H E] */
    float *do_in;      /* [R, H E] of the last block */
    float *dx;         /* [N, D] gradient of the residual stream */
    float *dout;       /* [R, D] gradient of the residual stream as it leaves the last block */
    float *dh;         /* [R, D] gradient of the output of the final norm */
} dpo_scratch;

struct dpo_model {
    dpo_model_config config;
    dpo_model_limits limits; /* max_positions > 0 */
    dpo_parameters parameters;
    dpo_arena arena;  /* holds all that follows down to scratch */
    float *weights;   /* [n_elements] */
    float *gradients; /* [n_elements] or NULL */
    dpo_block *block; /* [L], owned */
    dpo_scratch scratch;

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

/* Table and final norm in a flat vector of weights or of gradients. */
float *dpo_model_embedding(const dpo_model *model, float *flat); /* [V, D] */
float *dpo_model_norm(const dpo_model *model, float *flat);      /* [D] */
float *dpo_model_head(const dpo_model *model, float *flat);      /* [V, D]; the table if tied */

/* layout.c: what the model's arena holds; config, limits, parameters and block are there. Measures
   while the arena does. */
void dpo_model_lay_out(dpo_model *model, dpo_model_memory *memory);

/* block.c: x = embedding of the batch's tokens into the first block, positions into scratch. */
void dpo_model_embed(dpo_model *model, const dpo_batch *batch);

/* block.c: adds scratch.dx to the gradients of the batch's tokens, but not to that of padding. */
void dpo_model_dembed(dpo_model *model, const dpo_batch *batch);

/* block.c: x to out of one block, over the segments of a batch. */
void dpo_block_forward(dpo_model *model, const dpo_batch *batch, int64_t layer);

/* block.c: the same for one token, whose position is in scratch, against a key-value cache
   [> length, K E] each. */
void dpo_block_decode(dpo_model *model, const dpo_batch *batch, int64_t layer, int64_t length,
                      float *key_cache, float *value_cache);

/* block.c: scratch.dx = dL/dx from dL/dout, which is in scratch.dout (last block) or scratch.dx. */
void dpo_block_backward(dpo_model *model, const dpo_batch *batch, int64_t layer);

/* model.c: final norm of the last block's rows into scratch.h [R, D]. */
void dpo_model_final_norm(dpo_model *model, int64_t n_rows);

#endif
