// SPDX-License-Identifier: Apache-2.0
/*
 * One training step, the same work on every machine: a rank of one thread, our kernels and oneDNN (by
 * DNNL_MAX_CPU_ISA) held to AVX2. tools/count-instructions runs it and counts what counted_step() does.
 * The step before it makes oneDNN generate its code and is not counted.
 */
#include "../mpi/train_run.h"
#include "dpo/base/log.h"
#include "dpo/math/engine.h"
#include "dpo/train/step.h"

void counted_step(dpo_step *step, dpo_step_numbers *numbers);

void counted_step(dpo_step *step, dpo_step_numbers *numbers)
{
    dpo_step_run(step, 1, 1e-4, numbers);
}

static void open_session(const char *out, dpo_run_config *run, dpo_session *session)
{
    dpo_buffer keys = {0};

    ASSERT_OK(dpo_buffer_printf(&keys,
                                "{\"data\": {\"train\": [{\"path\": \"%s\", \"limit\": 2}]}}",
                                DPO_TEST_DATA "/trl-stories/pairs.jsonl"));
    configure("{\"batch\": {\"examples\": 2}, \"data\": {\"max_length\": 96}}",
              dpo_buffer_text(&keys), "", out, run);
    dpo_buffer_destroy(&keys);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_OK(dpo_session_open(test_grid, run, 1u << DPO_SET_TRAIN, session));
    ASSERT_OK(dpo_session_load(session, true));
}

/* The pointer is volatile so that the call stays one. */
static void run_steps(dpo_session *session)
{
    void (*volatile run)(dpo_step *, dpo_step_numbers *) = counted_step;
    int n_methods;
    const dpo_optimizer_method *adamw = &dpo_optimizer_table(&n_methods)[0];
    dpo_step step = {
        .session = session, .params = dpo_run_config_objective(session->run), .clip = 1.0};
    dpo_step_numbers numbers;

    ASSERT_OK(dpo_objective_find("sigmoid", &step.objective));
    ASSERT_OK(dpo_session_plan(session, DPO_SET_TRAIN, &step.plan));
    ASSERT_OK(dpo_step_open(&step));
    ASSERT_OK(dpo_optimizer_create(test_grid, adamw, &adamw->initial,
                                   dpo_model_parameters(session->model),
                                   dpo_buckets_shard(step.buckets), &step.optimizer));
    dpo_step_run(&step, 0, 1e-4, &numbers);
    run(&step, &numbers);
    assert_true(numbers.is_finite);
    dpo_optimizer_destroy(&step.optimizer);
    dpo_batch_plan_destroy(&step.plan);
    dpo_step_close(&step);
}

static void two_steps_run(void **state)
{
    char scratch[64];
    dpo_run_config run;
    dpo_session session;

    (void)state;
    ASSERT_OK(dpo_engine_use_kernels("x86-64-v3"));
    dpo_engine_set_threads(1);
    make_scratch(scratch);
    open_session(scratch, &run, &session);
    run_steps(&session);
    dpo_session_close(&session);
    dpo_run_config_destroy(&run);
    remove_scratch(scratch);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(two_steps_run),
};

MPI_TEST_MAIN(tests)
