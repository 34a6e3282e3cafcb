// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/random.h"
#include "dpo/optim/noise.h"
#include "unit_test.h"

enum { N_ITEMS = 6, N_RANKS = 4, MAX_COMPARISONS = 12 };

/* Mean and standard deviation of each item of a comparison's gradient. */
static const double mean[N_ITEMS] = {0.5, -0.3, 0.2, 0.0, 0.1, -0.4};
static const double deviation[N_ITEMS] = {1.0, 0.5, 2.0, 0.3, 0.7, 1.5};
static const double n_of_rank[N_RANKS] = {12, 3, 7, 10};

/* Sum of the gradients of a rank's comparisons, divided by those of all. */
static void draw(uint32_t step, int rank, double n_all, double gradient[N_ITEMS])
{
    memset(gradient, 0, N_ITEMS * sizeof *gradient);
    for (int c = 0; c < (int)n_of_rank[rank]; c++)
        for (int i = 0; i < N_ITEMS; i++) {
            uint64_t at = (uint64_t)((rank * MAX_COMPARISONS + c) * N_ITEMS + i);

            gradient[i] +=
                (mean[i] + deviation[i] * dpo_random_normal(1, DPO_STREAM_TEST, step, at)) / n_all;
        }
}

static double squares_of(const double gradient[N_ITEMS])
{
    double sum = 0.0;

    for (int i = 0; i < N_ITEMS; i++)
        sum += gradient[i] * gradient[i];
    return sum;
}

static dpo_noise estimate(uint32_t step)
{
    const double n_all = 32;
    double whole[N_ITEMS] = {0};
    dpo_noise_sums sums = {0};

    for (int rank = 0; rank < N_RANKS; rank++) {
        double gradient[N_ITEMS];

        draw(step, rank, n_all, gradient);
        dpo_noise_sums own = dpo_noise_of_rank(squares_of(gradient), n_of_rank[rank], n_all, true);

        sums.squares += own.squares;
        sums.inverse += own.inverse;
        sums.n_ranks += own.n_ranks;
        for (int i = 0; i < N_ITEMS; i++)
            whole[i] += gradient[i];
    }
    return dpo_noise_estimate(&sums, n_all, sqrt(squares_of(whole)));
}

/* The means of 20000 estimates lie within five standard errors, computed from the estimates themselves. */
static void estimates_are_without_bias_on_unequal_ranks(void **state)
{
    (void)state;
    enum { N_STEPS = 20000 };
    double trace = 0.0, norm2 = 0.0;
    double sum[2] = {0}, squares[2] = {0};

    for (int i = 0; i < N_ITEMS; i++) {
        trace += deviation[i] * deviation[i];
        norm2 += mean[i] * mean[i];
    }
    for (uint32_t step = 0; step < N_STEPS; step++) {
        dpo_noise noise = estimate(step);

        assert_true(noise.exists);
        sum[0] += noise.trace;
        sum[1] += noise.norm2;
        squares[0] += noise.trace * noise.trace;
        squares[1] += noise.norm2 * noise.norm2;
    }
    for (int k = 0; k < 2; k++) {
        double average = sum[k] / N_STEPS;
        double error = sqrt((squares[k] / N_STEPS - average * average) / N_STEPS);
        double want = k == 0 ? trace : norm2;

        assert_true(error < 0.02 * want);
        ASSERT_CLOSE(average, want, 5.0 * error);
    }
}

static void the_scale_of_the_averages_approaches_the_ratio(void **state)
{
    (void)state;
    dpo_noise_average average = {0};
    double trace = 0.0, norm2 = 0.0;

    for (int i = 0; i < N_ITEMS; i++) {
        trace += deviation[i] * deviation[i];
        norm2 += mean[i] * mean[i];
    }
    for (uint32_t step = 0; step < 2000; step++) {
        dpo_noise noise = estimate(step);

        dpo_noise_average_add(&average, &noise);
    }
    ASSERT_CLOSE(dpo_noise_scale(&average) / (trace / norm2), 1.0, 0.25);
}

static void fewer_than_two_ranks_give_no_estimate(void **state)
{
    (void)state;
    dpo_noise_sums sums = dpo_noise_of_rank(4.0, 8.0, 8.0, true);
    dpo_noise_sums empty = dpo_noise_of_rank(0.0, 0.0, 8.0, true);
    dpo_noise noise = dpo_noise_estimate(&sums, 8.0, 2.0);
    dpo_noise_average average = {0};

    assert_false(noise.exists);
    assert_true(empty.n_ranks == 0.0 && empty.inverse == 0.0 && empty.squares == 0.0);
    dpo_noise_average_add(&average, &noise);
    assert_true(average.trace == 0.0 && average.norm2 == 0.0);
    assert_true(isnan(dpo_noise_scale(&average)));
}

/* Ranks that share a part of the batch add their squares, and count the part once. */
static void tensor_parallel_ranks_count_once(void **state)
{
    (void)state;
    dpo_noise_sums whole = dpo_noise_of_rank(4.0, 2.0, 8.0, true);
    dpo_noise_sums first = dpo_noise_of_rank(3.0, 2.0, 8.0, true);
    dpo_noise_sums second = dpo_noise_of_rank(1.0, 2.0, 8.0, false);

    assert_true(first.squares + second.squares == whole.squares);
    assert_true(first.inverse + second.inverse == whole.inverse);
    assert_true(first.n_ranks + second.n_ranks == whole.n_ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(estimates_are_without_bias_on_unequal_ranks),
        UNIT_TEST(the_scale_of_the_averages_approaches_the_ratio),
        UNIT_TEST(fewer_than_two_ranks_give_no_estimate),
        UNIT_TEST(tensor_parallel_ranks_count_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
