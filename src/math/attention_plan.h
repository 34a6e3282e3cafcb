// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ATTENTION_PLAN_H
#define DPO_MATH_ATTENTION_PLAN_H

/*
 * What the files of attention share: the plan, and how queries and keys are cut.
 *
 * Queries are cut into tiles of TILE_QUERIES tokens of one segment. A tile meets the keys of its own segment,
 * then those of its parent, and so on upwards, in pieces of TILE_KEYS. A tree is a segment without parent
 * and all segments below it.
 *
 *   N tokens, H heads, K kv-heads, E head_dim, G query heads a kv-head.
 */

#include "dpo/math/attention.h"
#include "kernels/kernels.h"

enum { TILE_QUERIES = 64, TILE_KEYS = 256, TILE_SCORES = TILE_QUERIES * TILE_KEYS };
/* So that of every piece of its own segment a query sees at least one key. */
_Static_assert(TILE_KEYS % TILE_QUERIES == 0, "a tile of queries lies within one piece of keys");

/* Queries [begin, end) of one segment; root is the segment at the top of its tree. */
typedef struct {
    int64_t begin, end, segment, root;
} query_tile;

/* Keys [begin, end) of a segment that a tile attends to. */
typedef struct {
    int64_t begin, end, segment;
    int64_t segment_end; /* end of the visible part of the segment */
} key_piece;

/* What one thread needs; parts of one block. */
typedef struct {
    float *s, *dp;    /* [TILE_QUERIES, TILE_KEYS] scores, then probabilities; dL/dp, then dL/ds */
    float *q, *out;   /* [TILE_QUERIES, E] scaled queries; out or dq before it is finished */
    float *dout;      /* [TILE_QUERIES, E] */
    float *max, *sum; /* [TILE_QUERIES] of the online softmax */
    float *delta;     /* [TILE_QUERIES] rowsum(dout out) */
} thread_scratch;

/*
 * Invariant after dpo_attention_plan_run(): the tiles of tree t are tile[tree_begin[t], tree_begin[t + 1]), in
 * the order of their tokens, and key and value hold the columns of qkv.
 */
struct dpo_attention {
    int64_t n_heads, n_kv_heads, head_dim;
    int64_t group;     /* G */
    int64_t skipped;   /* query heads of the first group that are not here */
    int64_t qkv_width; /* (H + 2K) E */
    int64_t out_width; /* H E */
    int64_t max_tokens;
    int n_threads;
    float scale; /* 1 / sqrt(E) */
    const dpo_kernels *kernels;
    int64_t n_tiles, n_trees;
    query_tile *tile;     /* [max_tokens] */
    int64_t *tree_begin;  /* [max_tokens + 1] */
    float *key, *value;   /* [K, max_tokens, E]; value lies in the block of key */
    float *dkey, *dvalue; /* [H, max_tokens, E] by query head; dvalue lies in the block of dkey */
    float *block;         /* memory of scratch */
    thread_scratch *scratch; /* [n_threads] */
};

/* The key-value head of a query head. */
static inline int64_t kv_head(const dpo_attention *attention, int64_t head)
{
    return (head + attention->skipped) / attention->group;
}

/* Cuts the tokens into tiles and copies keys and values of qkv head by head. */
void dpo_attention_plan_run(dpo_attention *attention, const dpo_segments *segments,
                            const float *qkv);

/* An empty piece in front of a tile's first one. */
key_piece dpo_attention_before_keys(const dpo_segments *segments, const query_tile *tile);

/* The next piece, upwards in the tree; 0 if there is none. */
int dpo_attention_next_keys(const dpo_segments *segments, key_piece *piece);

/* How many keys of a piece a query sees, from the first one on: all of another segment, its own causally. */
static inline int64_t n_visible(const query_tile *tile, const key_piece *piece, int64_t query)
{
    int64_t width = piece->end - piece->begin;
    int64_t causal = query + 1 - piece->begin;

    return piece->segment != tile->segment || causal > width ? width : causal;
}

#endif
