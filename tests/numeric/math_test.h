// SPDX-License-Identifier: Apache-2.0
#ifndef MATH_TEST_H
#define MATH_TEST_H

/*
 * Tests of math compare f32 kernels with plain loops in double precision: the forward pass with the loop
 * itself, the backward pass with central differences of the loop. Errors are relative to the largest
 * element; a tolerance is a small multiple of the f32 rounding unit (6e-8) times the square root of the
 * length of the sums.
 */

#include "dpo/base/float16.h"
#include "dpo/base/random.h"
#include "dpo/math/engine.h"
#include "unit_test.h"

static inline float *zeros_f32(int64_t n)
{
    float *x;

    ASSERT_OK(DPO_NEW(x, n));
    return x;
}

static inline double *zeros_f64(int64_t n)
{
    double *x;

    ASSERT_OK(DPO_NEW(x, n));
    return x;
}

/* Standard normal numbers times scale. */
static inline float *random_f32(int64_t n, uint32_t seed, double scale)
{
    float *x = zeros_f32(n);

    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(scale * dpo_random_normal(7, DPO_STREAM_TEST, seed, (uint64_t)i));
    return x;
}

static inline float *copy_f32(int64_t n, const float *x)
{
    float *y = zeros_f32(n);

    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

static inline double *widen(int64_t n, const float *x)
{
    double *y = zeros_f64(n);

    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

/* x as bf16; x itself is rounded too, so that both are the same numbers. */
static inline uint16_t *share_bf16(int64_t n, float *x)
{
    uint16_t *y;

    ASSERT_OK(DPO_NEW(y, n));
    dpo_bf16_from_f32_many(n, x, y);
    dpo_f32_from_bf16_many(n, y, x);
    return y;
}

/* What is stored in bf16 is what f32 has, rounded, to the bit. */
static inline void assert_rounded(int64_t n, const uint16_t *got, const float *want)
{
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(got[i], dpo_bf16_from_f32(want[i]));
}

/* Largest difference, relative to the largest wanted element. */
static inline double relative_error(int64_t n, const float *got, const double *want)
{
    double error = 0, largest = 1e-30;

    for (int64_t i = 0; i < n; i++) {
        double difference = fabs((double)got[i] - want[i]);

        if (isnan(difference)) return INFINITY;
        error = difference > error ? difference : error;
        largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
    }
    return error / largest;
}

#define ASSERT_SAME(n, got, want, tolerance) \
    ASSERT_CLOSE(relative_error((n), (got), (want)), 0.0, (tolerance))

#define ASSERT_SAME_BITS(n, a, b) assert_memory_equal((a), (b), (size_t)(n) * sizeof *(a))

/* Nothing may be allocated by the statement. */
#define ASSERT_NO_ALLOCATION(statement)                   \
    do {                                                  \
        int64_t count_ = dpo_memory_count();              \
        statement;                                        \
        assert_int_equal(dpo_memory_count() - count_, 0); \
    } while (0)

static inline double weighted_sum(int64_t n, const double *weight, const double *x)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += weight[i] * x[i];
    return sum;
}

/* gradient[i] = dloss/dx[i] by central differences; loss depends on x through the context. */
static inline void differentiate(double (*loss)(void *context), void *context, int64_t n, double *x,
                                 double *gradient)
{
    const double step = 1e-5;

    for (int64_t i = 0; i < n; i++) {
        double middle = x[i];

        x[i] = middle + step;
        double above = loss(context);

        x[i] = middle - step;
        gradient[i] = (above - loss(context)) / (2 * step);
        x[i] = middle;
    }
}

/* Runs the tests once per level of our kernels that this CPU and build have. */
#define MATH_TEST_MAIN(tests)                                                    \
    int main(void)                                                               \
    {                                                                            \
        const char *levels[] = {"baseline", "x86-64-v3", "x86-64-v4"};           \
        int failed = 0;                                                          \
        for (int i = 0; i < 3; i++) {                                            \
            if (dpo_engine_use_kernels(levels[i]) != DPO_OK) continue;           \
            failed += cmocka_run_group_tests_name(levels[i], tests, NULL, NULL); \
        }                                                                        \
        return failed != 0;                                                      \
    }

#endif
