// SPDX-License-Identifier: Apache-2.0
/*
 * The loss and gradient of a global batch do not depend on the ranks, on the split into micro-batches, or on
 * whether prompts are shared. The yardstick: every example by itself, on one rank. What differs is the order of f32
 * sums; a gradient is compared by the norm of the difference.
 */
#include <unistd.h>

#include "dpo/base/log.h"
#include "dpo/base/random.h"
#include "dpo/train/step.h"
#include "train_run.h"

enum { N_EXAMPLES = 24 };

#define PAIRS DPO_TEST_DATA "/trl-stories/pairs.jsonl"
/* Four prompts with 6, 3, 1 and 2 pairs of their answers, one between the other. */
#define ANSWERS DPO_TEST_DATA "/preferences/answers.jsonl"
/* One system message, conversations that begin alike, answers that do, and the same texts in several pairs. */
#define BEGINNINGS DPO_TEST_DATA "/preferences/beginnings.jsonl"

typedef struct {
    double loss;
    int64_t n;
    float *gradient; /* owned, f32 [n] */
} result;

static void open_session(const char *data, const char *keys, const char *out, dpo_run_config *run,
                         dpo_session *session)
{
    configure("{\"batch\": {\"examples\": 24}}", keys, data, out, run);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_OK(dpo_session_open(test_grid, run, 1u << DPO_SET_TRAIN, session));
    ASSERT_OK(dpo_session_load(session, true));
}

/* Moves the policy away from the reference, so that slopes differ between pairs. */
static void disturb(dpo_model *model)
{
    float *weights = dpo_model_weights(model);
    int64_t n = dpo_model_parameters(model)->n_elements;

    for (int64_t i = 0; i < n; i++)
        weights[i] *= 1.0f + 0.01f * (float)dpo_random_normal(1, DPO_STREAM_TEST, 0, (uint64_t)i);
}

static void keep_gradient(dpo_model *model, result *r)
{
    r->n = dpo_model_parameters(model)->n_elements;
    ASSERT_OK(DPO_NEW(r->gradient, r->n));
    memcpy(r->gradient, dpo_model_gradients(model), (size_t)r->n * sizeof *r->gradient);
}

static void one_by_one(dpo_session *session, const dpo_objective *objective, result *r)
{
    const dpo_objective_params params = dpo_run_config_objective(session->run);
    const dpo_data_set *data = &session->set[DPO_SET_TRAIN];

    r->loss = 0.0;
    dpo_model_zero_gradients(session->model);
    for (int64_t x = 0; x < N_EXAMPLES; x++) {
        dpo_pass_forward(&session->pass, data->store, 1, &x);
        dpo_objective_batch batch =
            dpo_pass_objective_batch(&session->pass, data->reference_logp, N_EXAMPLES);

        r->loss += dpo_objective_run(objective, &params, &batch, session->pass.slope);
        dpo_pass_backward(&session->pass, NULL);
    }
    keep_gradient(session->model, r);
}

/* One step of the program itself, at learning rate 0. */
static void as_a_step(dpo_session *session, const dpo_objective *objective, result *r)
{
    int n_methods;
    const dpo_optimizer_method *adamw = &dpo_optimizer_table(&n_methods)[0];
    dpo_step step = {.session = session,
                     .objective = objective,
                     .params = dpo_run_config_objective(session->run)};
    dpo_step_numbers numbers;

    ASSERT_OK(dpo_session_plan(session, DPO_SET_TRAIN, &step.plan));
    ASSERT_OK(dpo_step_open(&step));
    ASSERT_OK(dpo_optimizer_create(test_grid, adamw, &adamw->initial,
                                   dpo_model_parameters(session->model),
                                   dpo_buckets_shard(step.buckets), &step.optimizer));
    dpo_step_run(&step, 0, 0.0, &numbers);
    dpo_buckets_gather(step.buckets, dpo_model_gradients(session->model));
    r->loss = numbers.loss;
    keep_gradient(session->model, r);
    dpo_batch_plan_destroy(&step.plan);
    dpo_optimizer_destroy(&step.optimizer);
    dpo_step_close(&step);
}

/*
 * Log-probs of a response are some hundred nats, known to 2^-24 of that; beta = 0.1 and the slope of the loss, about
 * 1/2, leave 1e-6 of a loss of 0.7, three times of which are allowed.
 */
static void compare(const result *got, const result *want)
{
    double squares = 0.0;
    double difference = 0.0;

    for (int64_t i = 0; i < want->n; i++) {
        double d = (double)got->gradient[i] - (double)want->gradient[i];

        squares += (double)want->gradient[i] * (double)want->gradient[i];
        difference += d * d;
    }
    ASSERT_CLOSE(got->loss / want->loss, 1.0, 3e-6);
    assert_true(squares > 0.0);
    ASSERT_CLOSE(sqrt(difference / squares), 0.0, 1e-5);
}

static void check_case(const char *keys)
{
    const dpo_objective *objective;
    dpo_run_config run;
    dpo_session session;
    result want = {0};
    result got = {0};
    char out[64];

    make_scratch(out);
    ASSERT_OK(dpo_objective_find("sigmoid", &objective));
    open_session(PAIRS, keys, out, &run, &session);
    disturb(session.model);
    one_by_one(&session, objective, &want);
    as_a_step(&session, objective, &got);
    compare(&got, &want);
    dpo_free(want.gradient);
    dpo_free(got.gradient);
    dpo_session_close(&session);
    dpo_run_config_destroy(&run);
    remove_scratch(out);
}

static void one_large_micro_batch(void **state)
{
    (void)state;
    check_case("{\"batch\": {\"tokens\": 8192}}");
}

static void many_small_micro_batches(void **state)
{
    (void)state;
    check_case("{\"batch\": {\"tokens\": 400}}");
}

static void an_example_in_each_micro_batch(void **state)
{
    (void)state;
    check_case("{\"batch\": {\"tokens\": 1}}");
}

static void prompts_laid_out_for_each_response(void **state)
{
    (void)state;
    check_case("{\"batch\": {\"tokens\": 1000, \"share_prompts\": false}}");
}

static void a_reproducible_run_in_eight_shards(void **state)
{
    (void)state;
    check_case("{\"batch\": {\"tokens\": 1000}, \"parallel\": {\"reproducible\": true}}");
}

static void small_buckets_by_messages(void **state)
{
    (void)state;
    check_case("{\"parallel\": {\"bucket_bytes\": 65536, \"transport\": \"messages\"}}");
}

/* One step with all examples of a file. */
static void step_of(const char *data, const char *keys, result *r)
{
    const dpo_objective *objective;
    dpo_run_config run;
    dpo_session session;
    char out[64];

    make_scratch(out);
    ASSERT_OK(dpo_objective_find("sigmoid", &objective));
    open_session(data, keys, out, &run, &session);
    disturb(session.model);
    as_a_step(&session, objective, r);
    dpo_session_close(&session);
    dpo_run_config_destroy(&run);
    remove_scratch(out);
}

static void compare_steps(const char *data, const char *keys, const char *other_keys)
{
    result r[2] = {{0}};

    step_of(data, keys, &r[0]);
    step_of(data, other_keys, &r[1]);
    compare(&r[0], &r[1]);
    dpo_free(r[0].gradient);
    dpo_free(r[1].gradient);
}

/* Shared and separate prompts are different layouts of the same numbers. */
static void shared_and_separate_prompts_agree(void **state)
{
    (void)state;
    compare_steps(PAIRS, "{}", "{\"batch\": {\"share_prompts\": false}}");
}

static void texts_that_begin_alike_agree_too(void **state)
{
    (void)state;
    compare_steps(BEGINNINGS, "{}", "{\"batch\": {\"share_prompts\": false}}");
    compare_steps(BEGINNINGS, "{\"batch\": {\"tokens\": 200}}", "{\"batch\": {\"tokens\": 1}}");
    compare_steps(BEGINNINGS, "{\"data\": {\"max_length\": 64}}",
                  "{\"data\": {\"max_length\": 64}, \"batch\": {\"share_prompts\": false}}");
}

#define GROUP "\"data\": {\"group\": \"prompt\"}"

static void grouped_examples_have_the_loss_and_gradient_of_their_pairs(void **state)
{
    (void)state;
    compare_steps(ANSWERS, "{" GROUP "}", "{}");
    compare_steps(ANSWERS, "{" GROUP ", \"batch\": {\"tokens\": 1}}", "{}");
    compare_steps(ANSWERS, "{" GROUP ", \"batch\": {\"share_prompts\": false}}",
                  "{\"batch\": {\"tokens\": 1}}");
}

static void truncated_groups_have_them_too(void **state)
{
    (void)state;
    compare_steps(ANSWERS, "{\"data\": {\"max_length\": 64, \"group\": \"prompt\"}}",
                  "{\"data\": {\"max_length\": 64}}");
    compare_steps(ANSWERS,
                  "{\"data\": {\"max_length\": 64, \"truncation\": \"keep_end\", "
                  "\"group\": \"prompt\"}}",
                  "{\"data\": {\"max_length\": 64, \"truncation\": \"keep_end\"}}");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_large_micro_batch),
    cmocka_unit_test(many_small_micro_batches),
    cmocka_unit_test(an_example_in_each_micro_batch),
    cmocka_unit_test(prompts_laid_out_for_each_response),
    cmocka_unit_test(a_reproducible_run_in_eight_shards),
    cmocka_unit_test(small_buckets_by_messages),
    cmocka_unit_test(shared_and_separate_prompts_agree),
    cmocka_unit_test(texts_that_begin_alike_agree_too),
    cmocka_unit_test(grouped_examples_have_the_loss_and_gradient_of_their_pairs),
    cmocka_unit_test(truncated_groups_have_them_too),
};

MPI_TEST_MAIN(tests)
