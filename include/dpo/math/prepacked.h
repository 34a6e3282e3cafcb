// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_PREPACKED_H
#define DPO_MATH_PREPACKED_H

/**
 * \file
 * Linear layers whose sizes are fixed and whose weight lies as oneDNN likes it best: what math/matmul.h is
 * measured against.
 *
 * A run does one product: y = x W^T forward, or x = y W backward. Run functions use all OpenMP threads, cannot
 * fail, and are called from outside of parallel regions.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/math/element.h"

/** What is multiplied. */
typedef struct {
    int64_t n_tokens;    /**< N > 0 */
    int64_t d_in;        /**< I > 0 */
    int64_t d_out;       /**< O > 0 */
    dpo_element compute; /**< type of the operands, x (backward: y) and the packed weight */
    bool is_backward;    /**< x = y W rather than y = x W^T */
} dpo_prepacked_shape;

/** A product of one shape with the place for its weight. */
typedef struct dpo_prepacked dpo_prepacked;

/**
 * Plans a product.
 *
 * \local
 * \param[in]  shape    Copied.
 * \param[out] product  Owned by the caller, for dpo_prepacked_destroy(); NULL on error.
 * \errors{DPO_ENOMEM; DPO_EINTERNAL if oneDNN has no such product on this CPU}
 */
DPO_MUST_CHECK dpo_status dpo_prepacked_create(const dpo_prepacked_shape *shape,
                                               dpo_prepacked **product);

/** Frees a product and clears the handle; NULL is left alone. \local */
void dpo_prepacked_destroy(dpo_prepacked **product);

/** Memory that the packed weight takes, bytes. \local */
int64_t dpo_prepacked_bytes(const dpo_prepacked *product);

/**
 * Brings a weight into the layout of the product, before the first run.
 *
 * \local
 * \param[in] product  The product; gets a copy.
 * \param[in] weight   W, f32 [O, I]; rounded to the type of the operands.
 */
void dpo_prepacked_pack(dpo_prepacked *product, const float *weight);

/**
 * The product with the weight packed last.
 *
 * \local
 * \param[in]  product  The product.
 * \param[in]  operand  x, elements [N, I]; backward y, elements [N, O].
 * \param[out] result   y, f32 [N, O]; backward x, f32 [N, I]. Does not overlap the operand.
 */
void dpo_prepacked_run(dpo_prepacked *product, const void *operand, float *result);

#endif
