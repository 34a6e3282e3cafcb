// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/range.h"
#include "unit_test.h"

static void parts_follow_each_other_and_cover_all(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++)
        for (int64_t n_parts = 1; n_parts < 12; n_parts++) {
            int64_t end = 0;

            for (int64_t part = 0; part < n_parts; part++) {
                dpo_range range = dpo_range_of_part(n, n_parts, part);

                assert_int_equal(range.begin, end);
                end = range.end;
            }
            assert_int_equal(end, n);
        }
}

static void parts_differ_by_one_at_most_longer_ones_first(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++)
        for (int64_t n_parts = 1; n_parts < 12; n_parts++) {
            int64_t longest = dpo_range_length(dpo_range_of_part(n, n_parts, 0));
            int64_t before = longest;

            for (int64_t part = 1; part < n_parts; part++) {
                int64_t length = dpo_range_length(dpo_range_of_part(n, n_parts, part));

                assert_true(length <= before && length >= longest - 1);
                before = length;
            }
        }
}

static void large_numbers_do_not_overflow(void **state)
{
    (void)state;
    int64_t n = INT64_MAX;

    assert_int_equal(dpo_range_of_part(n, 1000, 0).begin, 0);
    assert_int_equal(dpo_range_of_part(n, 1000, 999).end, n);
}

static void ranges_share_what_lies_in_both(void **state)
{
    (void)state;
    for (int64_t a = 0; a < 6; a++)
        for (int64_t b = a; b < 6; b++)
            for (int64_t c = 0; c < 6; c++)
                for (int64_t d = c; d < 6; d++) {
                    dpo_range shared = dpo_range_intersect((dpo_range){a, b}, (dpo_range){c, d});

                    assert_true(shared.begin <= shared.end);
                    for (int64_t i = 0; i < 6; i++) {
                        int in_both = a <= i && i < b && c <= i && i < d;

                        assert_int_equal(shared.begin <= i && i < shared.end, in_both);
                    }
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(parts_follow_each_other_and_cover_all),
        UNIT_TEST(parts_differ_by_one_at_most_longer_ones_first),
        UNIT_TEST(large_numbers_do_not_overflow),
        UNIT_TEST(ranges_share_what_lies_in_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
