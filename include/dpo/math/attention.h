// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ATTENTION_H
#define DPO_MATH_ATTENTION_H

/**
 * \file
 * Causal attention over ragged segments with parents (segments.h), grouped-query.
 *
 * Rows of qkv [N, (H + 2K) E] hold H query heads, then K key heads, then K value heads. G query heads
 * in a row share a key and value head; a rank may hold parts of groups, so that query head h uses key and
 * value head (h + skipped) / G. Scores are scaled by 1 / sqrt(E). Scores exist in tiles only; the
 * forward pass keeps their log-sum-exp and the backward pass recomputes them (Dao et al. 2022). Sums are
 * in a fixed order that does not depend on the number of threads. Arithmetic is f32 whatever the elements
 * of qkv and out are (element.h); the backward pass takes them as they were rounded.
 *
 * A plan that computes in bf16 rounds the operands of products, as PyTorch's attention on CPUs does under autocast:
 * q, k, v and dout, unless they are stored so; probabilities and dL/ds, tile by tile, behind the softmax. Sums of
 * products, scores, log-sum-exp, the sums that divide out, rowsum(dout out) and gradients remain f32. Decoding, which
 * memory bounds, multiplies f32.
 *
 * A plan holds scratch memory and runs on as many threads as OpenMP had when it was made: one run at a
 * time, from outside of parallel regions.
 */

#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/math/element.h"
#include "dpo/math/segments.h"

/** Heads of this rank. */
typedef struct {
    int64_t n_heads;      /**< H > 0 */
    int64_t n_kv_heads;   /**< K > 0, those that the H query heads use */
    int64_t head_dim;     /**< E > 0 */
    int64_t group;        /**< G > 0; 0: H / K, groups are whole */
    int64_t skipped;      /**< query heads of the first group that are not here, [0, G) */
    dpo_element elements; /**< of qkv, out and their gradients */
    dpo_element
        compute; /**< of the operands of products; DPO_BF16 where dpo_engine_multiplies_bf16() */
} dpo_attention_shape;

/** A plan for attention of one shape. */
typedef struct dpo_attention dpo_attention;

/**
 * Plans attention of one shape; layers of the same shape share it.
 *
 * \local
 * \param[in]  shape       Copied.
 * \param[in]  max_tokens  Largest N of a run, > 0; any number of segments.
 * \param[out] attention   Owned by the caller, for dpo_attention_destroy(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_attention_create(const dpo_attention_shape *shape, int64_t max_tokens,
                                               dpo_attention **attention);

/** Memory of a plan on this rank's threads, bytes. \local */
int64_t dpo_attention_plan_bytes(const dpo_attention_shape *shape, int64_t max_tokens);

/** Frees a plan and clears the handle; NULL is left alone. \local */
void dpo_attention_destroy(dpo_attention **attention);

/**
 * out = softmax(q k^T / sqrt(E)) v.
 *
 * \local
 * \param[in]  attention  The plan.
 * \param[in]  segments   N <= max_tokens tokens.
 * \param[in]  qkv        Elements [N, (H + 2K) E], queries and keys already turned by rotary.
 * \param[out] out        Elements [N, H E].
 * \param[out] lse        f32 [N, H] log-sum-exp of the scaled scores, kept for the backward pass.
 */
void dpo_attention_forward(dpo_attention *attention, const dpo_segments *segments, const void *qkv,
                           void *out, float *lse);

/**
 * dqkv = dL/dqkv.
 *
 * \local
 * \param[in]  attention  The plan.
 * \param[in]  segments   As forward.
 * \param[in]  qkv        As forward.
 * \param[in]  out        From forward, elements [N, H E].
 * \param[in]  lse        From forward, f32 [N, H].
 * \param[in]  dout       Elements [N, H E].
 * \param[out] dqkv       Elements [N, (H + 2K) E], before the rotary backward; overlaps no input.
 */
void dpo_attention_backward(dpo_attention *attention, const dpo_segments *segments, const void *qkv,
                            const void *out, const float *lse, const void *dout, void *dqkv);

/**
 * One new token for each of B sequences: appends its key and value to the sequence's cache, then attends
 * to all of the cache.
 *
 * \local
 * \param[in]     attention    The plan; B <= max_tokens.
 * \param[in]     n_sequences  B >= 0.
 * \param[in]     qkv          Elements [B, (H + 2K) E], queries and keys already turned by rotary.
 * \param[in]     length       [B] tokens in each cache before this one, >= 0.
 * \param[in,out] key_cache    [B] pointers to f32 [> length, K E]; row `length` is written.
 * \param[in,out] value_cache  [B] pointers to f32 [> length, K E]; row `length` is written.
 * \param[out]    out          Elements [B, H E].
 */
void dpo_attention_decode(dpo_attention *attention, int64_t n_sequences, const void *qkv,
                          const int64_t *length, float *const *key_cache, float *const *value_cache,
                          void *out);

#endif
