// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_KERNELS_LEVEL_H
#define DPO_MATH_KERNELS_LEVEL_H

/* Names of the kernels of the level that is being compiled, and the exponential that they share. */

#include <string.h>

#include "kernels.h"

#define DPO_JOIN_(a, b, c) a##b##_##c
#define DPO_JOIN(a, b, c)  DPO_JOIN_(a, b, c)
#define KERNEL(name)       DPO_JOIN(dpo_, DPO_LEVEL, name)

/* NOLINTNEXTLINE(bugprone-macro-parentheses): declarators take no more parentheses. */
#define DPO_KERNEL_PROTOTYPE(result, name, parameters) result KERNEL(name) parameters;
DPO_KERNEL_LIST(DPO_KERNEL_PROTOTYPE)
#undef DPO_KERNEL_PROTOTYPE
extern const dpo_kernels KERNEL(kernels);

static inline float float_of_bits(uint32_t bits)
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
 * polynomial of relative error 3e-9. Adding 1.5 * 2^23 rounds to an integer in the low bits. Gives exp(r).
 */
static inline float reduced_exp(float x, int32_t *k)
{
    const float round_to_integer = 12582912.0f;
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440055e-4f;
    float shifted = x * 1.44269504089f + round_to_integer;
    float whole = shifted - round_to_integer;
    float r = (x - whole * ln2_high) - whole * ln2_low;
    float q = 1.38145406e-3f;

    q = q * r + 8.36874545e-3f;
    q = q * r + 4.1668389e-2f;
    q = q * r + 1.66665211e-1f;
    q = q * r + 4.9999994e-1f;
    *k = bits_of_float(shifted) - bits_of_float(round_to_integer);
    return (q * r) * r + r + 1.0f;
}

/* For x <= 1. From -87.7 downwards k is -127, whose bits as an exponent make a zero. */
static inline float exp_falling(float x)
{
    int32_t k;
    float y = reduced_exp(x < -88.0f ? -88.0f : x, &k);

    return y * float_of_bits((uint32_t)(k + 127) << 23);
}

/*
 * 2^x for x <= 1; from -127 downwards zero. The integer part is exact here, so this is cheaper than exp(x) and scores
 * are kept in base 2. The polynomial is fitted to (2^r - 1) / r; 2^r has a relative error of 2e-9.
 */
static inline float exp2_falling(float x)
{
    const float round_to_integer = 12582912.0f;
    float inside = x < -127.0f ? -127.0f : x;
    float shifted = inside + round_to_integer;
    float r = inside - (shifted - round_to_integer);
    int32_t k = bits_of_float(shifted) - bits_of_float(round_to_integer);
    float q = 1.53533621e-4f;

    q = q * r + 1.33988746e-3f;
    q = q * r + 9.61843736e-3f;
    q = q * r + 5.55033247e-2f;
    q = q * r + 2.40226479e-1f;
    q = q * r + 6.93147203e-1f;
    return (q * r + 1.0f) * float_of_bits((uint32_t)(k + 127) << 23);
}

/* For any x; in two factors, because 2^128 is no f32 while results just below it are. */
static inline float exp_any(float x)
{
    const float smallest = -87.3365402f, largest = 88.8f;
    float inside = x < smallest ? smallest : x;
    int32_t k;
    float y = reduced_exp(inside > largest ? largest : inside, &k);
    int32_t half = k >> 1;

    y *= float_of_bits((uint32_t)(half + 127) << 23);
    y *= float_of_bits((uint32_t)(k - half + 127) << 23);
    return x < smallest ? 0.0f : y;
}

/* 1 / (1 + exp(-x)) with an exponential that cannot overflow. */
static inline float sigmoid_f32(float x)
{
    float e = exp_falling(x < 0.0f ? x : -x);

    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

#endif
