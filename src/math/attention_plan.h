// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ATTENTION_PLAN_H
#define DPO_MATH_ATTENTION_PLAN_H

/*
 * What the files of attention share: the plan, and how queries and keys are cut.
 *
 * Queries are cut into tiles of T tokens of one segment. A tile meets the keys of its own segment, then those
 * of its parent, and so on upwards, in pieces of S. A tree is a segment without parent and all
 * segments below it; a strip is a part of a tree's tiles, one behind the other.
 *
 *   N tokens, H heads, K kv-heads, E head_dim, G query heads a kv-head;
 *   R rows: the queries of a tile times the query heads of a kv-head, R <= T G; P strips of a tree at most.
 * "Operands" are elements of the type that products take.
 */

#include "dpo/base/range.h"
#include "dpo/math/attention.h"
#include "element_rows.h"
#include "kernels/kernels.h"

/* Rows of scores are whole vectors of any level, so that no kernel ends in a loop over single numbers. */
enum { SCORE_LANES = 16 };
/*
 * A backward task is (strip, kv-head). Trees are cut when they have work enough, whatever the number of threads and
 * the other trees are, so that bits do not depend on those. A large tree gives TREE_TASKS or more.
 */
enum { MAX_STRIPS = 8, TREE_TASKS = 12, STRIP_WORK = 1 << 16 };

/* Queries [begin, end) of one segment; root is the segment at the top of its tree. */
typedef struct {
    int64_t begin, end, segment, root;
} query_tile;

/*
 * Tiles [begin, end) of a tree, the part-th of its n_parts strips; they see no keys but those of the tiles
 * [tree_begin, end). work counts their (query, key) pairs, hidden ones of the diagonal included.
 */
typedef struct {
    int64_t tree_begin, begin, end, part, n_parts, work;
} query_strip;

/* Keys [begin, end) of a segment that a tile attends to. */
typedef struct {
    int64_t begin, end, segment;
    int64_t segment_end; /* end of the visible part of the segment */
    int64_t max_keys;    /* S */
} key_piece;

static const float ln2 = 0.69314718056f;

/* What one thread needs; parts of one block. */
typedef struct {
    float *s, *dp;  /* [T G, S] scores, then operands: probabilities; dL/dp, then operands: dL/ds */
    void *q, *dout; /* [T G, E] operands; room for f32 */
    float *out;     /* [T G, E] out or dq before it is finished */
    float *max, *sum; /* [T G] of the online softmax */
    float *delta;     /* [T G] rowsum(dout out) */
    uint16_t *row;    /* [S] a row of scores on its way to operands of bf16 */
    void *work;       /* of this thread's products */
} thread_scratch;

/*
 * Invariant after dpo_attention_plan_run(): the tiles of a tree lie one behind the other in the order of their
 * tokens; strip[] covers all tiles, those with most work first; key and value hold the columns of qkv as operands.
 * T divides S, so that a tile lies within one piece of its own segment, and of every piece of that a query sees at
 * least one key.
 */
struct dpo_attention {
    int64_t n_heads, n_kv_heads, head_dim;
    int64_t group;   /* G */
    int64_t skipped; /* query heads of the first group that are not here */
    dpo_element elements, compute;
    int64_t qkv_width; /* (H + 2K) E */
    int64_t out_width; /* H E */
    int64_t max_tokens;
    int64_t tile_queries; /* T */
    int64_t tile_keys;    /* S */
    int64_t max_strips;   /* P */
    int n_threads;
    float scale;       /* 1 / sqrt(E) */
    float query_scale; /* log2(e) / sqrt(E): scores are in base 2 */
    float dkey_scale;  /* of ds^T q in the end, by how q was scaled */
    const dpo_kernels *kernels;
    int64_t n_tiles, n_strips;
    query_tile *tile;        /* [max_tokens] */
    query_strip *strip;      /* [max_tokens] */
    void *key, *value;       /* [K, max_tokens, E] operands; value lies in the block of key */
    float *dkey, *dvalue;    /* [P, K, max_tokens, E] by strip; dvalue lies in the block of dkey */
    float *block;            /* memory of scratch */
    thread_scratch *scratch; /* [n_threads] */
};

/* The query heads of a kv-head that are here. */
static inline dpo_range heads_of(const dpo_attention *attention, int64_t kv)
{
    int64_t first = kv * attention->group - attention->skipped;

    return dpo_range_intersect((dpo_range){first, first + attention->group},
                               (dpo_range){0, attention->n_heads});
}

/* Cuts the tokens into tiles and copies keys and values of qkv head by head. */
void dpo_attention_plan_run(dpo_attention *attention, const dpo_segments *segments,
                            const void *qkv);

/* An empty piece in front of a tile's first one. */
key_piece dpo_attention_before_keys(const dpo_attention *attention, const dpo_segments *segments,
                                    const query_tile *tile);

/* Elements between rows of n_keys scores. */
static inline int64_t padded(int64_t n_keys)
{
    return (n_keys + SCORE_LANES - 1) / SCORE_LANES * SCORE_LANES;
}

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
