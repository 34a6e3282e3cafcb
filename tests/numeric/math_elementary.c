// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/elementary.h"

#include <float.h>

#include "math_test.h"

/* |got - want| in units of the last place of want. */
static double ulps(float got, double want)
{
    float near = fabsf((float)want);
    double unit = (double)nextafterf(near, INFINITY) - (double)near;

    return fabs((double)got - want) / unit;
}

static void exp_is_within_one_unit(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    float *x = zeros_f32(N), *y = zeros_f32(N);
    double worst = 0;

    for (int i = 0; i < N; i++)
        x[i] = (float)(-87.33 + (88.72 + 87.33) * i / (N - 1));
    dpo_exp_run(N, x, y);
    for (int i = 0; i < N; i++)
        worst = fmax(worst, ulps(y[i], exp((double)x[i])));
    ASSERT_CLOSE(worst, 0, 1);
    dpo_free(x);
    dpo_free(y);
}

static void exp_of_small_arguments_is_within_one_unit(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    float *x = zeros_f32(N), *y = zeros_f32(N);

    for (int i = 0; i < N; i++)
        x[i] = ldexpf(i % 2 ? -1.3f : 1.1f, -(i % 40)) * (1.0f + (float)i / N);
    dpo_exp_run(N, x, y);
    for (int i = 0; i < N; i++)
        ASSERT_CLOSE(ulps(y[i], exp((double)x[i])), 0, 1);
    dpo_free(x);
    dpo_free(y);
}

static void exp_ends_in_zero_infinity_and_nan(void **state)
{
    (void)state;
    float x[] = {-INFINITY, -1e30f, -88.0f, -FLT_MAX, 0.0f, -0.0f, 89.0f, FLT_MAX, INFINITY, NAN};
    float y[10];

    dpo_exp_run(10, x, y);
    for (int i = 0; i < 4; i++)
        assert_true(y[i] == 0.0f);
    assert_true(y[4] == 1.0f && y[5] == 1.0f);
    for (int i = 6; i < 9; i++)
        assert_true(isinf(y[i]) && y[i] > 0);
    assert_true(isnan(y[9]));
}

static void sigmoid_is_within_three_units(void **state)
{
    (void)state;
    enum { N = 1 << 19 };
    float *x = zeros_f32(N), *y = zeros_f32(N);
    double worst = 0;

    for (int i = 0; i < N; i++)
        x[i] = (float)(-87.0 + 187.0 * i / (N - 1));
    dpo_sigmoid_run(N, x, y);
    for (int i = 0; i < N; i++)
        worst = fmax(worst, ulps(y[i], 1 / (1 + exp(-(double)x[i]))));
    ASSERT_CLOSE(worst, 0, 3);
    dpo_free(x);
    dpo_free(y);
}

static void output_may_be_the_input_and_any_length_is_complete(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 70; n++) {
        float *x = random_f32(n + 1, 1, 3.0), *y = zeros_f32(n + 1);

        x[n] = y[n] = 5.0f;
        dpo_exp_run(n, x, y);
        dpo_exp_run(n, x, x);
        for (int64_t i = 0; i < n; i++)
            assert_true(y[i] > 0);
        ASSERT_SAME_BITS(n + 1, x, y);
        dpo_free(x);
        dpo_free(y);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(exp_is_within_one_unit),
    UNIT_TEST(exp_of_small_arguments_is_within_one_unit),
    UNIT_TEST(exp_ends_in_zero_infinity_and_nan),
    UNIT_TEST(sigmoid_is_within_three_units),
    UNIT_TEST(output_may_be_the_input_and_any_length_is_complete),
};

MATH_TEST_MAIN(tests)
