// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_MATMUL_H
#define DPO_MATH_MATMUL_H

/**
 * \file
 * Linear layers y = x W^T, forward and backward, f32.
 *
 * A plan belongs to a shape, not to a weight: layers of the same shape share it. All matrices are
 * row-major and dense: x [N, I], W [O, I], y [N, O]. Run functions use all OpenMP threads, cannot fail,
 * and are called from outside of parallel regions by one thread at a time for a plan.
 */

#include <stdint.h>

#include "dpo/base/status.h"

/** What happens to the old contents of an output. */
typedef enum {
    DPO_ASSIGN, /**< replaced */
    DPO_ADD     /**< added to */
} dpo_output;

/** A plan for the linear layers of one shape. */
typedef struct dpo_matmul dpo_matmul;

/**
 * Plans linear layers of one shape.
 *
 * \local
 * \param[in]  name        What the layers are, such as "qkv", for the table of phases (base/phase.h); not kept.
 * \param[in]  d_in        I > 0.
 * \param[in]  d_out       O > 0.
 * \param[in]  max_tokens  Largest N of a run, > 0.
 * \param[out] matmul      Owned by the caller, for dpo_matmul_destroy(); NULL on error.
 * \errors{DPO_ENOMEM; DPO_EINTERNAL if oneDNN refuses the shape}
 */
DPO_MUST_CHECK dpo_status dpo_matmul_create(const char *name, int64_t d_in, int64_t d_out,
                                            int64_t max_tokens, dpo_matmul **matmul);

/** Frees a plan and clears the handle; NULL is left alone. \local */
void dpo_matmul_destroy(dpo_matmul **matmul);

/**
 * y (=|+=) x W^T.
 *
 * \local
 * \param[in]     matmul    The plan.
 * \param[in]     n_tokens  N in [0, max_tokens].
 * \param[in]     x         f32 [N, I].
 * \param[in]     weight    W, f32 [O, I].
 * \param[in]     output    DPO_ADD adds to y (a residual connection).
 * \param[in,out] y         f32 [N, O]; overlaps no input.
 */
void dpo_matmul_forward(dpo_matmul *matmul, int64_t n_tokens, const float *x, const float *weight,
                        dpo_output output, float *y);

/**
 * dx (=|+=) dy W.
 *
 * \local
 * \param[in]     matmul    The plan.
 * \param[in]     n_tokens  N in [0, max_tokens].
 * \param[in]     dy        f32 [N, O].
 * \param[in]     weight    W, f32 [O, I].
 * \param[in]     output    DPO_ADD adds to dx.
 * \param[in,out] dx        f32 [N, I]; overlaps no input.
 */
void dpo_matmul_backward_data(dpo_matmul *matmul, int64_t n_tokens, const float *dy,
                              const float *weight, dpo_output output, float *dx);

/**
 * dW += dy^T x.
 *
 * \local
 * \param[in]     matmul    The plan.
 * \param[in]     n_tokens  N in [0, max_tokens].
 * \param[in]     x         f32 [N, I].
 * \param[in]     dy        f32 [N, O].
 * \param[in,out] dweight   f32 [O, I]; overlaps no input.
 */
void dpo_matmul_backward_weight(dpo_matmul *matmul, int64_t n_tokens, const float *x,
                                const float *dy, float *dweight);

#endif
