// SPDX-License-Identifier: Apache-2.0
/*
 * A training step on any grid gives the loss, the gradient, its norm and the weights of one rank. The
 * yardstick: every example by itself through a whole model, as every rank here can compute it, and one
 * AdamW update in f64. With 1, 2, 4 and 8 ranks this is every grid up to eight ranks.
 */
#include <unistd.h>

#include "dpo/base/log.h"
#include "dpo/base/random.h"
#include "dpo/optim/clip.h"
#include "dpo/train/step.h"
#include "train_run.h"

enum { N_EXAMPLES = 24 };

static const double lr = 1e-4, clip = 1.0;

/* In the order of the whole flat vector. */
typedef struct {
    double loss, grad_norm;
    int64_t n;
    float *gradient; /* owned, [n] */
    float *weights;  /* owned, [n] after the update */
    const dpo_parameters *parameters;
} yardstick;

/* A folder with the embedded model, its head a matrix of its own. */
static void make_untied(const char *source, const char *folder)
{
    dpo_model_limits limits = {.max_tokens = 1, .max_rows = 1};
    dpo_model_config config;
    dpo_model *tied, *untied;
    char command[512];

    ASSERT_ALL(dpo_model_config_read(test_grid, source, &config) == DPO_OK);
    ASSERT_ALL(dpo_model_create(test_grid, &config, &limits, &tied) == DPO_OK);
    ASSERT_ALL(dpo_model_load(test_grid, tied, source) == DPO_OK);
    config.tied = false;
    ASSERT_ALL(dpo_model_create(test_grid, &config, &limits, &untied) == DPO_OK);
    int64_t n = dpo_model_parameters(tied)->n_elements, n_head = config.n_vocab * config.d_model;
    float *weights = dpo_model_weights(untied);

    memcpy(weights, dpo_model_weights(tied), (size_t)n * sizeof *weights);
    for (int64_t i = 0; i < n_head; i++)
        weights[n + i] =
            weights[i] + 0.02f * (float)dpo_random_normal(2, DPO_STREAM_TEST, 0, (uint64_t)i);
    ASSERT_ALL(dpo_model_export(test_grid, untied, source, folder, DPO_TENSOR_F32) == DPO_OK);
    (void)snprintf(command, sizeof command,
                   "sed -i 's/\\(tie_word.*\\)true/\\1false/' %s/config.json", folder);
    ASSERT_ALL(dpo_grid_rank(test_grid, DPO_WORLD) != 0 || system(command) == 0);
    dpo_model_destroy(&tied);
    dpo_model_destroy(&untied);
}

static void open_session(const dpo_grid *grid, const char *model, const char *out,
                         dpo_run_config *run, dpo_session *session)
{
    dpo_buffer keys = {0};

    ASSERT_OK(dpo_buffer_printf(&keys, "{\"model\": \"%s\"}", model));
    configure("{\"batch\": {\"examples\": 24, \"tokens\": 700}}", dpo_buffer_text(&keys),
              DPO_TEST_DATA "/trl-stories/pairs.jsonl", out, run);
    dpo_buffer_destroy(&keys);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_ALL(dpo_session_open(grid, run, 1u << DPO_SET_TRAIN, session) == DPO_OK);
    ASSERT_ALL(dpo_session_load(session, true) == DPO_OK);
}

/* Moves the policy away from the reference, alike on every grid. */
static dpo_status disturb_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                              int64_t local_begin)
{
    float *weights = (float *)context + local_begin;

    for (int64_t i = 0; i < count; i++)
        weights[i] *= 1.0f + 0.01f * (float)dpo_random_normal(1, DPO_STREAM_TEST, (uint32_t)row,
                                                              (uint64_t)(global_begin + i));
    return DPO_OK;
}

static void disturb(dpo_model *model)
{
    const dpo_parameters *p = dpo_model_parameters(model);

    ASSERT_OK(dpo_parameters_for_each_run(p, (dpo_range){0, p->n_elements}, DPO_HELD, disturb_run,
                                          dpo_model_weights(model)));
}

static void compute_gradient(dpo_session *session, const dpo_objective *objective, yardstick *y)
{
    const dpo_objective_params params = dpo_run_config_objective(session->run);
    const dpo_data_set *data = &session->set[DPO_SET_TRAIN];
    double squares = 0.0;

    dpo_model_zero_gradients(session->model);
    for (int64_t x = 0; x < N_EXAMPLES; x++) {
        dpo_pass_forward(&session->pass, data->store, 1, &x);
        dpo_objective_batch batch =
            dpo_pass_objective_batch(&session->pass, data->reference_logp, N_EXAMPLES);

        y->loss += dpo_objective_run(objective, &params, &batch, session->pass.slope);
        dpo_pass_backward(&session->pass, NULL);
    }
    memcpy(y->gradient, dpo_model_gradients(session->model), (size_t)y->n * sizeof *y->gradient);
    for (int64_t i = 0; i < y->n; i++)
        squares += (double)y->gradient[i] * (double)y->gradient[i];
    y->grad_norm = sqrt(squares);
}

/* The first update of AdamW: both moments are corrected to the gradient and its square. */
static void update_weights(const float *before, yardstick *y)
{
    double scale = dpo_clip_coefficient(y->grad_norm, clip);

    for (int64_t i = 0; i < y->n; i++) {
        double g = scale * (double)y->gradient[i];

        y->weights[i] = (float)((double)before[i] - lr * g / (fabs(g) + 1e-8));
    }
}

/* The session stays open: the table of parameters is its model's. */
static void make_yardstick(dpo_session *session, const dpo_objective *objective, yardstick *y)
{
    disturb(session->model);
    y->parameters = dpo_model_parameters(session->model);
    y->n = y->parameters->n_elements;
    ASSERT_OK(DPO_NEW(y->gradient, y->n));
    ASSERT_OK(DPO_NEW(y->weights, y->n));
    compute_gradient(session, objective, y);
    update_weights(dpo_model_weights(session->model), y);
}

/* A vector of this rank against one of the yardstick: squares of the difference and of the yardstick. */
typedef struct {
    const dpo_parameters *parameters;
    const float *got, *want;
    double difference, squares;
} comparison;

static dpo_status compare_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                              int64_t local_begin)
{
    comparison *c = context;
    const float *want = c->want + c->parameters->row[row].offset + global_begin;
    const float *got = c->got + local_begin;

    for (int64_t i = 0; i < count; i++) {
        double d = (double)got[i] - (double)want[i];

        c->difference += d * d;
        c->squares += (double)want[i] * (double)want[i];
    }
    return DPO_OK;
}

static double relative_difference(dpo_model *model, const yardstick *y, const float *got,
                                  const float *want)
{
    const dpo_parameters *p = dpo_model_parameters(model);
    comparison c = {y->parameters, got, want, 0.0, 0.0};

    ASSERT_OK(
        dpo_parameters_for_each_run(p, (dpo_range){0, p->n_elements}, DPO_HELD, compare_run, &c));
    return sqrt(c.difference / c.squares);
}

static void check_step(dpo_session *session, const dpo_objective *objective, const yardstick *y)
{
    int n_methods;
    const dpo_optimizer_method *adamw = &dpo_optimizer_table(&n_methods)[0];
    dpo_step step = {.session = session,
                     .objective = objective,
                     .params = dpo_run_config_objective(session->run),
                     .clip = clip};
    dpo_step_numbers numbers;

    disturb(session->model);
    ASSERT_ALL(dpo_session_plan(session, DPO_SET_TRAIN, &step.plan) == DPO_OK);
    ASSERT_ALL(dpo_step_open(&step) == DPO_OK);
    ASSERT_ALL(dpo_optimizer_create(session->grid, adamw, &adamw->initial,
                                    dpo_model_parameters(session->model),
                                    dpo_buckets_shard(step.buckets), &step.optimizer) == DPO_OK);
    dpo_step_run(&step, 0, lr, &numbers);
    dpo_buckets_gather(step.buckets, dpo_model_gradients(session->model));
    ASSERT_ALL(fabs(numbers.loss - y->loss) < 1e-6);
    ASSERT_ALL(fabs(numbers.grad_norm / y->grad_norm - 1.0) < 1e-5);
    ASSERT_ALL(relative_difference(session->model, y, dpo_model_gradients(session->model),
                                   y->gradient) < 1e-5);
    ASSERT_ALL(relative_difference(session->model, y, dpo_model_weights(session->model),
                                   y->weights) < 1e-5);
    dpo_batch_plan_destroy(&step.plan);
    dpo_optimizer_destroy(&step.optimizer);
    dpo_step_close(&step);
}

static void check_model(const char *model, const char *scratch)
{
    const dpo_objective *objective;
    yardstick y = {0};
    dpo_run_config run;
    dpo_session whole;
    char out[128];

    ASSERT_OK(dpo_objective_find("sigmoid", &objective));
    (void)snprintf(out, sizeof out, "%s/whole", scratch);
    open_session(test_grid, model, out, &run, &whole);
    make_yardstick(&whole, objective, &y);
    for (int width = 1; width <= dpo_grid_size(test_grid, DPO_WORLD); width *= 2) {
        dpo_run_config run_on_grid;
        dpo_session session;
        dpo_grid *grid;

        (void)snprintf(out, sizeof out, "%s/tensor-%d", scratch, width);
        ASSERT_ALL(dpo_grid_create(width, &grid) == DPO_OK);
        open_session(grid, model, out, &run_on_grid, &session);
        check_step(&session, objective, &y);
        dpo_session_close(&session);
        dpo_run_config_destroy(&run_on_grid);
        dpo_grid_destroy(&grid);
    }
    dpo_session_close(&whole);
    dpo_run_config_destroy(&run);
    dpo_free(y.gradient);
    dpo_free(y.weights);
}

static void every_grid_makes_the_step_of_one_rank(void **state)
{
    char scratch[64], model[512];

    (void)state;
    make_scratch(scratch);
    (void)snprintf(model, sizeof model, "%s/configs/stories260K", source_folder());
    check_model(model, scratch);
    remove_scratch(scratch);
}

static void with_a_head_of_its_own_too(void **state)
{
    char scratch[64], source[512], model[128];

    (void)state;
    make_scratch(scratch);
    (void)snprintf(source, sizeof source, "%s/configs/stories260K", source_folder());
    (void)snprintf(model, sizeof model, "%s/untied", scratch);
    make_untied(source, model);
    check_model(model, scratch);
    remove_scratch(scratch);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_grid_makes_the_step_of_one_rank),
    cmocka_unit_test(with_a_head_of_its_own_too),
};

MPI_TEST_MAIN(tests)
