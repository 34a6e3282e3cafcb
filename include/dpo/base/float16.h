// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_FLOAT16_H
#define DPO_BASE_FLOAT16_H

/**
 * \file
 * The two 16-bit floating-point formats of model files: bfloat16 and IEEE 754 binary16.
 */

#include <stdint.h>

/** The f32 of the same value as a bf16. \local */
float dpo_f32_from_bf16(uint16_t bits);

/** The f32 of the same value as an f16. \local */
float dpo_f32_from_f16(uint16_t bits);

/** Nearest bf16, ties to even; NaN stays NaN, too large becomes infinity. \local */
uint16_t dpo_bf16_from_f32(float value);

/**
 * Many at a time.
 *
 * \local
 * \param[in]  n       >= 0.
 * \param[in]  values  f32 [n].
 * \param[out] bits    bf16 [n], as dpo_bf16_from_f32() gives them.
 */
void dpo_bf16_from_f32_many(int64_t n, const float *values, uint16_t *bits);

/** The other way: f32 [n] from bf16 [n]. \local */
void dpo_f32_from_bf16_many(int64_t n, const uint16_t *bits, float *values);

/** Nearest f16, likewise. \local */
uint16_t dpo_f16_from_f32(float value);

#endif
