// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ACTIVATION_H
#define DPO_MATH_ACTIVATION_H

/**
 * \file
 * Gated activation of Llama's MLP: y = silu(gate) * up, silu(x) = x / (1 + exp(-x)).
 *
 * Rows of gate_up [N, 2F] hold F gates, then F ups. Called from outside of parallel regions.
 */

#include <stdint.h>

/**
 * y = silu(gate) * up.
 *
 * \local
 * \param[in]  n_tokens  N >= 0.
 * \param[in]  d_ff      F > 0.
 * \param[in]  gate_up   f32 [N, 2F].
 * \param[out] y         f32 [N, F]; does not overlap gate_up.
 */
void dpo_swiglu_forward(int64_t n_tokens, int64_t d_ff, const float *gate_up, float *y);

/**
 * dgate_up = dL/dgate_up.
 *
 * \local
 * \param[in]  n_tokens  N >= 0.
 * \param[in]  d_ff      F > 0.
 * \param[in]  gate_up   f32 [N, 2F], as forward.
 * \param[in]  dy        f32 [N, F]; does not overlap dgate_up.
 * \param[out] dgate_up  f32 [N, 2F]; may be gate_up itself.
 */
void dpo_swiglu_backward(int64_t n_tokens, int64_t d_ff, const float *gate_up, const float *dy,
                         float *dgate_up);

#endif
