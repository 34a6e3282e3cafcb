// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/digest.h"
#include "unit_test.h"

static void hexadecimal_digits_round_trip(void **state)
{
    (void)state;
    static const dpo_digest digests[] = {
        {0, 0}, {UINT64_MAX, UINT64_MAX}, {0x0123456789abcdefu, 0x00000000deadbeefu}};

    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        char hex[DPO_DIGEST_HEX_BYTES];
        dpo_digest again;

        dpo_digest_to_hex(digests[i], hex);
        assert_int_equal(strlen(hex), 32);
        ASSERT_OK(dpo_digest_from_hex(hex, &again));
        assert_true(dpo_digest_equal(digests[i], again));
    }
}

static void the_high_half_is_written_first(void **state)
{
    (void)state;
    char hex[DPO_DIGEST_HEX_BYTES];

    dpo_digest_to_hex((dpo_digest){.low = 1, .high = 0xa}, hex);
    assert_string_equal(hex, "000000000000000a0000000000000001");
}

static void what_is_no_digest_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "12",
                                        "000000000000000a000000000000000",
                                        "000000000000000a00000000000000010",
                                        "000000000000000A0000000000000001",
                                        "0x0000000000000a0000000000000001",
                                        " 00000000000000a0000000000000001"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        dpo_digest digest;

        ASSERT_FAILS(dpo_digest_from_hex(texts[i], &digest), DPO_EDATA, "is no digest");
    }
}

/* XXH3-128 of no bytes, from the library's specification. */
static void the_digest_of_nothing_is_that_of_xxh3(void **state)
{
    (void)state;
    char hex[DPO_DIGEST_HEX_BYTES];

    dpo_digest_to_hex(dpo_digest_of("", 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

static void pieces_have_the_digest_of_the_whole(void **state)
{
    (void)state;
    static const int64_t pieces[] = {1, 3, 64, 1000};
    enum { N_BYTES = 5000 };
    unsigned char bytes[N_BYTES];

    for (int i = 0; i < N_BYTES; i++)
        bytes[i] = (unsigned char)(i * i % 251);
    for (int p = 0; p < 4; p++) {
        dpo_digest_state *digest;

        ASSERT_OK(dpo_digest_begin(&digest));
        for (int64_t at = 0; at < N_BYTES; at += pieces[p]) {
            int64_t left = N_BYTES - at;

            dpo_digest_add(digest, bytes + at, left < pieces[p] ? left : pieces[p]);
        }
        assert_true(dpo_digest_equal(dpo_digest_end(&digest), dpo_digest_of(bytes, N_BYTES)));
        assert_null(digest);
    }
}

static void one_other_bit_is_another_digest(void **state)
{
    (void)state;
    unsigned char bytes[100] = {0};
    dpo_digest zeros = dpo_digest_of(bytes, sizeof bytes);

    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] = (unsigned char)(1u << i % 8);
        assert_false(dpo_digest_equal(dpo_digest_of(bytes, sizeof bytes), zeros));
        bytes[i / 8] = 0;
    }
    assert_false(dpo_digest_equal(dpo_digest_of(bytes, 99), zeros));
}

static void joining_has_an_order(void **state)
{
    (void)state;
    dpo_digest a = dpo_digest_of("a", 1);
    dpo_digest b = dpo_digest_of("b", 1);

    assert_true(dpo_digest_equal(dpo_digest_join(a, b), dpo_digest_join(a, b)));
    assert_false(dpo_digest_equal(dpo_digest_join(a, b), dpo_digest_join(b, a)));
}

static void digests_have_an_order(void **state)
{
    (void)state;
    const dpo_digest rising[] = {{0, 0}, {1, 0}, {UINT64_MAX, 0}, {0, 1}, {5, UINT64_MAX}};

    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            assert_int_equal(dpo_digest_compare(rising[i], rising[j]), (i > j) - (i < j));
}

static void a_state_without_memory_is_null(void **state)
{
    (void)state;
    dpo_digest_state *digest;

    dpo_memory_fail_after(1);
    assert_int_equal(dpo_digest_begin(&digest), DPO_ENOMEM);
    assert_null(digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(hexadecimal_digits_round_trip),
        UNIT_TEST(the_high_half_is_written_first),
        UNIT_TEST(what_is_no_digest_is_refused),
        UNIT_TEST(the_digest_of_nothing_is_that_of_xxh3),
        UNIT_TEST(pieces_have_the_digest_of_the_whole),
        UNIT_TEST(one_other_bit_is_another_digest),
        UNIT_TEST(joining_has_an_order),
        UNIT_TEST(digests_have_an_order),
        UNIT_TEST(a_state_without_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
