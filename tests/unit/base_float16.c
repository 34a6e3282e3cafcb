// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/float16.h"
#include "unit_test.h"

typedef struct {
    const char *name;
    float (*widen)(uint16_t bits);
    uint16_t (*narrow)(float value);
    int fraction_bits;
    uint16_t infinity;
} format;

static const format formats[] = {
    {"bf16", dpo_f32_from_bf16, dpo_bf16_from_f32, 7, 0x7F80},
    {"f16", dpo_f32_from_f16, dpo_f16_from_f32, 10, 0x7C00},
};

static void every_bit_pattern_comes_back(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++)
        for (uint32_t bits = 0; bits < 65536; bits++) {
            uint16_t in = (uint16_t)bits;
            float value = formats[f].widen(in);
            uint16_t out = formats[f].narrow(value);

            if ((in & 0x7FFF) > formats[f].infinity)
                assert_true(isnan(value) && (out & 0x7FFF) > formats[f].infinity);
            else
                assert_int_equal(out, in);
        }
}

/*
 * The value of a finite pattern from its fields: (1 + fraction) 2^(exponent - bias), or fraction
 * 2^(1 - bias).
 */
static void many_at_a_time_are_the_same_bits(void **state)
{
    (void)state;
    enum { N = 1 << 16 };
    static float values[N];
    static uint16_t bits[N];

    for (uint32_t upper = 0; upper < N; upper++) {
        uint32_t pattern = upper << 16 | (upper * 40503u >> 7 & 0xFFFFu);

        memcpy(&values[upper], &pattern, sizeof pattern);
    }
    dpo_bf16_from_f32_many(N, values, bits);
    for (int i = 0; i < N; i++)
        assert_int_equal(bits[i], dpo_bf16_from_f32(values[i]));
    dpo_f32_from_bf16_many(N, bits, values);
    for (int i = 0; i < N; i++) {
        float value = dpo_f32_from_bf16(bits[i]);

        assert_memory_equal(&values[i], &value, sizeof value);
    }
}

static void values_are_those_of_the_fields(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) {
        int m = formats[f].fraction_bits;
        int bias = (1 << (14 - m)) - 1;

        for (int bits = 0; bits < formats[f].infinity; bits++) {
            int exponent = bits >> m;
            int fraction = bits & ((1 << m) - 1);
            int whole = exponent == 0 ? fraction : fraction + (1 << m);
            double value = ldexp(whole, (exponent == 0 ? 1 : exponent) - bias - m);

            assert_true((double)formats[f].widen((uint16_t)bits) == value);
            assert_true((double)formats[f].widen((uint16_t)(bits | 0x8000)) == -value);
        }
    }
}

/* Between two neighbours: the half goes to the even one, what is nearer goes to the nearer. */
static void values_between_go_to_the_nearest_ties_to_even(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++)
        for (int bits = 0; bits + 1 < formats[f].infinity; bits++) {
            float low = formats[f].widen((uint16_t)bits);
            float high = formats[f].widen((uint16_t)(bits + 1));
            float half = low + (high - low) / 2.0f;
            int even = bits % 2 == 0 ? bits : bits + 1;

            assert_int_equal(formats[f].narrow(half), even);
            assert_int_equal(formats[f].narrow(nextafterf(half, 0.0f)), bits);
            assert_int_equal(formats[f].narrow(nextafterf(half, INFINITY)), bits + 1);
            assert_int_equal(formats[f].narrow(-half), even | 0x8000);
        }
}

static void too_large_becomes_infinity(void **state)
{
    (void)state;
    assert_int_equal(dpo_f16_from_f32(65504.0f), 0x7BFF);
    assert_int_equal(dpo_f16_from_f32(65519.996f), 0x7BFF);
    assert_int_equal(dpo_f16_from_f32(65520.0f), 0x7C00);
    assert_int_equal(dpo_f16_from_f32(-1e10f), 0xFC00);
    assert_int_equal(dpo_bf16_from_f32(3.4028235e38f), 0x7F80);
    assert_int_equal(dpo_bf16_from_f32(-INFINITY), 0xFF80);
    assert_int_equal(dpo_f16_from_f32(INFINITY), 0x7C00);
}

static void too_small_becomes_a_zero_of_its_sign(void **state)
{
    (void)state;
    assert_int_equal(dpo_f16_from_f32(0x1p-26f), 0x0000);
    assert_int_equal(dpo_f16_from_f32(-0x1p-26f), 0x8000);
    assert_int_equal(dpo_f16_from_f32(-0.0f), 0x8000);
    assert_int_equal(dpo_bf16_from_f32(-0.0f), 0x8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_bit_pattern_comes_back),
        UNIT_TEST(many_at_a_time_are_the_same_bits),
        UNIT_TEST(values_are_those_of_the_fields),
        UNIT_TEST(values_between_go_to_the_nearest_ties_to_even),
        UNIT_TEST(too_large_becomes_infinity),
        UNIT_TEST(too_small_becomes_a_zero_of_its_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
