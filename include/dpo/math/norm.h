// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_NORM_H
#define DPO_MATH_NORM_H

/**
 * \file
 * Root-mean-square norm (Zhang and Sennrich 2019) as Llama uses it:
 * y = weight * x * rstd, rstd = 1 / sqrt(mean(x^2) + eps), over the last dimension D.
 *
 * Called from outside of parallel regions; sums are in a fixed order that does not depend on the
 * number of threads.
 */

#include <stdint.h>

/**
 * y = weight * x * rstd.
 *
 * \local
 * \param[in]  n_tokens  N >= 0.
 * \param[in]  d_model   D > 0.
 * \param[in]  eps       Added to the mean square, > 0.
 * \param[in]  x         f32 [N, D].
 * \param[in]  weight    f32 [D].
 * \param[out] y         f32 [N, D]; may be x itself.
 * \param[out] rstd      f32 [N], kept for the backward pass.
 */
void dpo_rms_norm_forward(int64_t n_tokens, int64_t d_model, double eps, const float *x,
                          const float *weight, float *y, float *rstd);

/**
 * dx += dL/dx, dweight += dL/dweight.
 *
 * \local
 * \param[in]     n_tokens  N >= 0.
 * \param[in]     d_model   D > 0.
 * \param[in]     x         f32 [N, D], as forward.
 * \param[in]     weight    f32 [D], as forward.
 * \param[in]     rstd      f32 [N], from forward.
 * \param[in]     dy        f32 [N, D].
 * \param[in,out] dx        f32 [N, D]; overlaps no input.
 * \param[in,out] dweight   f32 [D].
 */
void dpo_rms_norm_backward(int64_t n_tokens, int64_t d_model, const float *x, const float *weight,
                           const float *rstd, const float *dy, float *dx, float *dweight);

#endif
