// SPDX-License-Identifier: Apache-2.0
/*
 * One query a sequence against its cache: out = softmax(q k^T / sqrt(E)) v. Memory-bound, so no matrix
 * products; a task is (sequence, kv-head) and reads each key and value once for each head of its group.
 */
#include <float.h>
#include <omp.h>
#include <string.h>

#include "attention_plan.h"
#include "dpo/base/phase.h"

/* One query head, scaled, in the scratch, against n_keys rows of a cache. */
static void attend(const dpo_attention *attention, int64_t n_keys, const float *key,
                   const float *value, const thread_scratch *scratch, float *out)
{
    const dpo_kernels *kernels = attention->kernels;
    int64_t head_dim = attention->head_dim, stride = attention->n_kv_heads * head_dim;
    float max = -FLT_MAX, sum = 0.0f;

    memset(out, 0, (size_t)head_dim * sizeof *out);
    for (int64_t begin = 0; begin < n_keys; begin += attention->tile_keys) {
        int64_t n = begin + attention->tile_keys < n_keys ? attention->tile_keys : n_keys - begin;

        kernels->key_scores(n, head_dim, stride, scratch->q, key + begin * stride, scratch->s);
        kernels->scale(head_dim, kernels->softmax_step(n, scratch->s, &max, &sum), out, out);
        kernels->value_sum(n, head_dim, stride, scratch->s, value + begin * stride, out);
    }
    kernels->scale(head_dim, 1.0f / sum, out, out);
}

/* Elements from `query` on of qkv, one head, to those from `result` on of out. */
static void decode_head(const dpo_attention *attention, int64_t n_keys, const float *key,
                        const float *value, const void *qkv, int64_t query, void *out,
                        int64_t result)
{
    const dpo_kernels *kernels = attention->kernels;
    const thread_scratch *scratch = &attention->scratch[omp_get_thread_num()];
    int64_t head_dim = attention->head_dim;
    float *out_row = dpo_begin_elements(attention->elements, out, result, scratch->out);

    kernels->scale(
        head_dim, attention->query_scale,
        dpo_read_elements(kernels, attention->elements, qkv, query, head_dim, scratch->q),
        scratch->q);
    attend(attention, n_keys, key, value, scratch, out_row);
    dpo_end_elements(kernels, attention->elements, out, result, head_dim, out_row);
}

/* Elements from `begin` on of qkv, one head, into a cache. */
static void copy_head(const dpo_attention *attention, const void *qkv, int64_t begin, float *cache)
{
    dpo_copy_elements(attention->kernels, attention->head_dim, attention->elements,
                      dpo_const_at(attention->elements, qkv, begin), DPO_F32, cache);
}

void dpo_attention_decode(dpo_attention *attention, int64_t n_sequences, const void *qkv,
                          const int64_t *length, float *const *key_cache, float *const *value_cache,
                          void *out)
{
    int64_t n_kv_heads = attention->n_kv_heads, head_dim = attention->head_dim;

    dpo_phase_begin(DPO_PHASE_ATTENTION_FORWARD);
#pragma omp parallel for collapse(2) schedule(static) num_threads(attention->n_threads)
    for (int64_t b = 0; b < n_sequences; b++)
        for (int64_t kv = 0; kv < n_kv_heads; kv++) {
            int64_t row = b * attention->qkv_width;
            int64_t key = row + attention->out_width + kv * head_dim;
            int64_t offset = kv * head_dim, end = length[b] * n_kv_heads * head_dim + offset;
            dpo_range heads = heads_of(attention, kv);

            copy_head(attention, qkv, key, key_cache[b] + end);
            copy_head(attention, qkv, key + n_kv_heads * head_dim, value_cache[b] + end);
            for (int64_t head = heads.begin; head < heads.end; head++)
                decode_head(attention, length[b] + 1, key_cache[b] + offset,
                            value_cache[b] + offset, qkv, row + head * head_dim, out,
                            b * attention->out_width + head * head_dim);
        }
    dpo_phase_end(DPO_PHASE_ATTENTION_FORWARD);
}
