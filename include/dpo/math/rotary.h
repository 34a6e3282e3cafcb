// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ROTARY_H
#define DPO_MATH_ROTARY_H

/**
 * \file
 * Rotary position embedding (Su et al. 2021) in the convention of Hugging Face: element i of a head is
 * paired with element i + E/2 and the pair is turned by position * theta^(-2i/E).
 *
 * Frequencies and angles are rounded to f32 as Hugging Face rounds them, because models were trained
 * with these: at position 1000 an exact angle may differ by 6e-5. The cosine and sine of an angle are
 * exact to f32.
 */

#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/math/element.h"

/** How frequencies are changed for contexts longer than those of the pretraining. */
typedef enum {
    DPO_ROPE_PLAIN,  /**< not at all */
    DPO_ROPE_LINEAR, /**< all divided by factor */
    DPO_ROPE_LLAMA3  /**< long wavelengths divided by factor, short ones kept, a ramp in between */
} dpo_rope_scaling;

/** What a rotary table depends on. */
typedef struct {
    int64_t head_dim;              /**< E, even, > 0 */
    int64_t max_positions;         /**< positions [0, max_positions) can be used, > 0 */
    double theta;                  /**< base of the frequencies (rope_theta), > 0 */
    dpo_rope_scaling scaling;      /**< the following fields matter only where it needs them */
    double factor;                 /**< linear, llama3: > 0 */
    double low_freq_factor;        /**< llama3 */
    double high_freq_factor;       /**< llama3, > low_freq_factor */
    double original_max_positions; /**< llama3: context of the pretraining, in tokens */
    dpo_element elements;          /**< type of the rows that are turned */
} dpo_rotary_options;

/** A table of cosines and sines. */
typedef struct dpo_rotary dpo_rotary;

/**
 * Makes a table.
 *
 * \local
 * \param[in]  options  Copied.
 * \param[out] rotary   Owned by the caller, for dpo_rotary_destroy(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_rotary_create(const dpo_rotary_options *options, dpo_rotary **rotary);

/** Frees a table and clears the handle; NULL is left alone. \local */
void dpo_rotary_destroy(dpo_rotary **rotary);

/**
 * Turns the first n_heads heads of each row, in place.
 *
 * For qkv [N, (H + 2K) E]: n_heads = H + K (queries and keys), row_width = (H + 2K) E.
 *
 * \local
 * \param[in]     rotary     The table.
 * \param[in]     n_tokens   N >= 0.
 * \param[in]     position   [N], each in [0, max_positions).
 * \param[in]     n_heads    Heads to turn, n_heads E <= row_width.
 * \param[in]     row_width  Elements from one row to the next.
 * \param[in,out] rows       Elements [N, row_width].
 */
void dpo_rotary_forward(const dpo_rotary *rotary, int64_t n_tokens, const int32_t *position,
                        int64_t n_heads, int64_t row_width, void *rows);

/**
 * Turns gradients back (the transpose of forward), in place; parameters as forward.
 *
 * \local
 * \param[in]     rotary     The table.
 * \param[in]     n_tokens   N >= 0.
 * \param[in]     position   [N].
 * \param[in]     n_heads    Heads to turn.
 * \param[in]     row_width  Elements from one row to the next.
 * \param[in,out] drows      Elements [N, row_width].
 */
void dpo_rotary_backward(const dpo_rotary *rotary, int64_t n_tokens, const int32_t *position,
                         int64_t n_heads, int64_t row_width, void *drows);

#endif
