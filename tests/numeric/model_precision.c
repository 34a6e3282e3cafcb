// SPDX-License-Identifier: Apache-2.0
/*
 * Models that keep activations in bf16, and ones that multiply bf16 operands where oneDNN can. Rounding
 * to bf16 moves a number by 2^-8 of it at most; the model has some twenty roundings one behind the
 * other and logits of up to 10: sqrt(20) 10 / 256 = 0.17, and 0.02 of a gradient; a margin of 1.5 and 3.
 */
#include "dpo/math/engine.h"
#include "dpo/model/generate.h"
#include "model_fixture.h"

static const struct {
    dpo_element compute, activations;
} precisions[] = {{DPO_F32, DPO_BF16}, {DPO_BF16, DPO_BF16}, {DPO_BF16, DPO_F32}};

static int n_precisions(void)
{
    return dpo_engine_multiplies_bf16() ? 3 : 1;
}

static dpo_model_limits limits_of(int precision)
{
    return (dpo_model_limits){.max_tokens = MAX_TOKENS,
                              .max_rows = MAX_ROWS,
                              .trainable = true,
                              .compute = precisions[precision].compute,
                              .activations = precisions[precision].activations};
}

static dpo_model *model_of(const dpo_model_limits *limits, uint64_t seed)
{
    dpo_model_config config = tiny_config(true);
    dpo_model *model;

    config.n_layers = 4;
    ASSERT_OK(dpo_model_create(test_grid, &config, limits, &model));
    fill_weights(model, seed);
    return model;
}

static dpo_model *exact_model(void)
{
    const dpo_model_limits limits = {
        .max_tokens = MAX_TOKENS, .max_rows = MAX_ROWS, .trainable = true};

    return model_of(&limits, 1);
}

static void loss_and_gradient_are_near_those_of_f32(void **state)
{
    dpo_model *exact = exact_model();
    float want[MAX_ROWS], logp[MAX_ROWS], coefficient[MAX_ROWS];
    test_batch b;

    (void)state;
    make_forest(&b);
    for (int p = 0; p < n_precisions(); p++) {
        dpo_model_limits limits = limits_of(p);
        dpo_model *rounding = model_of(&limits, 1);
        double largest = 0;

        dpo_model_forward(exact, &b.batch, want);
        dpo_model_forward(rounding, &b.batch, logp);
        for (int64_t r = 0; r < b.batch.n_rows; r++)
            largest = fmax(largest, fabs((double)logp[r] - (double)want[r]));
        assert_true(largest > 1e-5);
        ASSERT_CLOSE(largest, 0, 0.25);
        dpo_model_zero_gradients(exact);
        differentiate_forest(exact, &b, coefficient);
        differentiate_forest(rounding, &b, coefficient);
        ASSERT_CLOSE(gradient_distance(exact, rounding), 0, 0.05);
        dpo_model_destroy(&rounding);
    }
    dpo_model_destroy(&exact);
}

static void the_frozen_model_gives_the_bits_of_the_trainable_one(void **state)
{
    test_batch b;

    (void)state;
    make_forest(&b);
    for (int p = 0; p < n_precisions(); p++) {
        dpo_model_limits limits = limits_of(p);
        dpo_model *trainable = model_of(&limits, 1);
        float expected[MAX_ROWS], logp[MAX_ROWS];

        limits.trainable = false;
        dpo_model *frozen = model_of(&limits, 1);

        dpo_model_forward(trainable, &b.batch, expected);
        dpo_model_forward(frozen, &b.batch, logp);
        assert_memory_equal(logp, expected, (size_t)b.batch.n_rows * sizeof *logp);
        dpo_model_destroy(&frozen);
        dpo_model_destroy(&trainable);
    }
}

/* Two batches in a row, so that the shared buffers have been used. */
static void recomputation_changes_no_bit(void **state)
{
    float coefficient[MAX_ROWS];
    test_batch b;

    (void)state;
    for (int p = 0; p < n_precisions(); p++) {
        dpo_model_limits limits = limits_of(p);
        dpo_model *kept = model_of(&limits, 1);
        size_t bytes = (size_t)dpo_model_parameters(kept)->n_elements * sizeof(float);

        differentiate_forest(kept, &b, coefficient);
        differentiate_forest(kept, &b, coefficient);
        for (int r = DPO_RECOMPUTE_MLP; r <= DPO_RECOMPUTE_LAYER; r++) {
            limits.recompute = (dpo_recompute)r;
            dpo_model *redone = model_of(&limits, 1);

            differentiate_forest(redone, &b, coefficient);
            differentiate_forest(redone, &b, coefficient);
            assert_memory_equal(dpo_model_gradients(redone), dpo_model_gradients(kept), bytes);
            dpo_model_destroy(&redone);
        }
        dpo_model_destroy(&kept);
    }
}

/* Products read rounded weights; they have to follow the weights. */
static void weights_that_were_written_count_in_the_next_pass(void **state)
{
    test_batch b;

    (void)state;
    make_forest(&b);
    for (int p = 0; p < n_precisions(); p++) {
        dpo_model_limits limits = limits_of(p);
        dpo_model *old = model_of(&limits, 1), *fresh = model_of(&limits, 2);
        float expected[MAX_ROWS], logp[MAX_ROWS];

        dpo_model_forward(old, &b.batch, logp);
        fill_weights(old, 2);
        dpo_model_forward(old, &b.batch, logp);
        dpo_model_forward(fresh, &b.batch, expected);
        assert_memory_equal(logp, expected, (size_t)b.batch.n_rows * sizeof *logp);
        dpo_model_destroy(&fresh);
        dpo_model_destroy(&old);
    }
}

/* Which of two tokens that are about as likely wins may differ. */
static void decoding_follows_the_forward_pass(void **state)
{
    enum { N_TEXT = 9, N_NEW = 20 };
    const dpo_sampling greedy = {.top_p = 1, .max_new_tokens = N_NEW};

    (void)state;
    for (int p = 0; p < n_precisions(); p++) {
        dpo_model_limits limits = limits_of(p);
        dpo_model *model = model_of(&limits, 1);
        int32_t text[N_TEXT + N_NEW];
        dpo_generator *generator;

        random_tokens(1, N_TEXT, 50, text);
        ASSERT_OK(dpo_generator_create(model, N_TEXT + N_NEW, &generator));
        assert_int_equal(dpo_generator_run(generator, N_TEXT, text, &greedy, text + N_TEXT), N_NEW);
        for (int i = N_TEXT; i < N_TEXT + N_NEW; i++) {
            float logp[MAX_ROWS], most = -INFINITY;
            test_batch b;

            clear_batch(&b);
            (void)add_segment(&b, -1, i, text);
            for (int32_t v = 0; v < 50; v++)
                add_row(&b, i - 1, v);
            dpo_model_forward(model, &b.batch, logp);
            for (int v = 0; v < 50; v++)
                most = fmaxf(most, logp[v]);
            ASSERT_CLOSE((double)logp[text[i]], (double)most, 0.25);
        }
        dpo_generator_destroy(&generator);
        dpo_model_destroy(&model);
    }
}

static void the_plan_says_what_is_allocated(void **state)
{
    enum { ROUNDING_BYTES = 64 << 10 };
    dpo_model_config config = tiny_config(false);
    dpo_model_memory exact;
    dpo_partition whole;
    float coefficient[MAX_ROWS];
    test_batch b;

    (void)state;
    config.n_vocab = 5000;
    ASSERT_OK(dpo_partition_make(&config, 1, 0, &whole));
    for (int p = -1; p < n_precisions(); p++) {
        dpo_model_limits limits = limits_of(p < 0 ? 0 : p);
        int64_t before = dpo_memory_bytes(), grown;
        dpo_model_memory memory;
        dpo_model *model;

        limits.max_tokens = limits.max_rows = 3000;
        if (p < 0) limits.activations = DPO_F32;
        ASSERT_OK(dpo_model_plan(&config, &limits, &whole, &memory));
        if (p < 0) exact = memory;
        assert_int_equal(memory.rounded, limits.compute == DPO_BF16 ? memory.weights / 2 : 0);
        if (limits.activations == DPO_BF16)
            assert_true(10 * memory.activations < 7 * exact.activations);
        ASSERT_OK(dpo_model_create(test_grid, &config, &limits, &model));
        grown = dpo_memory_bytes() - before;
        assert_in_range(grown, memory.total, memory.total + ROUNDING_BYTES);
        int64_t count = dpo_memory_count();

        differentiate_forest(model, &b, coefficient);
        assert_int_equal(dpo_memory_count(), count);
        dpo_model_destroy(&model);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(loss_and_gradient_are_near_those_of_f32),
    cmocka_unit_test(the_frozen_model_gives_the_bits_of_the_trainable_one),
    cmocka_unit_test(recomputation_changes_no_bit),
    cmocka_unit_test(weights_that_were_written_count_in_the_next_pass),
    cmocka_unit_test(decoding_follows_the_forward_pass),
    cmocka_unit_test(the_plan_says_what_is_allocated),
};
MPI_TEST_MAIN(tests)
