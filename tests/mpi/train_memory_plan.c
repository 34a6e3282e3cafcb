// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/memory_plan.h"

#include "model_fixture.h"

/* Sizes of SmolLM2-135M; nothing of it is allocated here. */
static dpo_model_config real_config(void)
{
    dpo_model_config config = tiny_config(true);

    config.n_layers = 30;
    config.d_model = 576;
    config.n_heads = 9;
    config.n_kv_heads = 3;
    config.head_dim = config.rope.head_dim = 64;
    config.d_ff = 1536;
    config.n_vocab = 49152;
    config.max_positions = config.rope.max_positions = 8192;
    return config;
}

static dpo_memory_needs needs_of(const dpo_model_config *config, int data_size, int tensor_size)
{
    dpo_memory_needs needs = {.config = config,
                              .data_size = data_size,
                              .n_states = 2,
                              .rank_shards = 1,
                              .program_bytes = 50 << 20};

    ASSERT_OK(dpo_partition_make(config, tensor_size, 0, &needs.partition));
    return needs;
}

static const dpo_memory_wishes wishes_2048 = {.longest_tokens = 900,
                                              .longest_rows = 500,
                                              .rows_per_token = 0.5,
                                              .budget_tokens = 2048};
static const dpo_model_limits wish = {.logits_bytes = 384 << 20, .trainable = true};

static dpo_memory_plan plan_of(const dpo_memory_needs *needs)
{
    dpo_model_limits limits = wish;
    dpo_memory_wishes wishes = wishes_2048;
    dpo_memory_plan plan;

    ASSERT_ALL(dpo_memory_plan_fit(test_grid, needs, INT64_MAX, &wishes, &limits, &plan) == DPO_OK);
    assert_int_equal(limits.max_tokens, 2048);
    assert_int_equal(limits.max_rows, 1025);
    assert_int_equal(limits.recompute, DPO_RECOMPUTE_NONE);
    assert_int_equal(plan.total, plan.program + plan.weights + plan.gradients + plan.optimizer +
                                     plan.average + plan.shard_sums + plan.activations +
                                     plan.scratch + plan.logits);
    return plan;
}

static void data_parallel_ranks_share_the_states(void **state)
{
    (void)state;
    dpo_model_config config = real_config();
    dpo_memory_needs one = needs_of(&config, 1, 1), four = needs_of(&config, 4, 1);
    dpo_memory_plan of_one = plan_of(&one), of_four = plan_of(&four);

    assert_int_equal(of_one.optimizer, 2 * of_one.weights);
    assert_int_equal(of_four.weights, of_one.weights);
    assert_in_range(of_four.optimizer, of_one.optimizer / 4 - 64, of_one.optimizer / 4 + 64);
    four.has_average = true;
    four.rank_shards = 2;
    of_four = plan_of(&four);
    assert_in_range(of_four.average, of_one.weights / 4 - 64, of_one.weights / 4 + 64);
    assert_int_equal(of_four.shard_sums, of_one.gradients);
}

static void tensor_parallel_ranks_share_the_model(void **state)
{
    (void)state;
    dpo_model_config config = real_config();
    dpo_memory_needs one = needs_of(&config, 1, 1), two = needs_of(&config, 1, 2);
    dpo_memory_plan of_one = plan_of(&one), of_two = plan_of(&two);

    assert_true((double)of_two.weights < 0.53 * (double)of_one.weights);
    assert_true((double)of_two.activations < 0.56 * (double)of_one.activations);
    assert_int_equal(of_two.logits, of_one.logits / 2);
}

/* The fastest of the settings that fit, and less memory for a lower limit. */
static void what_is_saved_follows_the_limit(void **state)
{
    (void)state;
    dpo_model_config config = real_config();
    dpo_memory_needs needs = needs_of(&config, 1, 1);
    int64_t limit_bytes = plan_of(&needs).total, n_fits = 0;
    dpo_recompute before = DPO_RECOMPUTE_NONE;
    dpo_status status = DPO_OK;

    for (; status == DPO_OK; limit_bytes -= 32 << 20, n_fits++) {
        dpo_model_limits limits = wish;
        dpo_memory_wishes wishes = wishes_2048;
        dpo_memory_plan plan;

        status = dpo_memory_plan_fit(test_grid, &needs, limit_bytes, &wishes, &limits, &plan);
        if (status != DPO_OK) break;
        assert_true(plan.total <= limit_bytes);
        assert_true(limits.max_tokens >= 900 && limits.recompute >= before);
        before = limits.recompute;
    }
    assert_true(n_fits > 10);
    assert_int_equal(status, DPO_ENOMEM);
    assert_int_equal(before, DPO_RECOMPUTE_LAYER);
    assert_non_null(strstr(dpo_last_error()->text, "memory.limit"));
}

static void a_given_budget_is_not_changed(void **state)
{
    (void)state;
    dpo_model_config config = real_config();
    dpo_memory_needs needs = needs_of(&config, 1, 1);
    dpo_model_limits limits = wish;
    dpo_memory_wishes wishes = wishes_2048;
    int64_t limit_bytes = plan_of(&needs).total - 1;
    dpo_memory_plan plan;

    wishes.is_fixed = true;
    ASSERT_ALL(dpo_memory_plan_fit(test_grid, &needs, limit_bytes, &wishes, &limits, &plan) ==
               DPO_OK);
    assert_int_equal(limits.max_tokens, 2048);
    limits = wish;
    wishes.recompute_is_fixed = true;
    ASSERT_ALL(dpo_memory_plan_fit(test_grid, &needs, limit_bytes - (500 << 20), &wishes, &limits,
                                   &plan) == DPO_ENOMEM);
}

/* One rank of the job has less: all take what fits there. */
static void ranks_choose_alike(void **state)
{
    (void)state;
    dpo_model_config config = real_config();
    dpo_memory_needs needs = needs_of(&config, 1, 1);
    int64_t enough = plan_of(&needs).total;
    bool is_last = dpo_grid_rank(test_grid, DPO_WORLD) == dpo_grid_size(test_grid, DPO_WORLD) - 1;
    dpo_model_limits limits = wish;
    dpo_memory_wishes wishes = wishes_2048;
    dpo_memory_plan plan;

    ASSERT_ALL(dpo_memory_plan_fit(test_grid, &needs, is_last ? enough - 1 : enough, &wishes,
                                   &limits, &plan) == DPO_OK);
    ASSERT_ALL(limits.max_tokens == 1024);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(data_parallel_ranks_share_the_states),
    cmocka_unit_test(tensor_parallel_ranks_share_the_model),
    cmocka_unit_test(what_is_saved_follows_the_limit),
    cmocka_unit_test(a_given_budget_is_not_changed),
    cmocka_unit_test(ranks_choose_alike),
};

MPI_TEST_MAIN(tests)
