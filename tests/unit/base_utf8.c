// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/utf8.h"
#include "unit_test.h"

static int64_t encode(uint32_t c, unsigned char out[4])
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (unsigned char)(0x80 | (c & 0x3F));
    out[0] = (unsigned char)((0xF00 >> n) | c);
    return n;
}

static int64_t valid_length(const void *bytes, int64_t n)
{
    return dpo_utf8_valid_length(bytes, n);
}

static void every_code_point_but_surrogates_is_valid(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        unsigned char bytes[4];
        int64_t n = encode(c, bytes);
        int64_t expected = c >= 0xD800 && c < 0xE000 ? 0 : n;

        if (valid_length(bytes, n) != expected) fail_msg("U+%04X is judged wrongly", c);
        for (int64_t cut = 1; cut < n; cut++)
            if (valid_length(bytes, cut) != 0) fail_msg("a cut U+%04X is accepted", c);
    }
}

/*
 * Of all two-byte texts, valid are: two ASCII, and C2..DF followed by 80..BF. Else the first may
 * be.
 */
static void every_pair_of_bytes_is_judged_rightly(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            const unsigned char bytes[2] = {(unsigned char)a, (unsigned char)b};
            int follows = b >= 0x80 && b < 0xC0;
            int64_t expected = a < 0x80 ? (b < 0x80 ? 2 : 1) : 0;

            if (a >= 0xC2 && a < 0xE0 && follows) expected = 2;
            assert_int_equal(valid_length(bytes, 2), expected);
        }
}

static void overlong_and_too_large_sequences_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xC0\x80",         "\xC1\xBF",         "\xE0\x80\x80",
                                        "\xE0\x9F\xBF",     "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
                                        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(valid_length(texts[i], (int64_t)strlen(texts[i])), 0);
}

static void the_offset_is_that_of_the_first_bad_sequence(void **state)
{
    (void)state;
    assert_int_equal(valid_length("gr\xC3\xBC\xC3\x9F"
                                  "e",
                                  7),
                     7);
    assert_int_equal(valid_length("gr\xC3\xBC\xC3"
                                  "e",
                                  6),
                     4);
    assert_int_equal(valid_length("a\0b", 3), 3);
    assert_int_equal(valid_length("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_code_point_but_surrogates_is_valid),
        UNIT_TEST(every_pair_of_bytes_is_judged_rightly),
        UNIT_TEST(overlong_and_too_large_sequences_are_refused),
        UNIT_TEST(the_offset_is_that_of_the_first_bad_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
