// SPDX-License-Identifier: Apache-2.0
#include "../../src/data/truncate.h"

#include "unit_test.h"

enum { MAX_TOKENS = 9 };

static int64_t at_most(int64_t n, int64_t limit)
{
    return n < limit ? n : limit;
}

typedef void (*check_function)(int64_t prompt, int64_t response, int64_t max, sequence_cut cut);

static void for_all_lengths(dpo_truncation truncation, check_function check)
{
    for (int64_t prompt = 0; prompt <= MAX_TOKENS; prompt++)
        for (int64_t response = 0; response <= MAX_TOKENS; response++)
            for (int64_t max = 2; max <= 2 * MAX_TOKENS + 1; max++)
                check(prompt, response, max, sequence_cut_of(prompt, response, max, truncation));
}

static void check_invariant(int64_t prompt, int64_t response, int64_t max, sequence_cut cut)
{
    (void)max;
    assert_true(cut.begin >= 0 && cut.begin <= cut.response);
    assert_true(cut.response <= cut.end && cut.end <= prompt + response);
    if (cut.begin < cut.end) assert_true(cut.begin < cut.response);
    assert_true(cut.owns_prompt == (cut.begin < cut.end && cut.response == cut.begin + 1 &&
                                    (prompt == 0 || cut.begin >= prompt)));
}

static void the_first_token_kept_is_always_of_the_prompt(void **state)
{
    (void)state;
    for (int t = DPO_TRUNCATE_KEEP_START; t <= DPO_TRUNCATE_ERROR; t++)
        for_all_lengths((dpo_truncation)t, check_invariant);
}

static void check_start(int64_t prompt, int64_t response, int64_t max, sequence_cut cut)
{
    assert_int_equal(cut.begin, 0);
    assert_int_equal(cut.end, at_most(prompt + response, max));
    assert_true(cut.is_cut == (prompt + response > max));
    if (prompt > 0) assert_int_equal(cut.response, at_most(prompt, max));
}

static void keep_start_keeps_the_first_tokens(void **state)
{
    (void)state;
    for_all_lengths(DPO_TRUNCATE_KEEP_START, check_start);
}

static void check_end(int64_t prompt, int64_t response, int64_t max, sequence_cut cut)
{
    assert_int_equal(cut.end, prompt + response);
    assert_int_equal(cut.end - cut.begin, at_most(prompt + response, max));
    if (cut.begin < prompt) assert_int_equal(cut.response, prompt);
    if (response > 0) assert_true(cut.end > cut.response || prompt + response == 1);
}

static void keep_end_keeps_the_last_tokens(void **state)
{
    (void)state;
    for_all_lengths(DPO_TRUNCATE_KEEP_END, check_end);
}

static void check_whole(int64_t prompt, int64_t response, int64_t max, sequence_cut cut)
{
    (void)max;
    assert_int_equal(cut.begin, 0);
    assert_int_equal(cut.end, prompt + response);
    assert_false(cut.is_cut);
}

static void drop_and_error_cut_nothing(void **state)
{
    (void)state;
    for_all_lengths(DPO_TRUNCATE_DROP, check_whole);
    for_all_lengths(DPO_TRUNCATE_ERROR, check_whole);
}

static void without_a_limit_nothing_is_cut(void **state)
{
    (void)state;
    check_whole(1000, 1000, 0, sequence_cut_of(1000, 1000, 0, DPO_TRUNCATE_KEEP_START));
    check_whole(1000, 1000, 0, sequence_cut_of(1000, 1000, 0, DPO_TRUNCATE_KEEP_END));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(the_first_token_kept_is_always_of_the_prompt),
        UNIT_TEST(keep_start_keeps_the_first_tokens),
        UNIT_TEST(keep_end_keeps_the_last_tokens),
        UNIT_TEST(drop_and_error_cut_nothing),
        UNIT_TEST(without_a_limit_nothing_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
