// SPDX-License-Identifier: Apache-2.0
/*
 * All memory is taken before the first step: two steps on different batches allocate nothing, with every
 * optimizer, on every grid, reproducible or not, activations kept or computed again.
 */
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/train/step.h"
#include "train_run.h"

enum { N_STEPS = 2 }; /* of 8 of the 24 examples each */

static const double lr = 1e-4;

static void open_session(const dpo_grid *grid, const char *keys, const char *out,
                         dpo_run_config *run, dpo_session *session)
{
    configure("{\"batch\": {\"examples\": 8, \"tokens\": 700}}", keys,
              DPO_TEST_DATA "/trl-stories/pairs.jsonl", out, run);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_ALL(dpo_session_open(grid, run, 1u << DPO_SET_TRAIN, session) == DPO_OK);
    ASSERT_ALL(dpo_session_load(session, true) == DPO_OK);
}

static void check_method(dpo_session *session, const dpo_optimizer_method *method)
{
    dpo_step step = {
        .session = session, .params = dpo_run_config_objective(session->run), .clip = 1.0};
    dpo_ema *average = NULL;
    dpo_step_numbers numbers;

    ASSERT_OK(dpo_objective_find("sigmoid", &step.objective));
    ASSERT_ALL(dpo_session_plan(session, DPO_SET_TRAIN, &step.plan) == DPO_OK);
    ASSERT_ALL(dpo_step_open(&step) == DPO_OK);
    ASSERT_ALL(dpo_optimizer_create(session->grid, method, &method->initial,
                                    dpo_model_parameters(session->model),
                                    dpo_buckets_shard(step.buckets), &step.optimizer) == DPO_OK);
    ASSERT_ALL(dpo_ema_create(0.9, dpo_buckets_shard(step.buckets),
                              dpo_model_weights(session->model), &average) == DPO_OK);
    step.ema = average;
    int64_t n_allocations = dpo_memory_count();

    for (int number = 0; number < N_STEPS; number++) {
        dpo_step_run(&step, number, lr, &numbers);
        ASSERT_ALL(numbers.is_finite);
    }
    ASSERT_ALL(dpo_memory_count() == n_allocations);
    dpo_ema_destroy(&average);
    dpo_optimizer_destroy(&step.optimizer);
    dpo_batch_plan_destroy(&step.plan);
    dpo_step_close(&step);
}

/* The first n_methods of the table of optimizers. The files of the first session serve the others. */
static void check_grid(const dpo_grid *grid, const char *keys, int n_methods, const char *out)
{
    dpo_run_config run;
    dpo_session session;
    int n_all;
    const dpo_optimizer_method *methods = dpo_optimizer_table(&n_all);

    open_session(grid, keys, out, &run, &session);
    for (int i = 0; i < n_methods; i++)
        check_method(&session, &methods[i]);
    dpo_session_close(&session);
    dpo_run_config_destroy(&run);
}

static void check_every_grid(const char *keys, int n_methods)
{
    char scratch[64];

    make_scratch(scratch);
    for (int width = 1; width <= dpo_grid_size(test_grid, DPO_WORLD); width *= 2) {
        dpo_grid *grid;

        ASSERT_ALL(dpo_grid_create(width, &grid) == DPO_OK);
        check_grid(grid, keys, n_methods, scratch);
        dpo_grid_destroy(&grid);
    }
    remove_scratch(scratch);
}

static void a_step_allocates_nothing(void **state)
{
    int n_methods;

    (void)state;
    (void)dpo_optimizer_table(&n_methods);
    check_every_grid("{}", n_methods);
}

static void nor_does_one_that_computes_activations_again(void **state)
{
    (void)state;
    check_every_grid("{\"memory\": {\"recompute\": \"layer\"}}", 1);
}

static void nor_does_a_reproducible_one(void **state)
{
    (void)state;
    check_every_grid("{\"parallel\": {\"reproducible\": true}}", 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_step_allocates_nothing),
    cmocka_unit_test(nor_does_one_that_computes_activations_again),
    cmocka_unit_test(nor_does_a_reproducible_one),
};

MPI_TEST_MAIN(tests)
