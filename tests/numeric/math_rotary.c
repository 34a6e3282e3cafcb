// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/rotary.h"

#include "dpo/math/segments.h"
#include "math_test.h"

enum { N = 6, N_HEADS = 3, E = 10, WIDTH = 5 * E, MAX_POSITIONS = 5000 };
static const int32_t position[N] = {0, 1, 2, 17, 1000, MAX_POSITIONS - 1};

static dpo_rotary_options plain_options(void)
{
    return (dpo_rotary_options){.head_dim = E, .max_positions = MAX_POSITIONS, .theta = 10000.0};
}

/* Frequency of pair i without scaling: f32 operations, as transformers does them. */
static float plain_frequency(int i)
{
    return 1.0f / (float)pow(10000.0, (double)((float)(2 * i) / (float)E));
}

/* The definition; divisor is what the frequency of pair i is divided by. */
static void naive_turn(const double *divisor, double *rows)
{
    for (int n = 0; n < N; n++)
        for (int head = 0; head < N_HEADS; head++)
            for (int i = 0; i < E / 2; i++) {
                double *a = rows + n * WIDTH + head * E + i, *b = a + E / 2, old = *a;
                float frequency = (float)((double)plain_frequency(i) / divisor[i]);
                double angle = (double)(frequency * (float)position[n]);

                *a = old * cos(angle) - *b * sin(angle);
                *b = *b * cos(angle) + old * sin(angle);
            }
}

static void expect_turn(const dpo_rotary_options *options, const double *divisor)
{
    float *rows = random_f32(N * WIDTH, 1, 1.0);
    double *want = widen(N * WIDTH, rows);
    dpo_rotary *rotary;

    ASSERT_OK(dpo_rotary_create(options, &rotary));
    ASSERT_NO_ALLOCATION(dpo_rotary_forward(rotary, N, position, N_HEADS, WIDTH, rows));
    naive_turn(divisor, want);
    ASSERT_SAME(N * WIDTH, rows, want, 3e-7);
    dpo_rotary_destroy(&rotary);
    dpo_free(rows);
    dpo_free(want);
}

static void forward_is_the_definition_and_leaves_other_heads(void **state)
{
    (void)state;
    dpo_rotary_options options = plain_options();
    double divisor[E / 2] = {1, 1, 1, 1, 1};

    expect_turn(&options, divisor);
}

static void linear_scaling_divides_all_frequencies(void **state)
{
    (void)state;
    dpo_rotary_options options = plain_options();
    double divisor[E / 2] = {4, 4, 4, 4, 4};

    options.scaling = DPO_ROPE_LINEAR;
    options.factor = 4;
    expect_turn(&options, divisor);
}

/* Frequencies 1, 0.158, 0.0251, 0.00398, 0.00063: wavelengths 6.3, 39.6, 250, 1578, 9954 tokens. */
static void llama3_scaling_keeps_short_and_stretches_long_wavelengths(void **state)
{
    (void)state;
    dpo_rotary_options options = plain_options();
    double turns = 400.0 / (2 * acos(-1.0) / (double)plain_frequency(2));
    double kept = (turns - 1) / (4 - 1);
    double divisor[E / 2] = {1, 1, 1 / (kept + (1 - kept) / 8), 8, 8};

    options.scaling = DPO_ROPE_LLAMA3;
    options.factor = 8;
    options.low_freq_factor = 1;
    options.high_freq_factor = 4;
    options.original_max_positions = 400;
    expect_turn(&options, divisor);
}

/* <y, dy> = <x, backward(dy)>: backward is the transpose, and for a turn also the inverse. */
static void backward_is_the_transpose_and_the_inverse(void **state)
{
    (void)state;
    dpo_rotary_options options = plain_options();
    float *y = random_f32(N * WIDTH, 1, 1.0), *dx = random_f32(N * WIDTH, 2, 1.0);
    double *x = widen(N * WIDTH, y), *dy = widen(N * WIDTH, dx);
    dpo_rotary *rotary;

    ASSERT_OK(dpo_rotary_create(&options, &rotary));
    dpo_rotary_forward(rotary, N, position, N_HEADS, WIDTH, y);
    dpo_rotary_backward(rotary, N, position, N_HEADS, WIDTH, dx);
    double *wide_y = widen(N * WIDTH, y), *wide_dx = widen(N * WIDTH, dx);

    ASSERT_CLOSE(weighted_sum(N * WIDTH, wide_y, dy), weighted_sum(N * WIDTH, x, wide_dx), 1e-5);
    dpo_rotary_backward(rotary, N, position, N_HEADS, WIDTH, y);
    ASSERT_SAME(N * WIDTH, y, x, 3e-7);
    dpo_rotary_destroy(&rotary);
    void *arrays[] = {y, dx, x, dy, wide_y, wide_dx};
    for (int a = 0; a < 6; a++)
        dpo_free(arrays[a]);
}

static void positions_continue_from_the_parent(void **state)
{
    (void)state;
    static const int64_t begin[] = {0, 3, 5, 6, 6, 8}, parent[] = {-1, 0, 1, 0, -1};
    static const int32_t want[] = {0, 1, 2, 3, 4, 5, 0, 1};
    dpo_segments segments = {5, begin, parent};
    int32_t got[8];

    dpo_segments_positions(&segments, got);
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(dpo_segments_n_tokens(&segments), 8);
}

static void lack_of_memory_leaves_nothing(void **state)
{
    (void)state;
    dpo_rotary_options options = plain_options();
    dpo_rotary *rotary;

    for (int i = 1; i <= 3; i++) {
        dpo_memory_fail_after(i);
        assert_int_equal(dpo_rotary_create(&options, &rotary), DPO_ENOMEM);
        assert_null(rotary);
    }
    dpo_memory_fail_after(0);
}

static void bf16_rounds_results_only(void **state)
{
    (void)state;
    dpo_rotary_options options = plain_options();
    float *rows = random_f32(N * WIDTH, 1, 1.0);
    uint16_t *stored = share_bf16(N * WIDTH, rows);
    dpo_rotary *exact, *rounding;

    ASSERT_OK(dpo_rotary_create(&options, &exact));
    options.elements = DPO_BF16;
    ASSERT_OK(dpo_rotary_create(&options, &rounding));
    dpo_rotary_forward(exact, N, position, N_HEADS, WIDTH, rows);
    ASSERT_NO_ALLOCATION(dpo_rotary_forward(rounding, N, position, N_HEADS, WIDTH, stored));
    assert_rounded(N * WIDTH, stored, rows);
    dpo_f32_from_bf16_many(N * WIDTH, stored, rows);
    dpo_rotary_backward(exact, N, position, N_HEADS, WIDTH, rows);
    dpo_rotary_backward(rounding, N, position, N_HEADS, WIDTH, stored);
    assert_rounded(N * WIDTH, stored, rows);
    dpo_rotary_destroy(&exact);
    dpo_rotary_destroy(&rounding);
    dpo_free(rows);
    dpo_free(stored);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(forward_is_the_definition_and_leaves_other_heads),
    UNIT_TEST(linear_scaling_divides_all_frequencies),
    UNIT_TEST(llama3_scaling_keeps_short_and_stretches_long_wavelengths),
    UNIT_TEST(backward_is_the_transpose_and_the_inverse),
    UNIT_TEST(positions_continue_from_the_parent),
    UNIT_TEST(lack_of_memory_leaves_nothing),
    UNIT_TEST(bf16_rounds_results_only),
};

MATH_TEST_MAIN(tests)
