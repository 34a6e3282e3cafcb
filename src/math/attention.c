// SPDX-License-Identifier: Apache-2.0
/*
 * out = softmax(q k^T / sqrt(E)) v over the keys that a token sees (segments.h).
 * With p = exp(s - lse), dp = dout v^T, delta = rowsum(dout out): ds = p (dp - delta);
 * dq = ds k / sqrt(E), dk = ds^T q / sqrt(E), dv = p^T dout.
 *
 *   N tokens, H heads, K kv-heads, E head_dim, G query heads a kv-head;
 *   qkv [N, (H + 2K) E]: columns q [H E], k [K E], v [K E]; out [N, H E]; lse [N, H].
 *
 * Inside, scores are scaled by log2(e) / sqrt(E), so that p = 2^(s - lse log2(e)). For f32 products queries are scaled
 * already, and ds^T q has that factor too; bf16 queries stay as they are, or they would be rounded again.
 *
 * Products take operands of one type, f32 or bf16, and give f32. What a product gave and the next one takes, the
 * probabilities and dL/ds, becomes operands where it lies, row by row behind the softmax.
 *
 * The query heads of a kv-head share its keys and values, so a task stacks them: its rows are the queries of a
 * tile times those heads, token by token, and one product serves them all; in dk and dv the sum over rows is that
 * over queries and heads. Operands lie together: keys and values were copied by the plan, the rows of q, already
 * scaled, and of dout are copied into the thread's scratch, where the result grows too.
 *
 * Forward: a task is (tile, kv-head) and owns its rows of out. Backward: a task is (strip, kv-head) and owns
 * its rows of dq and its part of dk and dv of the tree; a tree's parts are summed in order afterwards. So every number has one owner and one
 * order of sums, however many threads there are.
 */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "attention_plan.h"
#include "dpo/base/phase.h"
#include "onednn.h"

/* One tile and one kv-head; qkv and the others point to row 0 of the whole arrays. */
typedef struct {
    const dpo_attention *attention;
    const dpo_segments *segments;
    const query_tile *tile;
    int64_t kv, head, n_heads; /* the first of its n_heads query heads */
    int64_t n_queries, n_rows; /* row i n_heads + j is query i of the tile, head j */
    thread_scratch *scratch;
} task;

static task make_task(const dpo_attention *attention, const dpo_segments *segments, int64_t tile,
                      int64_t kv)
{
    const query_tile *queries = &attention->tile[tile];
    int64_t n_queries = queries->end - queries->begin;
    dpo_range heads = heads_of(attention, kv);
    int64_t n_heads = heads.end - heads.begin;

    return (task){attention,
                  segments,
                  queries,
                  kv,
                  heads.begin,
                  n_heads,
                  n_queries,
                  n_queries * n_heads,
                  &attention->scratch[omp_get_thread_num()]};
}

/* Where the rows of kv-head `kv` from token `token` on begin in an array [K, max_tokens, E]. */
static int64_t head_offset(const dpo_attention *attention, int64_t kv, int64_t token)
{
    return (kv * attention->max_tokens + token) * attention->head_dim;
}

/* The piece's rows of keys or values. */
static dpo_matrix keys_of(const task *t, const key_piece *piece, const void *array, int transposed)
{
    const dpo_attention *attention = t->attention;

    return (dpo_matrix){
        dpo_const_at(attention->compute, array, head_offset(attention, t->kv, piece->begin)),
        attention->head_dim, transposed};
}

/* Where the task's heads of the tile's query i begin in an array [N, width] of rows that begin with H heads. */
static int64_t offset_of(const task *t, int64_t width, int64_t i)
{
    return (t->tile->begin + i) * width + t->head * t->attention->head_dim;
}

/* The tile's queries into the scratch, those of f32 scaled. */
static void copy_queries(const task *t, const void *qkv)
{
    const dpo_attention *attention = t->attention;
    const dpo_kernels *kernels = attention->kernels;
    int64_t width = t->n_heads * attention->head_dim;

    for (int64_t i = 0; i < t->n_queries; i++) {
        int64_t offset = offset_of(t, attention->qkv_width, i);
        void *q = dpo_at(attention->compute, t->scratch->q, i * width);

        dpo_copy_elements(kernels, width, attention->elements,
                          dpo_const_at(attention->elements, qkv, offset), attention->compute, q);
        if (attention->compute == DPO_F32) kernels->scale(width, attention->query_scale, q, q);
    }
}

/* Elements [begin, begin + n) of an array = factor times rows, which are used up. */
static void write_scaled(const dpo_attention *attention, int64_t n, float factor, float *rows,
                         void *array, int64_t begin)
{
    float *to = dpo_begin_elements(attention->elements, array, begin, rows);

    attention->kernels->scale(n, factor, rows, to);
    dpo_end_elements(attention->kernels, attention->elements, array, begin, n, to);
}

/* product [R, keys of the piece] = rows times keys^T. */
static void multiply_rows(const task *t, const key_piece *piece, const void *rows, const void *keys,
                          float *product)
{
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;

    dpo_gemm_alone(
        (dpo_product){t->attention->compute, t->n_rows, n_keys, head_dim, padded(n_keys)},
        (dpo_matrix){rows, head_dim, 0}, keys_of(t, piece, keys, 1), 0.0f, product,
        t->scratch->work);
}

/* The scratch's out (=|+=) scores times keys (or values). */
static void add_to_out(const task *t, const key_piece *piece, const void *scores, const void *keys,
                       int is_first)
{
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;

    dpo_gemm_alone((dpo_product){t->attention->compute, t->n_rows, head_dim, n_keys, head_dim},
                   (dpo_matrix){scores, padded(n_keys), 0}, keys_of(t, piece, keys, 0),
                   is_first ? 0.0f : 1.0f, t->scratch->out, t->scratch->work);
}

/* A row of scores as a product gave them, if queries were not scaled. */
static void scale_scores(const task *t, int64_t visible, float *s)
{
    const dpo_attention *attention = t->attention;

    if (attention->compute == DPO_BF16)
        attention->kernels->scale(padded(visible), attention->query_scale, s, s);
}

/* Row r of a matrix of n_keys scores becomes operands, one row behind the other, in ascending order of rows. */
static void finish_scores(const task *t, int64_t n_keys, int64_t r, float *scores)
{
    const dpo_attention *attention = t->attention;
    int64_t stride = padded(n_keys);

    if (attention->compute == DPO_F32) return;
    attention->kernels->narrow(stride, scores + r * stride, t->scratch->row);
    memcpy(dpo_at(DPO_BF16, scores, r * stride), t->scratch->row,
           (size_t)stride * sizeof *t->scratch->row);
}

/* Scores of hidden keys: `hidden` in the last vector of visible ones, zero behind it. Gives where that begins. */
static int64_t hide(int64_t visible, int64_t n_keys, float hidden, float *s)
{
    int64_t end = padded(visible);

    for (int64_t i = visible; i < end; i++)
        s[i] = hidden;
    if (end < n_keys) memset(s + end, 0, (size_t)(n_keys - end) * sizeof *s);
    return end;
}

/* Scores become probabilities up to the factor that is known at the end; out is carried on. */
static void absorb_scores(const task *t, const key_piece *piece, int is_first)
{
    const dpo_kernels *kernels = t->attention->kernels;
    int64_t n_keys = piece->end - piece->begin, head_dim = t->attention->head_dim;
    int64_t stride = padded(n_keys);

    for (int64_t i = 0, r = 0; i < t->n_queries; i++) {
        int64_t visible = n_visible(t->tile, piece, t->tile->begin + i);

        for (int64_t end = r + t->n_heads; r < end; r++) {
            float *s = t->scratch->s + r * stride, *out = t->scratch->out + r * head_dim;
            scale_scores(t, visible, s);
            int64_t n = hide(visible, n_keys, -FLT_MAX, s);
            float factor = kernels->softmax_step(n, s, &t->scratch->max[r], &t->scratch->sum[r]);

            finish_scores(t, n_keys, r, t->scratch->s);
            if (!is_first && factor != 1.0f) kernels->scale(head_dim, factor, out, out);
        }
    }
}

static void finish_rows(const task *t, void *out, float *lse)
{
    const dpo_attention *attention = t->attention;
    int64_t head_dim = attention->head_dim;

    for (int64_t i = 0, r = 0; i < t->n_queries; i++) {
        int64_t offset = offset_of(t, attention->out_width, i);
        float *lse_row = lse + (t->tile->begin + i) * attention->n_heads + t->head;

        for (int64_t j = 0; j < t->n_heads; j++, r++) {
            float sum = t->scratch->sum[r];

            write_scaled(attention, head_dim, 1.0f / sum, t->scratch->out + r * head_dim, out,
                         offset + j * head_dim);
            lse_row[j] = ln2 * (t->scratch->max[r] + log2f(sum));
        }
    }
}

static void forward_task(const task *t, const void *qkv, void *out, float *lse)
{
    key_piece piece = dpo_attention_before_keys(t->attention, t->segments, t->tile);

    copy_queries(t, qkv);
    for (int64_t r = 0; r < t->n_rows; r++) {
        t->scratch->max[r] = -FLT_MAX;
        t->scratch->sum[r] = 0.0f;
    }
    for (int is_first = 1; dpo_attention_next_keys(t->segments, &piece); is_first = 0) {
        multiply_rows(t, &piece, t->scratch->q, t->attention->key, t->scratch->s);
        absorb_scores(t, &piece, is_first);
        add_to_out(t, &piece, t->scratch->s, t->attention->value, is_first);
    }
    finish_rows(t, out, lse);
}

/* The last tiles of a segment have most keys and go first. */
void dpo_attention_forward(dpo_attention *attention, const dpo_segments *segments, const void *qkv,
                           void *out, float *lse)
{
    dpo_phase_begin(DPO_PHASE_ATTENTION_FORWARD);
    dpo_phase_add_flops(DPO_PHASE_ATTENTION_FORWARD,
                        4.0 * (double)attention->out_width * dpo_segments_n_pairs(segments));
    dpo_attention_plan_run(attention, segments, qkv);
    int64_t n_tasks = attention->n_tiles * attention->n_kv_heads;

#pragma omp parallel for schedule(dynamic) num_threads(attention->n_threads)
    for (int64_t i = n_tasks - 1; i >= 0; i--) {
        task t =
            make_task(attention, segments, i / attention->n_kv_heads, i % attention->n_kv_heads);

        forward_task(&t, qkv, out, lse);
    }
    dpo_phase_end(DPO_PHASE_ATTENTION_FORWARD);
}

/* Rows of out and dout of the tile: delta, and dout into the scratch, where a row is f32 before it becomes operands. */
static void copy_gradients(const task *t, const void *out, const void *dout)
{
    const dpo_attention *attention = t->attention;
    const dpo_kernels *kernels = attention->kernels;
    int64_t head_dim = attention->head_dim, width = t->n_heads * head_dim;

    for (int64_t i = 0; i < t->n_queries; i++) {
        int64_t offset = offset_of(t, attention->out_width, i);
        const float *out_row = dpo_read_elements(kernels, attention->elements, out, offset, width,
                                                 t->scratch->out + i * width);
        const float *dout_row = dpo_read_elements(kernels, attention->elements, dout, offset, width,
                                                  dpo_at(DPO_F32, t->scratch->dout, i * width));

        for (int64_t j = 0; j < t->n_heads; j++)
            t->scratch->delta[i * t->n_heads + j] =
                kernels->dot(head_dim, out_row + j * head_dim, dout_row + j * head_dim);
        dpo_copy_elements(kernels, width, attention->elements,
                          dpo_const_at(attention->elements, dout, offset), attention->compute,
                          dpo_at(attention->compute, t->scratch->dout, i * width));
    }
}

/* Probabilities into s, dL/ds into dp. */
static void differentiate_scores(const task *t, const key_piece *piece, const float *lse)
{
    const dpo_attention *attention = t->attention;
    int64_t n_keys = piece->end - piece->begin, stride = padded(n_keys);

    for (int64_t i = 0, r = 0; i < t->n_queries; i++) {
        int64_t query = t->tile->begin + i, visible = n_visible(t->tile, piece, query);
        const float *lse_row = lse + query * attention->n_heads + t->head;

        for (int64_t j = 0; j < t->n_heads; j++, r++) {
            float *s = t->scratch->s + r * stride, *dp = t->scratch->dp + r * stride;
            scale_scores(t, visible, s);
            int64_t n = hide(visible, n_keys, -FLT_MAX, s);

            (void)hide(visible, n_keys, 0.0f, dp);
            attention->kernels->softmax_backward(n, lse_row[j] / ln2, t->scratch->delta[r], s, dp);
            finish_scores(t, n_keys, r, t->scratch->s);
            finish_scores(t, n_keys, r, t->scratch->dp);
        }
    }
}

/* Rows of the piece in dkey or dvalue += scores^T rows. */
static void add_to_keys(const task *t, const key_piece *piece, const void *scores, const void *rows,
                        int64_t part, float *gradient)
{
    const dpo_attention *attention = t->attention;
    int64_t n_keys = piece->end - piece->begin, head_dim = attention->head_dim;
    int64_t head = part * attention->n_kv_heads + t->kv;

    dpo_gemm_alone((dpo_product){attention->compute, n_keys, head_dim, t->n_rows, head_dim},
                   (dpo_matrix){scores, padded(n_keys), 1}, (dpo_matrix){rows, head_dim, 0}, 1.0f,
                   gradient + head_offset(attention, head, piece->begin), t->scratch->work);
}

/* A strip's part of dk and dv, for the keys that it sees. */
static void clear_keys(const dpo_attention *attention, const query_strip *strip, int64_t kv)
{
    int64_t head = strip->part * attention->n_kv_heads + kv;

    for (int64_t i = strip->tree_begin; i < strip->end; i++) {
        const query_tile *tile = &attention->tile[i];
        size_t bytes = (size_t)((tile->end - tile->begin) * attention->head_dim) * sizeof(float);

        memset(attention->dkey + head_offset(attention, head, tile->begin), 0, bytes);
        memset(attention->dvalue + head_offset(attention, head, tile->begin), 0, bytes);
    }
}

/* dk takes the queries as they were scaled and is set right at the end, as dq is. */
static void backward_task(const task *t, const void *qkv, const void *out, const float *lse,
                          const void *dout, int64_t part, void *dqkv)
{
    const dpo_attention *attention = t->attention;
    int64_t width = t->n_heads * attention->head_dim;
    thread_scratch *scratch = t->scratch;
    key_piece piece = dpo_attention_before_keys(attention, t->segments, t->tile);

    copy_queries(t, qkv);
    copy_gradients(t, out, dout);
    for (int is_first = 1; dpo_attention_next_keys(t->segments, &piece); is_first = 0) {
        multiply_rows(t, &piece, scratch->q, attention->key, scratch->s);
        multiply_rows(t, &piece, scratch->dout, attention->value, scratch->dp);
        differentiate_scores(t, &piece, lse);
        add_to_keys(t, &piece, scratch->s, scratch->dout, part, attention->dvalue);
        add_to_keys(t, &piece, scratch->dp, scratch->q, part, attention->dkey);
        add_to_out(t, &piece, scratch->dp, attention->key, is_first);
    }
    for (int64_t i = 0; i < t->n_queries; i++)
        write_scaled(attention, width, attention->scale, scratch->out + i * width, dqkv,
                     offset_of(t, attention->qkv_width, i));
}

/* One token's row of a kv-head, from element `begin` of dqkv on: factor times the sum over the strips that see it. */
static void sum_strips(const dpo_attention *attention, const query_strip *strip, int64_t kv,
                       int64_t token, float *gradient, float factor, void *dqkv, int64_t begin)
{
    int64_t head_dim = attention->head_dim, n_kv_heads = attention->n_kv_heads;
    float *sum = gradient + head_offset(attention, strip->part * n_kv_heads + kv, token);

    for (int64_t part = strip->part + 1; part < strip->n_parts; part++)
        attention->kernels->add(
            head_dim, gradient + head_offset(attention, part * n_kv_heads + kv, token), sum);
    write_scaled(attention, head_dim, factor, sum, dqkv, begin);
}

/* dk and dv of a strip's tokens. */
static void finish_keys(const dpo_attention *attention, const query_strip *strip, int64_t kv,
                        void *dqkv)
{
    int64_t head_dim = attention->head_dim;

    for (int64_t i = strip->begin; i < strip->end; i++)
        for (int64_t n = attention->tile[i].begin; n < attention->tile[i].end; n++) {
            int64_t dkey = n * attention->qkv_width + attention->out_width + kv * head_dim;

            sum_strips(attention, strip, kv, n, attention->dkey, attention->dkey_scale, dqkv, dkey);
            sum_strips(attention, strip, kv, n, attention->dvalue, 1.0f, dqkv,
                       dkey + attention->n_kv_heads * head_dim);
        }
}

void dpo_attention_backward(dpo_attention *attention, const dpo_segments *segments, const void *qkv,
                            const void *out, const float *lse, const void *dout, void *dqkv)
{
    dpo_phase_begin(DPO_PHASE_ATTENTION_BACKWARD);
    dpo_phase_add_flops(DPO_PHASE_ATTENTION_BACKWARD,
                        8.0 * (double)attention->out_width * dpo_segments_n_pairs(segments));
    dpo_attention_plan_run(attention, segments, qkv);
#pragma omp parallel num_threads(attention->n_threads)
    {
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t j = 0; j < attention->n_strips; j++)
            for (int64_t kv = 0; kv < attention->n_kv_heads; kv++) {
                const query_strip *strip = &attention->strip[j];

                clear_keys(attention, strip, kv);
                for (int64_t i = strip->begin; i < strip->end; i++) {
                    task t = make_task(attention, segments, i, kv);

                    backward_task(&t, qkv, out, lse, dout, strip->part, dqkv);
                }
            }
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t j = 0; j < attention->n_strips; j++)
            for (int64_t kv = 0; kv < attention->n_kv_heads; kv++)
                finish_keys(attention, &attention->strip[j], kv, dqkv);
    }
    dpo_phase_end(DPO_PHASE_ATTENTION_BACKWARD);
}
