// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/generate.h"
#include "model_fixture.h"

static void the_plan_says_what_is_allocated(void **state)
{
    enum { ROUNDING_BYTES = 64 << 10 };
    dpo_model_config config = tiny_config(false);

    (void)state;
    config.n_vocab = 5000;
    config.d_model = 96;
    for (int trainable = 0; trainable < 2; trainable++) {
        dpo_model_limits limits = {
            .max_tokens = 3000, .max_rows = 2000, .logits_bytes = 7 << 20, .trainable = trainable};
        int64_t before = dpo_memory_bytes(), grown;
        dpo_model_memory memory;
        dpo_partition whole;
        dpo_model *model;

        ASSERT_OK(dpo_partition_make(&config, 1, 0, &whole));
        ASSERT_OK(dpo_model_plan(&config, &limits, &whole, &memory));
        assert_int_equal(dpo_memory_bytes(), before);
        assert_int_equal(memory.total, memory.weights + memory.gradients + memory.activations +
                                           memory.scratch + memory.plans + memory.logits);
        assert_int_equal(memory.gradients, trainable ? memory.weights : 0);
        assert_int_equal(memory.logits, trainable ? limits.logits_bytes : 0);
        ASSERT_OK(dpo_model_create(test_grid, &config, &limits, &model));
        grown = dpo_memory_bytes() - before;
        assert_in_range(grown, memory.total, memory.total + ROUNDING_BYTES);
        dpo_model_destroy(&model);
        assert_int_equal(dpo_memory_bytes(), before);
    }
}

static void a_frozen_model_keeps_one_layer(void **state)
{
    dpo_model_config config = tiny_config(true);
    dpo_model_limits limits = {.max_tokens = 1000, .max_rows = 1};
    dpo_model_memory two, many;
    dpo_partition whole;

    (void)state;
    ASSERT_OK(dpo_partition_make(&config, 1, 0, &whole));
    ASSERT_OK(dpo_model_plan(&config, &limits, &whole, &two));
    config.n_layers = 40;
    ASSERT_OK(dpo_model_plan(&config, &limits, &whole, &many));
    assert_int_equal(many.activations, two.activations);
    limits.trainable = true;
    ASSERT_OK(dpo_model_plan(&config, &limits, &whole, &many));
    assert_true(many.activations > 30 * two.activations);
}

static void recomputation_keeps_less(void **state)
{
    dpo_model_config config = tiny_config(true);
    dpo_model_limits limits = {.max_tokens = 1000, .max_rows = 1, .trainable = true};
    int64_t activations[DPO_RECOMPUTE_LAYER + 1];
    dpo_model_memory memory;
    dpo_partition whole;

    (void)state;
    config.n_layers = 40;
    ASSERT_OK(dpo_partition_make(&config, 1, 0, &whole));
    for (int r = DPO_RECOMPUTE_NONE; r <= DPO_RECOMPUTE_LAYER; r++) {
        limits.recompute = (dpo_recompute)r;
        ASSERT_OK(dpo_model_plan(&config, &limits, &whole, &memory));
        activations[r] = memory.activations;
    }
    assert_true(activations[DPO_RECOMPUTE_MLP] < activations[DPO_RECOMPUTE_NONE]);
    assert_true(activations[DPO_RECOMPUTE_ATTENTION] < activations[DPO_RECOMPUTE_NONE]);
    assert_true(3 * activations[DPO_RECOMPUTE_LAYER] < activations[DPO_RECOMPUTE_MLP]);
    assert_true(3 * activations[DPO_RECOMPUTE_LAYER] < activations[DPO_RECOMPUTE_ATTENTION]);
}

static void a_pass_allocates_nothing(void **state)
{
    dpo_model *model = tiny_model(true, true, 0);
    float logp[MAX_ROWS], coefficient[MAX_ROWS];
    int32_t token[12], text[8];
    dpo_sampling sampling = {.top_p = 1, .max_new_tokens = 8};
    dpo_generator *generator;
    test_batch b;

    (void)state;
    clear_batch(&b);
    random_tokens(0, 12, 50, token);
    add_response(&b, add_segment(&b, -1, 5, token), 7, token + 5);
    random_coefficients(b.batch.n_rows, coefficient);
    ASSERT_OK(dpo_generator_create(model, 40, &generator));
    int64_t before = dpo_memory_count();

    dpo_model_forward(model, &b.batch, logp);
    dpo_model_backward(model, &b.batch, coefficient, NULL);
    (void)dpo_generator_run(generator, 5, token, &sampling, text);
    assert_int_equal(dpo_memory_count(), before);
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&model);
}

/* Lets every allocation fail in turn, until all succeed. */
static void lack_of_memory_leaves_nothing(void **state)
{
    dpo_model_config config = tiny_config(false);
    dpo_model_limits limits = {.max_tokens = 8, .max_rows = 8, .trainable = true};
    int64_t before = dpo_memory_outstanding(), n_failed = 0;
    dpo_generator *generator = NULL;
    dpo_model *model;

    (void)state;
    for (dpo_status status = DPO_ENOMEM; status != DPO_OK; n_failed++) {
        dpo_memory_fail_after(n_failed + 1);
        status = dpo_model_create(test_grid, &config, &limits, &model);
        if (status == DPO_OK) status = dpo_generator_create(model, 10, &generator);
        if (status == DPO_OK) break;
        assert_int_equal(status, DPO_ENOMEM);
        assert_null(generator);
        dpo_model_destroy(&model);
        assert_int_equal(dpo_memory_outstanding(), before);
    }
    dpo_memory_fail_after(0);
    assert_true(n_failed > 10);
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&model);
}

static void a_context_that_is_too_long_is_refused(void **state)
{
    dpo_model_config config = tiny_config(true);
    dpo_model_limits limits = {.max_tokens = 100, .max_rows = 1, .max_positions = 65};
    dpo_model *model;

    (void)state;
    ASSERT_FAILS(dpo_model_create(test_grid, &config, &limits, &model), DPO_EUSAGE,
                 "65 tokens do not fit into the model's context of 64");
    assert_null(model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_plan_says_what_is_allocated),
    cmocka_unit_test(a_frozen_model_keeps_one_layer),
    cmocka_unit_test(recomputation_keeps_less),
    cmocka_unit_test(a_pass_allocates_nothing),
    cmocka_unit_test(lack_of_memory_leaves_nothing),
    cmocka_unit_test(a_context_that_is_too_long_is_refused),
};

MPI_TEST_MAIN(tests)
