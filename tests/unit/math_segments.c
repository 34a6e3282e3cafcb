// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/segments.h"

#include "unit_test.h"

/* Two prompts; the first with two responses, one of which is empty, and a continuation of the other. */
static const int64_t begin[] = {0, 5, 8, 8, 12, 19};
static const int64_t parent[] = {-1, 0, 0, 1, -1};
static const dpo_segments forest = {5, begin, parent};

static void a_token_sees_what_its_position_says(void **state)
{
    int32_t position[19];
    double n_pairs = 0.0;

    (void)state;
    dpo_segments_positions(&forest, position);
    for (int64_t n = 0; n < dpo_segments_n_tokens(&forest); n++)
        n_pairs += position[n] + 1.0;
    ASSERT_CLOSE(dpo_segments_n_pairs(&forest), n_pairs, 0.0);
}

static void no_segment_has_no_pair(void **state)
{
    const dpo_segments none = {0, begin, parent};

    (void)state;
    ASSERT_CLOSE(dpo_segments_n_pairs(&none), 0.0, 0.0);
}

static void pairs_of_a_causal_sequence_are_a_triangle(void **state)
{
    const int64_t ends[] = {0, 100};
    const dpo_segments one = {1, ends, parent};

    (void)state;
    ASSERT_CLOSE(dpo_segments_n_pairs(&one), 5050.0, 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_token_sees_what_its_position_says),
        UNIT_TEST(no_segment_has_no_pair),
        UNIT_TEST(pairs_of_a_causal_sequence_are_a_triangle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
