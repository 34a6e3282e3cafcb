// SPDX-License-Identifier: Apache-2.0
/*
 * Kernels that touch each element once. Those whose output may be an input carry no restrict: element i
 * depends on elements i only, which `omp simd` states.
 */
#include "level.h"

void KERNEL(exp_run)(int64_t n, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = exp_any(x[i]);
}

void KERNEL(sigmoid_run)(int64_t n, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = sigmoid_f32(x[i]);
}

void KERNEL(widen)(int64_t n, const uint16_t *restrict x, float *restrict y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = float_of_bits((uint32_t)x[i] << 16);
}

void KERNEL(narrow)(int64_t n, const float *restrict x, uint16_t *restrict y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)bits_of_float(x[i]);
        uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
        uint32_t is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;

        y[i] = (uint16_t)(is_nan ? (bits >> 16) | 0x40u : rounded);
    }
}

void KERNEL(add)(int64_t n, const float *restrict x, float *restrict y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void KERNEL(scale)(int64_t n, float a, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

void KERNEL(exp_scaled)(int64_t n, float a, float shift, float *restrict x)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] = a * exp_falling(x[i] - shift);
}

void KERNEL(swiglu_forward)(int64_t n, const float *restrict gate, const float *restrict up,
                            float *restrict y)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = gate[i] * sigmoid_f32(gate[i]) * up[i];
}

/* silu'(g) = s (1 + g (1 - s)), s = sigmoid(g). */
void KERNEL(swiglu_backward)(int64_t n, const float *gate, const float *up, const float *dy,
                             float *dgate, float *dup)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], s = sigmoid_f32(g);

        dgate[i] = dy[i] * u * s * (1.0f + g * (1.0f - s));
        dup[i] = dy[i] * g * s;
    }
}

void KERNEL(rotate)(int64_t n_pairs, float sign, const float *restrict cosine,
                    const float *restrict sine, float *restrict head)
{
#pragma omp simd
    for (int64_t i = 0; i < n_pairs; i++) {
        float a = head[i], b = head[i + n_pairs], c = cosine[i], s = sign * sine[i];

        head[i] = a * c - b * s;
        head[i + n_pairs] = b * c + a * s;
    }
}
