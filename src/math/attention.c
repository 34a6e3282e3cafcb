// SPDX-License-Identifier: Apache-2.0
/*
 * out = softmax(q k^T / sqrt(E)) v over the keys that a token sees (segments.h).
 * With p = exp(s - lse), dp = dout v^T, delta = rowsum(dout out): ds = p (dp - delta);
 * dq = ds k / sqrt(E), dk = ds^T q / sqrt(E), dv = p^T dout.
 *
 *   N tokens, H heads, K kv-heads, E head_dim, G = H / K query heads a kv-head;
 *   qkv [N, (H + 2K) E]: columns q [H E], k [K E], v [K E]; out [N, H E]; lse [N, H].
 *
 * Queries are cut into tiles of TILE_QUERIES tokens of one segment. A tile meets the keys of its own segment,
 * then those of its parent, and so on upwards, in pieces of TILE_KEYS. Scores exist for one piece.
 *
 * Forward: a task is (tile, kv-head) and owns its rows of out. Backward: a task is (tree, query head), a
 * tree being a segment without parent and all below it; it owns the tree's rows of dq of that head, and
 * of dk and dv of that head, which are summed over the G heads of a kv-head afterwards. So every number has
 * one owner and one order of sums, however many threads there are.
 */
#include "dpo/math/attention.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "kernels/kernels.h"
#include "onednn.h"

enum { TILE_QUERIES = 64, TILE_KEYS = 256 };
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

/* What one thread needs. */
typedef struct {
    float s[TILE_QUERIES * TILE_KEYS];  /* scores, then probabilities */
    float dp[TILE_QUERIES * TILE_KEYS]; /* dL/dp, then dL/ds */
    float max[TILE_QUERIES], sum[TILE_QUERIES], delta[TILE_QUERIES];
} thread_scratch;

/*
 * Invariant after plan_tiles(): the tiles of tree t are tile[tree_begin[t], tree_begin[t + 1]), in the order
 * of their tokens.
 */
struct dpo_attention {
    int64_t n_heads, n_kv_heads, head_dim;
    int64_t group;     /* G */
    int64_t qkv_width; /* (H + 2K) E */
    int64_t out_width; /* H E */
    int64_t max_tokens;
    int n_threads;
    float scale; /* 1 / sqrt(E) */
    const dpo_kernels *kernels;
    int64_t n_tiles, n_trees;
    query_tile *tile;        /* [max_tokens] */
    int64_t *tree_begin;     /* [max_tokens + 1] */
    thread_scratch *scratch; /* [n_threads] */
    float *dkv;              /* [max_tokens, 2 H E] dk, dv by query head; empty if G = 1 */
};

/* Where a task adds dk and dv of its head. */
typedef struct {
    float *dk, *dv;
    int64_t stride;
} kv_gradients;

static dpo_status allocate(dpo_attention *attention)
{
    int64_t by_query_head = attention->group > 1 ? 2 * attention->out_width : 0;

    DPO_TRY(DPO_NEW(attention->tile, attention->max_tokens));
    DPO_TRY(DPO_NEW(attention->tree_begin, attention->max_tokens + 1));
    DPO_TRY(DPO_NEW(attention->scratch, attention->n_threads));
    return DPO_NEW(attention->dkv, attention->max_tokens * by_query_head);
}

dpo_status dpo_attention_create(const dpo_attention_shape *shape, int64_t max_tokens,
                                dpo_attention **attention)
{
    DPO_ASSERT(shape->n_kv_heads > 0 && shape->n_heads > 0 && shape->head_dim > 0);
    DPO_ASSERT(shape->n_heads % shape->n_kv_heads == 0 && max_tokens > 0);
    DPO_TRY(DPO_NEW(*attention, 1));
    **attention = (dpo_attention){
        .n_heads = shape->n_heads,
        .n_kv_heads = shape->n_kv_heads,
        .head_dim = shape->head_dim,
        .group = shape->n_heads / shape->n_kv_heads,
        .qkv_width = (shape->n_heads + 2 * shape->n_kv_heads) * shape->head_dim,
        .out_width = shape->n_heads * shape->head_dim,
        .max_tokens = max_tokens,
        .n_threads = omp_get_max_threads(),
        .scale = (float)(1.0 / sqrt((double)shape->head_dim)),
        .kernels = dpo_kernels_get(),
    };
    dpo_status status = allocate(*attention);

    if (status != DPO_OK) dpo_attention_destroy(attention);
    return status;
}

void dpo_attention_destroy(dpo_attention **attention)
{
    if (*attention == NULL) return;
    dpo_free((*attention)->tile);
    dpo_free((*attention)->tree_begin);
    dpo_free((*attention)->scratch);
    dpo_free((*attention)->dkv);
    dpo_free(*attention);
    *attention = NULL;
}

/* Trees mostly lie one behind the other, and then nothing moves. */
static void sort_by_tree(query_tile *tile, int64_t n_tiles)
{
    for (int64_t i = 1; i < n_tiles; i++) {
        query_tile moving = tile[i];
        int64_t j = i;

        for (; j > 0 && tile[j - 1].root > moving.root; j--)
            tile[j] = tile[j - 1];
        tile[j] = moving;
    }
}

static void cut_segment(dpo_attention *attention, const dpo_segments *segments, int64_t segment)
{
    int64_t end = segments->begin[segment + 1], root = segment;

    while (segments->parent[root] >= 0)
        root = segments->parent[root];
    for (int64_t begin = segments->begin[segment]; begin < end; begin += TILE_QUERIES)
        attention->tile[attention->n_tiles++] = (query_tile){
            begin, begin + TILE_QUERIES < end ? begin + TILE_QUERIES : end, segment, root};
}

static void plan_tiles(dpo_attention *attention, const dpo_segments *segments)
{
    DPO_ASSERT(dpo_segments_n_tokens(segments) <= attention->max_tokens);
    attention->n_tiles = attention->n_trees = 0;
    for (int64_t segment = 0; segment < segments->n_segments; segment++)
        cut_segment(attention, segments, segment);
    sort_by_tree(attention->tile, attention->n_tiles);
    for (int64_t i = 0; i < attention->n_tiles; i++)
        if (i == 0 || attention->tile[i].root != attention->tile[i - 1].root)
            attention->tree_begin[attention->n_trees++] = i;
    attention->tree_begin[attention->n_trees] = attention->n_tiles;
}

/* An empty piece in front of the first one. */
static key_piece before_keys(const dpo_segments *segments, const query_tile *tile)
{
    int64_t begin = segments->begin[tile->segment];

    return (key_piece){begin, begin, tile->segment, tile->end};
}

/* The next piece, upwards in the tree; 0 if there is none. */
static int next_keys(const dpo_segments *segments, key_piece *piece)
{
    piece->begin = piece->end;
    while (piece->begin == piece->segment_end) {
        piece->segment = segments->parent[piece->segment];
        if (piece->segment < 0) return 0;
        piece->begin = segments->begin[piece->segment];
        piece->segment_end = segments->begin[piece->segment + 1];
    }
    piece->end = piece->begin + TILE_KEYS < piece->segment_end ? piece->begin + TILE_KEYS
                                                               : piece->segment_end;
    return 1;
}

/* How many keys of a piece a query sees, from the first one on: all of another segment, its own causally. */
static int64_t n_visible(const query_tile *tile, const key_piece *piece, int64_t query)
{
    int64_t width = piece->end - piece->begin;
    int64_t causal = query + 1 - piece->begin;

    return piece->segment != tile->segment || causal > width ? width : causal;
}

/* Columns of a head in qkv. */
static const float *queries(const dpo_attention *attention, const float *qkv, int64_t head)
{
    return qkv + head * attention->head_dim;
}

static const float *keys(const dpo_attention *attention, const float *qkv, int64_t head)
{
    return qkv + (attention->n_heads + head / attention->group) * attention->head_dim;
}

static const float *values(const dpo_attention *attention, const float *qkv, int64_t head)
{
    return keys(attention, qkv, head) + attention->n_kv_heads * attention->head_dim;
}

/* scores [queries of the tile, keys of the piece] = rows of a times rows of b. */
static void multiply_rows(const dpo_attention *attention, const query_tile *tile,
                          const key_piece *piece, dpo_matrix a, dpo_matrix b, float *scores)
{
    int64_t width = piece->end - piece->begin;

    a.data += tile->begin * a.stride;
    b.data += piece->begin * b.stride;
    dpo_gemm(tile->end - tile->begin, width, attention->head_dim, a, b, 0.0f, scores, width);
}

/* Scores become probabilities up to the factor that is known at the end; out is carried on. */
static void absorb_scores(const dpo_attention *attention, const query_tile *tile,
                          const key_piece *piece, thread_scratch *scratch, float *out)
{
    int64_t width = piece->end - piece->begin;

    for (int64_t i = 0; i < tile->end - tile->begin; i++) {
        float *s = scratch->s + i * width;
        int64_t visible = n_visible(tile, piece, tile->begin + i);
        float factor = attention->kernels->softmax_step(visible, attention->scale, s,
                                                        &scratch->max[i], &scratch->sum[i]);

        memset(s + visible, 0, (size_t)(width - visible) * sizeof *s);
        if (factor != 1.0f)
            attention->kernels->scale(attention->head_dim, factor,
                                      out + (tile->begin + i) * attention->out_width);
    }
}

static void start_rows(const dpo_attention *attention, const query_tile *tile,
                       thread_scratch *scratch, float *out)
{
    for (int64_t i = 0; i < tile->end - tile->begin; i++) {
        scratch->max[i] = -FLT_MAX;
        scratch->sum[i] = 0.0f;
        memset(out + (tile->begin + i) * attention->out_width, 0,
               (size_t)attention->head_dim * sizeof *out);
    }
}

static void finish_rows(const dpo_attention *attention, const query_tile *tile,
                        const thread_scratch *scratch, float *out, float *lse)
{
    for (int64_t i = 0; i < tile->end - tile->begin; i++) {
        int64_t row = tile->begin + i;

        attention->kernels->scale(attention->head_dim, 1.0f / scratch->sum[i],
                                  out + row * attention->out_width);
        lse[row * attention->n_heads] = scratch->max[i] + logf(scratch->sum[i]);
    }
}

/* One tile and one query head; out and lse point to the head's columns. */
static void forward_tile(const dpo_attention *attention, const dpo_segments *segments,
                         const query_tile *tile, int64_t head, const float *qkv,
                         thread_scratch *scratch, float *out, float *lse)
{
    dpo_matrix q = {queries(attention, qkv, head), attention->qkv_width, 0};
    dpo_matrix k = {keys(attention, qkv, head), attention->qkv_width, 1};
    const float *v = values(attention, qkv, head);
    key_piece piece = before_keys(segments, tile);

    start_rows(attention, tile, scratch, out);
    while (next_keys(segments, &piece)) {
        int64_t width = piece.end - piece.begin;

        multiply_rows(attention, tile, &piece, q, k, scratch->s);
        absorb_scores(attention, tile, &piece, scratch, out);
        dpo_gemm(tile->end - tile->begin, attention->head_dim, width,
                 (dpo_matrix){scratch->s, width, 0},
                 (dpo_matrix){v + piece.begin * attention->qkv_width, attention->qkv_width, 0},
                 1.0f, out + tile->begin * attention->out_width, attention->out_width);
    }
    finish_rows(attention, tile, scratch, out, lse);
}

/* The last tiles of a segment have most keys and go first. */
void dpo_attention_forward(dpo_attention *attention, const dpo_segments *segments, const float *qkv,
                           float *out, float *lse)
{
    plan_tiles(attention, segments);
    int64_t n_tasks = attention->n_tiles * attention->n_kv_heads;

#pragma omp parallel for schedule(dynamic) num_threads(attention->n_threads)
    for (int64_t task = n_tasks - 1; task >= 0; task--) {
        const query_tile *tile = &attention->tile[task / attention->n_kv_heads];
        int64_t first = task % attention->n_kv_heads * attention->group;
        thread_scratch *scratch = &attention->scratch[omp_get_thread_num()];

        for (int64_t head = first; head < first + attention->group; head++)
            forward_tile(attention, segments, tile, head, qkv, scratch,
                         out + head * attention->head_dim, lse + head);
    }
}

/* Probabilities into s, dL/ds into dp. */
static void differentiate_scores(const dpo_attention *attention, const query_tile *tile,
                                 const key_piece *piece, const float *lse, thread_scratch *scratch)
{
    int64_t width = piece->end - piece->begin;

    for (int64_t i = 0; i < tile->end - tile->begin; i++) {
        float *s = scratch->s + i * width, *dp = scratch->dp + i * width;
        int64_t visible = n_visible(tile, piece, tile->begin + i);
        size_t hidden_bytes = (size_t)(width - visible) * sizeof *s;

        attention->kernels->softmax_backward(visible, attention->scale,
                                             lse[(tile->begin + i) * attention->n_heads],
                                             scratch->delta[i], s, dp);
        memset(s + visible, 0, hidden_bytes);
        memset(dp + visible, 0, hidden_bytes);
    }
}

/* rows of the piece (+)= scores^T times the tile's rows of b. */
static void add_to_keys(const dpo_attention *attention, const query_tile *tile,
                        const key_piece *piece, const float *scores, dpo_matrix b,
                        const kv_gradients *target, float *gradient)
{
    int64_t width = piece->end - piece->begin;

    b.data += tile->begin * b.stride;
    dpo_gemm(width, attention->head_dim, tile->end - tile->begin, (dpo_matrix){scores, width, 1}, b,
             1.0f, gradient + piece->begin * target->stride, target->stride);
}

static void start_backward_rows(const dpo_attention *attention, const query_tile *tile,
                                const float *out, const float *dout, thread_scratch *scratch)
{
    for (int64_t i = 0; i < tile->end - tile->begin; i++) {
        int64_t offset = (tile->begin + i) * attention->out_width;

        scratch->delta[i] =
            attention->kernels->dot(attention->head_dim, out + offset, dout + offset);
    }
}

/* What all backward tasks share; gradients are those of dqkv. */
typedef struct {
    const dpo_segments *segments;
    const float *qkv, *out, *lse, *dout;
    float *dqkv;
} backward_arguments;

/* One tile and one query head: dq of the tile, and its part of dk and dv. */
static void backward_tile(const dpo_attention *attention, const backward_arguments *arguments,
                          const query_tile *tile, int64_t head, const kv_gradients *target,
                          thread_scratch *scratch)
{
    int64_t width = attention->qkv_width, n_queries = tile->end - tile->begin;
    int64_t column = head * attention->head_dim;
    dpo_matrix q = {queries(attention, arguments->qkv, head), width, 0};
    dpo_matrix k = {keys(attention, arguments->qkv, head), width, 1};
    dpo_matrix v = {values(attention, arguments->qkv, head), width, 1};
    dpo_matrix dout = {arguments->dout + column, attention->out_width, 0};
    float *dq = arguments->dqkv + column + tile->begin * width, beta = 0.0f;
    key_piece piece = before_keys(arguments->segments, tile);

    start_backward_rows(attention, tile, arguments->out + column, dout.data, scratch);
    for (; next_keys(arguments->segments, &piece); beta = 1.0f) {
        int64_t n_keys = piece.end - piece.begin;

        multiply_rows(attention, tile, &piece, q, k, scratch->s);
        multiply_rows(attention, tile, &piece, dout, v, scratch->dp);
        differentiate_scores(attention, tile, &piece, arguments->lse + head, scratch);
        add_to_keys(attention, tile, &piece, scratch->s, dout, target, target->dv);
        add_to_keys(attention, tile, &piece, scratch->dp, q, target, target->dk);
        dpo_gemm(n_queries, attention->head_dim, n_keys, (dpo_matrix){scratch->dp, n_keys, 0},
                 (dpo_matrix){k.data + piece.begin * width, width, 0}, beta, dq, width);
    }
}

static kv_gradients gradients_of_head(const dpo_attention *attention, float *dqkv, int64_t head)
{
    int64_t column = head * attention->head_dim, out_width = attention->out_width;

    if (attention->group > 1)
        return (kv_gradients){attention->dkv + column, attention->dkv + out_width + column,
                              2 * out_width};
    return (kv_gradients){dqkv + out_width + column, dqkv + 2 * out_width + column,
                          attention->qkv_width};
}

/* One tree and one query head. */
static void backward_tree(const dpo_attention *attention, const backward_arguments *arguments,
                          int64_t tree, int64_t head, thread_scratch *scratch)
{
    kv_gradients target = gradients_of_head(attention, arguments->dqkv, head);
    size_t head_bytes = (size_t)attention->head_dim * sizeof(float);
    const query_tile *begin = attention->tile + attention->tree_begin[tree];
    const query_tile *end = attention->tile + attention->tree_begin[tree + 1];

    for (const query_tile *tile = begin; tile < end; tile++)
        for (int64_t row = tile->begin; row < tile->end; row++) {
            memset(target.dk + row * target.stride, 0, head_bytes);
            memset(target.dv + row * target.stride, 0, head_bytes);
        }
    for (const query_tile *tile = begin; tile < end; tile++)
        backward_tile(attention, arguments, tile, head, &target, scratch);
}

/* dk, dv of a kv-head: the sum over the query heads of its group. */
static void sum_groups(const dpo_attention *attention, int64_t n_tokens, float *dqkv)
{
    int64_t head_dim = attention->head_dim, n_heads = attention->n_heads;

#pragma omp parallel for schedule(static) num_threads(attention->n_threads)
    for (int64_t n = 0; n < n_tokens; n++) {
        const float *from = attention->dkv + n * 2 * attention->out_width;
        float *to = dqkv + n * attention->qkv_width + attention->out_width;

        for (int64_t head = 0; head < 2 * n_heads; head++) {
            float *sum = to + head / attention->group * head_dim;

            if (head % attention->group == 0)
                memcpy(sum, from + head * head_dim, (size_t)head_dim * sizeof *sum);
            else
                attention->kernels->add(head_dim, from + head * head_dim, sum);
        }
    }
}

void dpo_attention_backward(dpo_attention *attention, const dpo_segments *segments,
                            const float *qkv, const float *out, const float *lse, const float *dout,
                            float *dqkv)
{
    backward_arguments arguments = {segments, qkv, out, lse, dout, dqkv};

    plan_tiles(attention, segments);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(attention->n_threads)
    for (int64_t tree = 0; tree < attention->n_trees; tree++)
        for (int64_t head = 0; head < attention->n_heads; head++)
            backward_tree(attention, &arguments, tree, head,
                          &attention->scratch[omp_get_thread_num()]);
    if (attention->group > 1) sum_groups(attention, dpo_segments_n_tokens(segments), dqkv);
}

/* One query head against a cache of n_keys rows. */
static void decode_head(const dpo_attention *attention, int64_t n_keys, const float *q,
                        const float *key, const float *value, thread_scratch *scratch, float *out)
{
    const dpo_kernels *kernels = attention->kernels;
    int64_t stride = attention->n_kv_heads * attention->head_dim;
    float max = -FLT_MAX, sum = 0.0f;

    memset(out, 0, (size_t)attention->head_dim * sizeof *out);
    for (int64_t begin = 0; begin < n_keys; begin += TILE_KEYS) {
        int64_t n = begin + TILE_KEYS < n_keys ? TILE_KEYS : n_keys - begin;

        kernels->key_scores(n, attention->head_dim, stride, q, key + begin * stride, scratch->s);
        kernels->scale(attention->head_dim,
                       kernels->softmax_step(n, attention->scale, scratch->s, &max, &sum), out);
        kernels->value_sum(n, attention->head_dim, stride, scratch->s, value + begin * stride, out);
    }
    kernels->scale(attention->head_dim, 1.0f / sum, out);
}

void dpo_attention_decode(dpo_attention *attention, int64_t n_sequences, const float *qkv,
                          const int64_t *length, float *const *key_cache, float *const *value_cache,
                          float *out)
{
    int64_t n_kv_heads = attention->n_kv_heads, head_dim = attention->head_dim;
    size_t head_bytes = (size_t)head_dim * sizeof *out;

#pragma omp parallel for collapse(2) schedule(static) num_threads(attention->n_threads)
    for (int64_t b = 0; b < n_sequences; b++)
        for (int64_t kv = 0; kv < n_kv_heads; kv++) {
            const float *row = qkv + b * attention->qkv_width;
            int64_t first = kv * attention->group, offset = kv * head_dim;
            int64_t end = length[b] * n_kv_heads * head_dim + offset;

            memcpy(key_cache[b] + end, keys(attention, row, first), head_bytes);
            memcpy(value_cache[b] + end, values(attention, row, first), head_bytes);
            for (int64_t head = first; head < first + attention->group; head++)
                decode_head(attention, length[b] + 1, queries(attention, row, head),
                            key_cache[b] + offset, value_cache[b] + offset,
                            &attention->scratch[omp_get_thread_num()],
                            out + b * attention->out_width + head * head_dim);
        }
}
