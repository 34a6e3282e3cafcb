// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_TOKEN_LOGPS_H
#define DPO_MATH_TOKEN_LOGPS_H

/**
 * \file
 * Log-probabilities of target tokens: logp[r] = z[r, target[r]] - log sum_v exp z[r, v], z = h W^T.
 *
 * A rank may hold a part of the vocabulary only, rows [begin, end) of W. Then the forward pass has two halves:
 * the parts' statistics of each row, which the caller brings together with dpo_logit_statistics_merge(), and
 * the log-probabilities that follow from them. Of the backward pass dh is the part's addend.
 *
 * Logits exist in chunks only. The forward pass keeps the log-sum-exp of each row and, for as many rows
 * as the budget has room, the logits; the backward pass recomputes the others. Sums are in a
 * fixed order, and whether a row's logits were kept does not change the result.
 *
 * Logits and sums are f32; a plan that computes in bf16 rounds the operands of products.
 *
 * A plan holds scratch memory: one run at a time, from outside of parallel regions.
 */

#include <stdint.h>

#include "dpo/base/range.h"
#include "dpo/base/status.h"
#include "dpo/math/element.h"

/** A plan for one vocabulary. */
typedef struct dpo_token_logps dpo_token_logps;

/** What is known of a row's logits in a part of the vocabulary; a plain value. */
typedef struct {
    double sum;   /**< of exp(z - max) */
    float max;    /**< largest logit */
    float picked; /**< logit of the target; -infinity if the target is not in the part */
} dpo_logit_statistics;

/**
 * Plans log-probabilities.
 *
 * \local
 * \param[in]  d_model       D > 0.
 * \param[in]  vocabulary_local  Token ids whose rows the weight holds, not empty; {0, V} for all.
 * \param[in]  max_rows      Largest R of a run, > 0.
 * \param[in]  budget_bytes  Memory for kept logits, >= 0; max_rows * V * 4 keeps all; a few MB for chunks
 *                           come on top.
 * \param[in]  compute       Type of the operands of products; DPO_BF16 where dpo_engine_has_bf16().
 * \param[out] logps         Owned by the caller, for dpo_token_logps_destroy(); NULL on error.
 * \errors{DPO_ENOMEM; DPO_EINTERNAL if oneDNN refuses the shape}
 */
DPO_MUST_CHECK dpo_status dpo_token_logps_create(int64_t d_model, dpo_range vocabulary_local,
                                                 int64_t max_rows, int64_t budget_bytes,
                                                 dpo_element compute, dpo_token_logps **logps);

/** Memory of a plan without its kept logits, bytes. \local */
int64_t dpo_token_logps_plan_bytes(int64_t d_model, dpo_range vocabulary_local, int64_t max_rows,
                                   dpo_element compute);

/** Frees a plan and clears the handle; NULL is left alone. \local */
void dpo_token_logps_destroy(dpo_token_logps **logps);

/**
 * First half of the forward pass: statistics of each row in the local vocabulary.
 *
 * \local
 * \param[in]  logps       The plan; keeps logits that the next backward needs.
 * \param[in]  n_rows      R in [0, max_rows].
 * \param[in]  h           f32 [R, D], rows gathered.
 * \param[in]  weight      W [length of vocabulary_local, D].
 * \param[in]  target      [R], any token ids.
 * \param[out] statistics  [R].
 */
void dpo_token_logps_statistics(dpo_token_logps *logps, int64_t n_rows, const float *h,
                                dpo_weight weight, const int32_t *target,
                                dpo_logit_statistics *statistics);

/**
 * Brings the statistics of another part of the vocabulary in. Parts are merged in one order everywhere.
 *
 * \local
 * \param[in]     n_rows  R >= 0.
 * \param[in]     part    [R].
 * \param[in,out] whole   [R]; those of the parts before.
 */
void dpo_logit_statistics_merge(int64_t n_rows, const dpo_logit_statistics *part,
                                dpo_logit_statistics *whole);

/**
 * Second half: logp of each row's target.
 *
 * \local
 * \param[in]  logps       The plan; keeps what the next backward needs.
 * \param[in]  n_rows      As in the first half.
 * \param[in]  statistics  [R] of the whole vocabulary.
 * \param[out] logp        f32 [R], nats.
 */
void dpo_token_logps_finish(dpo_token_logps *logps, int64_t n_rows,
                            const dpo_logit_statistics *statistics, float *logp);

/**
 * dh = dL/dh, dW += dL/dW for L with dL/dlogp = coefficient; dL/dz[r, v] = coefficient[r] *
 * (1[v = target[r]] - p[r, v]).
 *
 * \local
 * \param[in]     logps        The plan after both halves of the forward pass of the same arguments.
 * \param[in]     n_rows       As forward.
 * \param[in]     h            As forward.
 * \param[in]     weight       As forward.
 * \param[in]     target       As forward.
 * \param[in]     coefficient  f32 [R], dL/dlogp.
 * \param[out]    dh           f32 [R, D], what the local vocabulary adds; overlaps no input.
 * \param[in,out] dweight      f32 [length of vocabulary_local, D].
 */
void dpo_token_logps_backward(dpo_token_logps *logps, int64_t n_rows, const float *h,
                              dpo_weight weight, const int32_t *target, const float *coefficient,
                              float *dh, float *dweight);

/**
 * logits = h W^T of a few rows, for decoding, of the local vocabulary (V = its length); does not disturb what
 * forward keeps.
 *
 * \local
 * \param[in]  logps   The plan.
 * \param[in]  n_rows  R in [0, max_rows].
 * \param[in]  h       f32 [R, D].
 * \param[in]  weight  W [V, D].
 * \param[out] logits  f32 [R, V].
 */
void dpo_token_logps_logits(dpo_token_logps *logps, int64_t n_rows, const float *h,
                            dpo_weight weight, float *logits);

#endif
