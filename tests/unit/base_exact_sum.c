// SPDX-License-Identifier: Apache-2.0
#include <float.h>

#include "dpo/base/exact_sum.h"
#include "dpo/base/random.h"
#include "unit_test.h"

static double sum_of(int n, const double *terms)
{
    dpo_exact_sum sum = {0};

    for (int i = 0; i < n; i++)
        dpo_exact_sum_add(&sum, terms[i]);
    return dpo_exact_sum_value(&sum);
}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Any finite f64, every exponent equally likely, subnormal ones included. */
static double any_finite(uint64_t i)
{
    uint64_t bits = dpo_random_bits(1, DPO_STREAM_TEST, 0, i);
    double value;

    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? value : 0.0;
}

static void one_term_comes_back_bit_for_bit(void **state)
{
    (void)state;
    static const double special[] = {0.0,       1.0,       -1.0,    DBL_MAX,
                                     -DBL_MAX,  DBL_MIN,   0x1p-52, 0x0.0000001p-1022,
                                     0x1p-1074, -0x1p-1074};

    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        assert_true(bits_of(sum_of(1, &special[i])) == bits_of(special[i]));
    for (uint64_t i = 0; i < 20000; i++) {
        double term = any_finite(i);

        assert_true(bits_of(sum_of(1, &term)) == bits_of(term));
    }
}

/* IEEE 754 addition of two numbers is correctly rounded, so it is the reference. */
static void two_terms_give_what_the_processor_gives(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        int exponent = (int)(i % 130) - 65;
        double a = any_finite(i);
        double b = ldexp(any_finite(i + 50000), exponent);

        if (i % 2) b = ldexp(a, exponent) * (double)((int)(i % 7) - 3);
        double sum = a + b;
        double terms[] = {a, b};

        if (isfinite(b)) assert_true(sum_of(2, terms) == sum);
    }
}

static void rounding_is_to_even_and_sees_the_last_bit(void **state)
{
    (void)state;
    static const double tie[] = {1.0, 0x1p-53};
    static const double tie_up[] = {1.0 + 0x1p-52, 0x1p-53};
    static const double above[] = {1.0, 0x1p-53, 0x1p-1074};
    static const double below[] = {1.0, 0x1p-53, -0x1p-1074};

    assert_true(sum_of(2, tie) == 1.0);
    assert_true(sum_of(2, tie_up) == 1.0 + 0x1p-51);
    assert_true(sum_of(3, above) == 1.0 + 0x1p-52);
    assert_true(sum_of(3, below) == 1.0);
}

static void what_cancels_leaves_the_rest(void **state)
{
    (void)state;
    static const double terms[] = {DBL_MAX, 1.0, DBL_MAX, 0x1p-1074, -DBL_MAX, -1.0, -DBL_MAX};
    static const double negative[] = {1e300, -1.5, -1e300};

    assert_true(sum_of(7, terms) == 0x1p-1074);
    assert_true(sum_of(3, negative) == -1.5);
}

static void too_large_is_infinite_only_at_the_end(void **state)
{
    (void)state;
    static const double terms[] = {DBL_MAX, DBL_MAX, -DBL_MAX, -DBL_MAX};

    assert_true(sum_of(2, terms) == (double)INFINITY);
    assert_true(sum_of(4, terms) == 0.0);
    assert_true(sum_of(2, terms + 2) == -(double)INFINITY);
}

static void terms_that_are_not_finite_show(void **state)
{
    (void)state;
    static const double nan_term[] = {1.0, (double)NAN, 2.0};
    static const double infinite[] = {-DBL_MAX, (double)INFINITY, 1.0};
    static const double both[] = {(double)INFINITY, -(double)INFINITY};

    assert_true(isnan(sum_of(3, nan_term)));
    assert_true(sum_of(3, infinite) == (double)INFINITY);
    assert_true(sum_of(1, both + 1) == -(double)INFINITY);
    assert_true(isnan(sum_of(2, both)));
}

/* However the terms are dealt to parts and in whichever order: the limbs of the parts add up to the same bits. */
static void the_dealing_of_the_terms_does_not_matter(void **state)
{
    (void)state;
    enum { N = 4001 };
    double first = 0.0;

    for (int n_parts = 1; n_parts <= 16; n_parts++) {
        dpo_exact_sum total = {0};

        for (int part = 0; part < n_parts; part++) {
            dpo_exact_sum sum = {0};

            for (int i = N - 1 - part; i >= 0; i -= n_parts)
                dpo_exact_sum_add(&sum, ldexp(any_finite((uint64_t)i), -40));
            for (int l = 0; l < DPO_EXACT_SUM_LIMBS; l++)
                total.limb[l] += sum.limb[l];
        }
        double value = dpo_exact_sum_value(&total);

        if (n_parts == 1) first = value;
        assert_true(bits_of(value) == bits_of(first));
    }
}

/* Halves are exact in f64 up to 2^52 of them, so the plain sum is a reference. */
static void many_terms_carry(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    dpo_exact_sum sum = {0};
    double plain = 0.0;

    for (int i = 0; i < N; i++) {
        double term = (double)0xFFFFFFFFu + 0.5 * (i % 3 - 1);

        dpo_exact_sum_add(&sum, term);
        plain += term;
    }
    assert_true(dpo_exact_sum_value(&sum) == plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(one_term_comes_back_bit_for_bit),
        UNIT_TEST(two_terms_give_what_the_processor_gives),
        UNIT_TEST(rounding_is_to_even_and_sees_the_last_bit),
        UNIT_TEST(what_cancels_leaves_the_rest),
        UNIT_TEST(too_large_is_infinite_only_at_the_end),
        UNIT_TEST(terms_that_are_not_finite_show),
        UNIT_TEST(the_dealing_of_the_terms_does_not_matter),
        UNIT_TEST(many_terms_carry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
