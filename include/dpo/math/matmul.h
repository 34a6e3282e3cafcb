// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_MATMUL_H
#define DPO_MATH_MATMUL_H

/**
 * \file
 * Linear layers y = x W^T, forward and backward.
 *
 * A plan belongs to a shape, not to a weight: layers of the same shape share it. All matrices are
 * row-major: x [N, I] and W [O, I] dense, y [N, O] of rows that may lie further apart. Run functions use all OpenMP threads, cannot fail,
 * and are called from outside of parallel regions by one thread at a time for a plan.
 *
 * Weights and their gradients are f32, sums too; x and y are elements of the plan's types, their gradients
 * of the same. A plan that computes in bf16 multiplies operands rounded to bf16.
 */

#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/math/element.h"

/** What happens to the old contents of an output. */
typedef enum {
    DPO_ASSIGN, /**< replaced */
    DPO_ADD     /**< added to */
} dpo_output;

/** The linear layers of one shape. */
typedef struct {
    const char
        *name;    /**< What the layers are, such as "qkv", for the table of phases (base/phase.h) */
    int64_t d_in; /**< I > 0 */
    int64_t d_out;      /**< O > 0 */
    int64_t max_tokens; /**< Largest N of a run, > 0 */
    int64_t y_stride;   /**< elements from one row of y to the next, >= O; 0: O */
    dpo_element x;      /**< type of x and dx */
    dpo_element y;      /**< type of y and dy */
    dpo_element
        compute; /**< type of the operands of products; DPO_BF16 where dpo_engine_has_bf16() */
} dpo_matmul_shape;

/** A y_stride that products are fast with, elements, for rows of `width` elements. \local */
int64_t dpo_matmul_fast_stride(dpo_element element, int64_t width);

/** A plan for the linear layers of one shape. */
typedef struct dpo_matmul dpo_matmul;

/** Memory that a plan needs for converted rows, bytes; plans that do not run at the same time may share
 * it. \local */
int64_t dpo_matmul_staging_bytes(const dpo_matmul_shape *shape);

/**
 * Plans linear layers of one shape.
 *
 * \local
 * \param[in]  shape    Copied.
 * \param[in]  staging  dpo_matmul_staging_bytes(), borrowed for the plan's life.
 * \param[out] matmul   Owned by the caller, for dpo_matmul_destroy(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_matmul_create(const dpo_matmul_shape *shape, void *staging,
                                            dpo_matmul **matmul);

/** Frees a plan and clears the handle; NULL is left alone. \local */
void dpo_matmul_destroy(dpo_matmul **matmul);

/**
 * y (=|+=) x W^T.
 *
 * \local
 * \param[in]     matmul    The plan.
 * \param[in]     n_tokens  N in [0, max_tokens].
 * \param[in]     x         Elements [N, I].
 * \param[in]     weight    W.
 * \param[in]     output    DPO_ADD adds to y (a residual connection), which then is f32.
 * \param[in,out] y         Elements [N, O]; overlaps no input.
 */
void dpo_matmul_forward(dpo_matmul *matmul, int64_t n_tokens, const void *x, dpo_weight weight,
                        dpo_output output, void *y);

/**
 * dx (=|+=) dy W.
 *
 * \local
 * \param[in]     matmul    The plan.
 * \param[in]     n_tokens  N in [0, max_tokens].
 * \param[in]     dy        Elements [N, O].
 * \param[in]     weight    W.
 * \param[in]     output    DPO_ADD adds to dx, which then is f32.
 * \param[in,out] dx        Elements [N, I]; overlaps no input.
 */
void dpo_matmul_backward_data(dpo_matmul *matmul, int64_t n_tokens, const void *dy,
                              dpo_weight weight, dpo_output output, void *dx);

/**
 * dW += dy^T x.
 *
 * \local
 * \param[in]     matmul    The plan.
 * \param[in]     n_tokens  N in [0, max_tokens].
 * \param[in]     x         Elements [N, I].
 * \param[in]     dy        Elements [N, O].
 * \param[in,out] dweight   f32 [O, I]; overlaps no input.
 */
void dpo_matmul_backward_weight(dpo_matmul *matmul, int64_t n_tokens, const void *x, const void *dy,
                                float *dweight);

#endif
