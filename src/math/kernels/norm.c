// SPDX-License-Identifier: Apache-2.0
/*
 * RMSNorm of rows: rstd = 1 / sqrt(mean(x^2) + eps), y = weight x rstd. With g = weight dy:
 * dx = rstd g - x rstd^3 mean(g x), dweight = sum over rows of dy x rstd.
 */
#include <math.h>

#include "level.h"

enum { COLUMNS = 32, ROWS = 64 };

float KERNEL(rms_norm_forward)(int64_t n, double eps, const float *x, const float *weight, float *y)
{
    float squares = KERNEL(dot)(n, x, x);
    float rstd = (float)(1.0 / sqrt((double)squares / (double)n + eps));

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = weight[i] * (x[i] * rstd);
    return rstd;
}

void KERNEL(rms_norm_backward)(int64_t n, const float *restrict x, const float *restrict weight,
                               float rstd, const float *restrict dy, float *restrict dx)
{
    float sum = 0.0f;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += weight[i] * dy[i] * x[i];
    float along_x = sum * rstd * rstd * rstd / (float)n;

#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] += rstd * (weight[i] * dy[i]) - along_x * x[i];
}

/* A few rows at a time in f32, the sum of those in f64: the error does not grow with the rows. */
void KERNEL(rms_norm_dweight)(int64_t n_rows, int64_t stride, int64_t n, const float *restrict x,
                              const float *restrict rstd, const float *restrict dy,
                              float *restrict dweight)
{
    double total[COLUMNS] = {0};

    for (int64_t begin = 0; begin < n_rows; begin += ROWS) {
        int64_t end = begin + ROWS < n_rows ? begin + ROWS : n_rows;
        float part[COLUMNS] = {0};

        for (int64_t row = begin; row < end; row++) {
#pragma omp simd
            for (int64_t i = 0; i < n; i++)
                part[i] += dy[row * stride + i] * (x[row * stride + i] * rstd[row]);
        }
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            total[i] += (double)part[i];
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dweight[i] += (float)total[i];
}
