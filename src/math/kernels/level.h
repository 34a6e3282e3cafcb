// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_KERNELS_LEVEL_H
#define DPO_MATH_KERNELS_LEVEL_H

/* Names of the kernels of the level that is being compiled, and the exponential that they share. */

#include <string.h>

#include "kernels.h"

#define DPO_JOIN_(a, b, c) a##b##_##c
#define DPO_JOIN(a, b, c)  DPO_JOIN_(a, b, c)
#define KERNEL(name)       DPO_JOIN(dpo_, DPO_LEVEL, name)

#define DPO_KERNEL_PROTOTYPE(result, name, parameters) result KERNEL(name) parameters;
DPO_KERNEL_LIST(DPO_KERNEL_PROTOTYPE)
#undef DPO_KERNEL_PROTOTYPE
extern const dpo_kernels KERNEL(kernels);

static inline float float_of_bits(int32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline int32_t bits_of_float(float x)
{
    int32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/*
 * exp(x) = 2^k exp(r), k = round(x / ln 2), |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r) with a minimax
 * polynomial of relative error 3e-9. Adding 1.5 * 2^23 rounds to an integer in the low bits. 2^k is
 * applied in two factors, because 2^128 is no f32 while results up to 2^128 are.
 */
static inline float exp_f32(float x)
{
    const float round_to_integer = 12582912.0f;
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440055e-4f;
    const float smallest = -87.3365402f, largest = 88.8f;
    float inside = x < smallest ? smallest : x;

    inside = inside > largest ? largest : inside;
    float shifted = inside * 1.44269504089f + round_to_integer;
    float k = shifted - round_to_integer;
    float r = (inside - k * ln2_high) - k * ln2_low;
    float q = 1.38145406e-3f;

    q = q * r + 8.36874545e-3f;
    q = q * r + 4.1668389e-2f;
    q = q * r + 1.66665211e-1f;
    q = q * r + 4.9999994e-1f;
    float y = (q * r) * r + r + 1.0f;
    int32_t exponent = bits_of_float(shifted) - bits_of_float(round_to_integer);
    int32_t half = exponent >> 1;

    y *= float_of_bits((half + 127) << 23);
    y *= float_of_bits((exponent - half + 127) << 23);
    return x < smallest ? 0.0f : y;
}

static inline float sigmoid_f32(float x)
{
    return 1.0f / (1.0f + exp_f32(-x));
}

#endif
