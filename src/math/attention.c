// SPDX-License-Identifier: Apache-2.0
/*
 * out = softmax(q k^T / sqrt(E)) v over the keys that a token sees (segments.h).
 * With p = exp(s - lse), dp = dout v^T, delta = rowsum(dout out): ds = p (dp - delta);
 * dq = ds k / sqrt(E), dk = ds^T q / sqrt(E), dv = p^T dout.
 *
 *   N tokens, H heads, K kv-heads, E head_dim, G query heads a kv-head;
 *   qkv [N, (H + 2K) E]: columns q [H E], k [K E], v [K E]; out [N, H E]; lse [N, H].
 *
 * A task works on one query head with operands that lie together: keys and values were copied by the plan, the
 * queries of a tile are copied, already scaled, into the thread's scratch, where its result grows too.
 *
 * Forward: a task is (tile, head) and owns its rows of out. Backward: a task is (tree, head) and owns the
 * tree's rows of dq, dk and dv of that head; dk and dv are summed over the G heads of a kv-head afterwards.
 * So every number has one owner and one order of sums, however many threads there are.
 */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "attention_plan.h"
#include "dpo/base/phase.h"
#include "onednn.h"

/* One tile and one query head; qkv and the others point to row 0 of the whole arrays. */
typedef struct {
    const dpo_attention *attention;
    const dpo_segments *segments;
    const query_tile *tile;
    int64_t head, n_queries;
    thread_scratch *scratch;
} task;

static task make_task(const dpo_attention *attention, const dpo_segments *segments, int64_t tile,
                      int64_t head)
{
    const query_tile *queries = &attention->tile[tile];

    return (task){attention,
                  segments,
                  queries,
                  head,
                  queries->end - queries->begin,
                  &attention->scratch[omp_get_thread_num()]};
}

/* Rows of head `head` from token `token` on in an array [heads, max_tokens, E]. */
static float *head_rows(const dpo_attention *attention, float *array, int64_t head, int64_t token)
{
    return array + (head * attention->max_tokens + token) * attention->head_dim;
}

static dpo_matrix keys_of(const task *t, const key_piece *piece, float *array, int transposed)
{
    int64_t kv = kv_head(t->attention, t->head);

    return (dpo_matrix){head_rows(t->attention, array, kv, piece->begin), t->attention->head_dim,
                        transposed};
}

/* to[i] = a from[i] for the tile's rows of E elements. */
static void copy_rows(const task *t, float a, const float *from, int64_t from_stride, float *to,
                      int64_t to_stride)
{
    for (int64_t i = 0; i < t->n_queries; i++)
        t->attention->kernels->scale(t->attention->head_dim, a, from + i * from_stride,
                                     to + i * to_stride);
}

/* The tile's queries, scaled, into the scratch. */
static void copy_queries(const task *t, const float *qkv)
{
    const dpo_attention *attention = t->attention;

    copy_rows(t, attention->scale,
              qkv + t->tile->begin * attention->qkv_width + t->head * attention->head_dim,
              attention->qkv_width, t->scratch->q, attention->head_dim);
}

/* product [queries of the tile, keys of the piece] = rows times keys^T. */
static void multiply_rows(const task *t, const key_piece *piece, const float *rows, float *keys,
                          float *product)
{
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;

    dpo_gemm(t->n_queries, n_keys, head_dim, (dpo_matrix){rows, head_dim, 0},
             keys_of(t, piece, keys, 1), 0.0f, product, n_keys);
}

/* The scratch's out (=|+=) scores times keys (or values). */
static void add_to_out(const task *t, const key_piece *piece, const float *scores, float *keys,
                       int is_first)
{
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;

    dpo_gemm(t->n_queries, head_dim, n_keys, (dpo_matrix){scores, n_keys, 0},
             keys_of(t, piece, keys, 0), is_first ? 0.0f : 1.0f, t->scratch->out, head_dim);
}

/* Scores become probabilities up to the factor that is known at the end; out is carried on. */
static void absorb_scores(const task *t, const key_piece *piece, int is_first)
{
    const dpo_kernels *kernels = t->attention->kernels;
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;

    for (int64_t i = 0; i < t->n_queries; i++) {
        float *s = t->scratch->s + i * n_keys, *out = t->scratch->out + i * head_dim;
        int64_t visible = n_visible(t->tile, piece, t->tile->begin + i);
        float factor = kernels->softmax_step(visible, s, &t->scratch->max[i], &t->scratch->sum[i]);

        memset(s + visible, 0, (size_t)(n_keys - visible) * sizeof *s);
        if (!is_first && factor != 1.0f) kernels->scale(head_dim, factor, out, out);
    }
}

static void finish_rows(const task *t, float *out, float *lse)
{
    const dpo_attention *attention = t->attention;
    int64_t head_dim = attention->head_dim;

    for (int64_t i = 0; i < t->n_queries; i++) {
        int64_t row = t->tile->begin + i;
        float sum = t->scratch->sum[i];

        attention->kernels->scale(head_dim, 1.0f / sum, t->scratch->out + i * head_dim,
                                  out + row * attention->out_width + t->head * head_dim);
        lse[row * attention->n_heads + t->head] = t->scratch->max[i] + logf(sum);
    }
}

static void forward_task(const task *t, const float *qkv, float *out, float *lse)
{
    key_piece piece = dpo_attention_before_keys(t->segments, t->tile);

    copy_queries(t, qkv);
    for (int64_t i = 0; i < t->n_queries; i++) {
        t->scratch->max[i] = -FLT_MAX;
        t->scratch->sum[i] = 0.0f;
    }
    for (int is_first = 1; dpo_attention_next_keys(t->segments, &piece); is_first = 0) {
        multiply_rows(t, &piece, t->scratch->q, t->attention->key, t->scratch->s);
        absorb_scores(t, &piece, is_first);
        add_to_out(t, &piece, t->scratch->s, t->attention->value, is_first);
    }
    finish_rows(t, out, lse);
}

/* The last tiles of a segment have most keys and go first. */
void dpo_attention_forward(dpo_attention *attention, const dpo_segments *segments, const float *qkv,
                           float *out, float *lse)
{
    dpo_phase_begin(DPO_PHASE_ATTENTION_FORWARD);
    dpo_phase_add_flops(DPO_PHASE_ATTENTION_FORWARD,
                        4.0 * (double)attention->out_width * dpo_segments_n_pairs(segments));
    dpo_attention_plan_run(attention, segments, qkv);
    int64_t n_tasks = attention->n_tiles * attention->n_heads;

#pragma omp parallel for schedule(dynamic) num_threads(attention->n_threads)
    for (int64_t i = n_tasks - 1; i >= 0; i--) {
        task t = make_task(attention, segments, i / attention->n_heads, i % attention->n_heads);

        forward_task(&t, qkv, out, lse);
    }
    dpo_phase_end(DPO_PHASE_ATTENTION_FORWARD);
}

/* Rows of out and dout of the tile: delta, and dout into the scratch. */
static void copy_gradients(const task *t, const float *out, const float *dout)
{
    const dpo_attention *attention = t->attention;
    int64_t head_dim = attention->head_dim;

    for (int64_t i = 0; i < t->n_queries; i++) {
        int64_t offset = (t->tile->begin + i) * attention->out_width + t->head * head_dim;

        t->scratch->delta[i] = attention->kernels->dot(head_dim, out + offset, dout + offset);
        memcpy(t->scratch->dout + i * head_dim, dout + offset, (size_t)head_dim * sizeof *dout);
    }
}

/* Probabilities into s, dL/ds into dp. */
static void differentiate_scores(const task *t, const key_piece *piece, const float *lse)
{
    const dpo_attention *attention = t->attention;
    int64_t n_keys = piece->end - piece->begin;

    for (int64_t i = 0; i < t->n_queries; i++) {
        float *s = t->scratch->s + i * n_keys, *dp = t->scratch->dp + i * n_keys;
        int64_t row = t->tile->begin + i, visible = n_visible(t->tile, piece, row);
        size_t hidden_bytes = (size_t)(n_keys - visible) * sizeof *s;

        attention->kernels->softmax_backward(visible, lse[row * attention->n_heads + t->head],
                                             t->scratch->delta[i], s, dp);
        memset(s + visible, 0, hidden_bytes);
        memset(dp + visible, 0, hidden_bytes);
    }
}

/* Rows of the piece in dkey or dvalue += scores^T rows. */
static void add_to_keys(const task *t, const key_piece *piece, const float *scores,
                        const float *rows, float *gradient)
{
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;

    dpo_gemm(n_keys, head_dim, t->n_queries, (dpo_matrix){scores, n_keys, 1},
             (dpo_matrix){rows, head_dim, 0}, 1.0f,
             head_rows(t->attention, gradient, t->head, piece->begin), head_dim);
}

/* s and ds are those of scaled queries, so dk takes the scaled ones and dq is scaled at the end. */
static void backward_task(const task *t, const float *qkv, const float *out, const float *lse,
                          const float *dout, float *dqkv)
{
    const dpo_attention *attention = t->attention;
    int64_t width = attention->qkv_width, head_dim = attention->head_dim;
    thread_scratch *scratch = t->scratch;
    key_piece piece = dpo_attention_before_keys(t->segments, t->tile);

    copy_queries(t, qkv);
    copy_gradients(t, out, dout);
    for (int is_first = 1; dpo_attention_next_keys(t->segments, &piece); is_first = 0) {
        multiply_rows(t, &piece, scratch->q, attention->key, scratch->s);
        multiply_rows(t, &piece, scratch->dout, attention->value, scratch->dp);
        differentiate_scores(t, &piece, lse);
        add_to_keys(t, &piece, scratch->s, scratch->dout, attention->dvalue);
        add_to_keys(t, &piece, scratch->dp, scratch->q, attention->dkey);
        add_to_out(t, &piece, scratch->dp, attention->key, is_first);
    }
    copy_rows(t, attention->scale, scratch->out, head_dim,
              dqkv + t->tile->begin * width + t->head * head_dim, width);
}

/* dk, dv of the tokens of a tree in one head. */
static void clear_tree(const dpo_attention *attention, int64_t tree, int64_t head)
{
    for (int64_t i = attention->tree_begin[tree]; i < attention->tree_begin[tree + 1]; i++) {
        const query_tile *tile = &attention->tile[i];
        size_t bytes = (size_t)((tile->end - tile->begin) * attention->head_dim) * sizeof(float);

        memset(head_rows(attention, attention->dkey, head, tile->begin), 0, bytes);
        memset(head_rows(attention, attention->dvalue, head, tile->begin), 0, bytes);
    }
}

/* One token's gradient [K, E]: of a kv-head the sum over the query heads that use it. */
static void sum_groups_of_token(const dpo_attention *attention, int64_t token, float *gradient,
                                float *sums)
{
    int64_t head_dim = attention->head_dim;

    for (int64_t head = 0; head < attention->n_heads; head++) {
        const float *part = head_rows(attention, gradient, head, token);
        float *sum = sums + kv_head(attention, head) * head_dim;

        if (head == 0 || kv_head(attention, head) != kv_head(attention, head - 1))
            memcpy(sum, part, (size_t)head_dim * sizeof *sum);
        else
            attention->kernels->add(head_dim, part, sum);
    }
}

/* dk and dv of all tokens. */
static void sum_groups(const dpo_attention *attention, int64_t n_tokens, float *dqkv)
{
#pragma omp parallel for schedule(static) num_threads(attention->n_threads)
    for (int64_t n = 0; n < n_tokens; n++) {
        float *row = dqkv + n * attention->qkv_width + attention->out_width;

        sum_groups_of_token(attention, n, attention->dkey, row);
        sum_groups_of_token(attention, n, attention->dvalue,
                            row + attention->n_kv_heads * attention->head_dim);
    }
}

void dpo_attention_backward(dpo_attention *attention, const dpo_segments *segments,
                            const float *qkv, const float *out, const float *lse, const float *dout,
                            float *dqkv)
{
    dpo_phase_begin(DPO_PHASE_ATTENTION_BACKWARD);
    dpo_phase_add_flops(DPO_PHASE_ATTENTION_BACKWARD,
                        8.0 * (double)attention->out_width * dpo_segments_n_pairs(segments));
    dpo_attention_plan_run(attention, segments, qkv);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(attention->n_threads)
    for (int64_t tree = 0; tree < attention->n_trees; tree++)
        for (int64_t head = 0; head < attention->n_heads; head++) {
            clear_tree(attention, tree, head);
            for (int64_t i = attention->tree_begin[tree]; i < attention->tree_begin[tree + 1];
                 i++) {
                task t = make_task(attention, segments, i, head);

                backward_task(&t, qkv, out, lse, dout, dqkv);
            }
        }
    sum_groups(attention, dpo_segments_n_tokens(segments), dqkv);
    dpo_phase_end(DPO_PHASE_ATTENTION_BACKWARD);
}
