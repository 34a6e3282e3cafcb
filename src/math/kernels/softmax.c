// SPDX-License-Identifier: Apache-2.0
/* Kernels over one row of scores or logits: reductions, and softmax built of them. */
#include "level.h"

float KERNEL(dot)(int64_t n, const float *x, const float *y)
{
    float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

float KERNEL(largest)(int64_t n, const float *x)
{
    float most = x[0];

#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

float KERNEL(exp_sum)(int64_t n, float shift, const float *x)
{
    float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += exp_falling(x[i] - shift);
    return sum;
}

/* Two chains of additions, because one takes longer than reading the numbers. */
static float sum_of(int64_t n, const float *x)
{
    const float *upper = x + n / 2;
    float low = 0.0f, high = n % 2 != 0 ? x[n - 1] : 0.0f;

#pragma omp simd reduction(+ : low, high)
    for (int64_t i = 0; i < n / 2; i++) {
        low += x[i];
        high += upper[i];
    }
    return low + high;
}

/* The sum has a loop of its own: GCC keeps a sum in memory when its loop writes anything else. */
float KERNEL(softmax_step)(int64_t n, float *restrict s, float *restrict max, float *restrict sum)
{
    float most = KERNEL(largest)(n, s);

    most = most > *max ? most : *max;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        s[i] = exp2_falling(s[i] - most);
    float factor = exp2_falling(*max - most);

    *sum = *sum * factor + sum_of(n, s);
    *max = most;
    return factor;
}

void KERNEL(softmax_backward)(int64_t n, float lse, float delta, float *restrict s,
                              float *restrict dp)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        s[i] = exp2_falling(s[i] - lse);
        dp[i] = s[i] * (dp[i] - delta);
    }
}

void KERNEL(key_scores)(int64_t n_keys, int64_t n, int64_t stride, const float *q,
                        const float *keys, float *restrict s)
{
    for (int64_t i = 0; i < n_keys; i++)
        s[i] = KERNEL(dot)(n, q, keys + i * stride);
}

void KERNEL(value_sum)(int64_t n_keys, int64_t n, int64_t stride, const float *restrict p,
                       const float *restrict values, float *restrict out)
{
    for (int64_t i = 0; i < n_keys; i++) {
        const float *value = values + i * stride;

#pragma omp simd
        for (int64_t e = 0; e < n; e++)
            out[e] += p[i] * value[e];
    }
}
