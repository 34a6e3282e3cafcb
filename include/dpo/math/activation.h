// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ACTIVATION_H
#define DPO_MATH_ACTIVATION_H

/**
 * \file
 * Gated activation of Llama's MLP: y = silu(gate) * up, silu(x) = x / (1 + exp(-x)).
 *
 * Rows of gate_up [N, 2F] hold F gates, then F ups; they may lie further apart than 2F elements. Called from outside of parallel regions.
 */

#include <stdint.h>

#include "dpo/math/element.h"

/**
 * y = silu(gate) * up.
 *
 * \local
 * \param[in]  element   Type of both arrays.
 * \param[in]  n_tokens  N >= 0.
 * \param[in]  d_ff      F > 0.
 * \param[in]  stride    Elements from one row of gate_up (and dgate_up) to the next, >= 2F.
 * \param[in]  gate_up   Elements [N, 2F].
 * \param[out] y         Elements [N, F]; does not overlap gate_up.
 */
void dpo_swiglu_forward(dpo_element element, int64_t n_tokens, int64_t d_ff, int64_t stride,
                        const void *gate_up, void *y);

/**
 * dgate_up = dL/dgate_up.
 *
 * \local
 * \param[in]  element   Type of all arrays.
 * \param[in]  n_tokens  N >= 0.
 * \param[in]  d_ff      F > 0.
 * \param[in]  stride    Elements from one row of gate_up (and dgate_up) to the next, >= 2F.
 * \param[in]  gate_up   Elements [N, 2F], as forward.
 * \param[in]  dy        Elements [N, F]; does not overlap dgate_up.
 * \param[out] dgate_up  Elements [N, 2F]; may be gate_up itself.
 */
void dpo_swiglu_backward(dpo_element element, int64_t n_tokens, int64_t d_ff, int64_t stride,
                         const void *gate_up, const void *dy, void *dgate_up);

#endif
