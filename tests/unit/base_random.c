// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/random.h"
#include "unit_test.h"

enum { N_DRAWS = 20000 };

/*
 * Known answers of Random123 for philox4x32-10. Words 0 and 1 of the counter are minor, low half
 * first, word 2 is major, word 3 the stream; the key is the seed, low half first. We keep words 0
 * and 1 of the result.
 */
static void bits_are_the_known_answers_of_philox(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], word_0, word_1;
    } cases[] = {
        {{0}, {0}, 0x6627e8d5u, 0xe169c58du},
        {{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
         {0xffffffffu, 0xffffffffu},
         0x408f276du,
         0x41c83b0eu},
        {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
         {0xa4093822u, 0x299f31d0u},
         0xd16cfe09u,
         0x94fdccebu},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t seed = ((uint64_t)cases[i].key[1] << 32) | cases[i].key[0];
        uint64_t minor = ((uint64_t)cases[i].counter[1] << 32) | cases[i].counter[0];
        uint64_t bits =
            dpo_random_bits(seed, (dpo_stream)cases[i].counter[3], cases[i].counter[2], minor);

        assert_true(bits == (((uint64_t)cases[i].word_1 << 32) | cases[i].word_0));
    }
}

static void streams_do_not_share_numbers(void **state)
{
    (void)state;
    uint64_t bits = dpo_random_bits(1, DPO_STREAM_SHUFFLE, 2, 3);

    assert_true(bits != dpo_random_bits(2, DPO_STREAM_SHUFFLE, 2, 3));
    assert_true(bits != dpo_random_bits(1, DPO_STREAM_GENERATE, 2, 3));
    assert_true(bits != dpo_random_bits(1, DPO_STREAM_SHUFFLE, 3, 3));
    assert_true(bits != dpo_random_bits(1, DPO_STREAM_SHUFFLE, 2, 4));
}

/*
 * Means of N draws lie within 5 standard errors of the true ones; the numbers are fixed, so is the
 * outcome.
 */
static void uniform_numbers_have_the_moments_of_the_interval(void **state)
{
    (void)state;
    double mean = 0.0;
    double square = 0.0;

    for (uint64_t i = 0; i < N_DRAWS; i++) {
        double x = dpo_random_uniform(9, DPO_STREAM_TEST, 0, i);

        assert_true(x >= 0.0 && x < 1.0);
        mean += x / N_DRAWS;
        square += x * x / N_DRAWS;
    }
    ASSERT_CLOSE(mean, 1.0 / 2.0, 5.0 * sqrt(1.0 / 12.0 / N_DRAWS));
    ASSERT_CLOSE(square, 1.0 / 3.0, 5.0 * sqrt(4.0 / 45.0 / N_DRAWS));
}

static void normal_numbers_have_mean_zero_and_variance_one(void **state)
{
    (void)state;
    double mean = 0.0;
    double square = 0.0;
    double fourth = 0.0;

    for (uint64_t i = 0; i < N_DRAWS; i++) {
        double x = dpo_random_normal(9, DPO_STREAM_TEST, 0, i);

        assert_true(isfinite(x));
        mean += x / N_DRAWS;
        square += x * x / N_DRAWS;
        fourth += x * x * x * x / N_DRAWS;
    }
    ASSERT_CLOSE(mean, 0.0, 5.0 * sqrt(1.0 / N_DRAWS));
    ASSERT_CLOSE(square, 1.0, 5.0 * sqrt(2.0 / N_DRAWS));
    ASSERT_CLOSE(fourth, 3.0, 5.0 * sqrt(96.0 / N_DRAWS));
}

static void a_permutation_holds_every_number_once(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 50; n++) {
        int64_t permutation[50];
        int count[50] = {0};

        dpo_random_permutation(3, DPO_STREAM_TEST, (uint32_t)n, n, permutation);
        for (int64_t i = 0; i < n; i++) {
            assert_true(permutation[i] >= 0 && permutation[i] < n);
            count[permutation[i]]++;
        }
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(count[i], 1);
    }
}

/* Each of the 24 orders of four has probability 1/24: 5 standard deviations around it. */
static void all_orders_are_equally_likely(void **state)
{
    (void)state;
    enum { N_ORDERS = 24 };
    int count[4 * 4 * 4] = {0};
    double expected = (double)N_DRAWS / N_ORDERS;
    int n_seen = 0;

    for (uint32_t i = 0; i < N_DRAWS; i++) {
        int64_t p[4];

        dpo_random_permutation(3, DPO_STREAM_TEST, i, 4, p);
        count[p[0] * 16 + p[1] * 4 + p[2]]++;
    }
    for (int i = 0; i < 4 * 4 * 4; i++) {
        if (count[i] == 0) continue;
        n_seen++;
        ASSERT_CLOSE((double)count[i], expected, 5.0 * sqrt(expected));
    }
    assert_int_equal(n_seen, N_ORDERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(bits_are_the_known_answers_of_philox),
        UNIT_TEST(streams_do_not_share_numbers),
        UNIT_TEST(uniform_numbers_have_the_moments_of_the_interval),
        UNIT_TEST(normal_numbers_have_mean_zero_and_variance_one),
        UNIT_TEST(a_permutation_holds_every_number_once),
        UNIT_TEST(all_orders_are_equally_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
