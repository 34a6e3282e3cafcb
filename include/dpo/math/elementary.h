// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ELEMENTARY_H
#define DPO_MATH_ELEMENTARY_H

/**
 * \file
 * Elementary functions of f32 arrays, vectorised; one thread, unless said otherwise.
 */

#include <stdint.h>

#include "dpo/math/element.h"

/**
 * y = exp(x), within 1 unit in the last place.
 *
 * \local
 * \param[in]  n  >= 0.
 * \param[in]  x  f32 [n]; results below the smallest normal number are 0, NaN stays NaN.
 * \param[out] y  f32 [n]; may be x itself.
 */
void dpo_exp_run(int64_t n, const float *x, float *y);

/**
 * y = 1 / (1 + exp(-x)), within 3 units in the last place.
 *
 * \local
 * \param[in]  n  >= 0.
 * \param[in]  x  f32 [n].
 * \param[out] y  f32 [n]; may be x itself.
 */
void dpo_sigmoid_run(int64_t n, const float *x, float *y);

/**
 * y = value, by all threads, so that each page lies near the thread that works on it later.
 *
 * \local
 * \param[in]  n      >= 0.
 * \param[in]  value  Any.
 * \param[out] y      f32 [n].
 */
void dpo_fill_run(int64_t n, float value, float *y);

/**
 * bf16 y = f32 x, to nearest, ties to even, by all threads.
 *
 * \local
 * \param[in]  n  >= 0.
 * \param[in]  x  f32 [n].
 * \param[out] y  bf16 [n]; overlaps no input.
 */
void dpo_narrow_run(int64_t n, const float *x, uint16_t *y);

/**
 * f32 y = x.
 *
 * \local
 * \param[in]  element  Type of x.
 * \param[in]  n        >= 0.
 * \param[in]  x        Elements [n].
 * \param[out] y        f32 [n]; does not overlap x.
 */
void dpo_widen_run(dpo_element element, int64_t n, const void *x, float *y);

#endif
