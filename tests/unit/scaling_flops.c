// SPDX-License-Identifier: Apache-2.0
#include "dpo/scaling/flops.h"

#include "unit_test.h"

/* SmolLM2-135M. */
static const dpo_model_config smollm2 = {.n_layers = 30,
                                         .d_model = 576,
                                         .n_heads = 9,
                                         .n_kv_heads = 3,
                                         .head_dim = 64,
                                         .d_ff = 1536,
                                         .n_vocab = 49152};

/* performance.md: 6 N (P + A + B) + 6 V D (A + B) + 12 L D pairs; N = 134 515 008 less embedding and norms. */
static void a_step_needs_what_the_formula_says(void **state)
{
    const double weights = 134515008.0 - 49152.0 * 576.0 - 61.0 * 576.0;
    const dpo_work work = {.tokens = 1000.0, .rows = 700.0, .pairs = 123456.0};

    (void)state;
    ASSERT_CLOSE(dpo_training_flops(&smollm2, &work),
                 6.0 * weights * 1000.0 + 6.0 * 49152.0 * 576.0 * 700.0 +
                     12.0 * 30.0 * 576.0 * 123456.0,
                 1.0);
}

static void a_forward_pass_is_a_third(void **state)
{
    const dpo_work work = {.tokens = 11.0, .rows = 7.0, .pairs = 40.0};

    (void)state;
    ASSERT_CLOSE(3.0 * dpo_forward_flops(&smollm2, &work), dpo_training_flops(&smollm2, &work),
                 0.0);
}

static void work_of_two_batches_adds(void **state)
{
    const dpo_work a = {100.0, 50.0, 5000.0}, b = {30.0, 20.0, 400.0}, both = {130.0, 70.0, 5400.0};

    (void)state;
    ASSERT_CLOSE(dpo_forward_flops(&smollm2, &a) + dpo_forward_flops(&smollm2, &b),
                 dpo_forward_flops(&smollm2, &both), 1.0);
}

static void heads_count_by_their_own_width(void **state)
{
    dpo_model_config narrow = smollm2;
    const dpo_work pairs = {.pairs = 1.0};

    (void)state;
    narrow.head_dim = 32;
    ASSERT_CLOSE(dpo_forward_flops(&narrow, &pairs), 4.0 * 30.0 * 9.0 * 32.0, 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_step_needs_what_the_formula_says),
        UNIT_TEST(a_forward_pass_is_a_third),
        UNIT_TEST(work_of_two_batches_adds),
        UNIT_TEST(heads_count_by_their_own_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
