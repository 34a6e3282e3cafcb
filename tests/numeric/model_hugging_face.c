// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"
#include "dpo/model/generate.h"
#include "mpi_test.h"

/*
 * What transformers computes in f64 with the same weights (tools/golden-model). Log-probabilities
 * are sums of a few dozen f32 terms of size 10: 1e-5 is eight units in the last place. Norms of
 * gradients are relative.
 */
static const double tolerance = 1e-5;

enum { MAX_TOKENS = 128, MAX_RESPONSES = 3, MAX_GREEDY = 300 };

/* A golden file and the batch it describes: a prompt and its responses. */
typedef struct {
    dpo_json *root;
    dpo_batch batch;
    int32_t token[MAX_TOKENS];
    int64_t begin[MAX_RESPONSES + 2], parent[MAX_RESPONSES + 1];
    int64_t row[MAX_TOKENS];
    int32_t target[MAX_TOKENS];
    float coefficient[MAX_TOKENS];
} golden;

static int64_t append(golden *g, const dpo_json *list, int64_t parent)
{
    int64_t segment = g->batch.segments.n_segments++;

    for (const dpo_json *t = dpo_json_first(list); t != NULL; t = dpo_json_next(t))
        g->token[g->batch.n_tokens++] = (int32_t)dpo_json_number(t);
    g->begin[segment + 1] = g->batch.n_tokens;
    g->parent[segment] = parent;
    return segment;
}

static void open_golden(const char *name, golden *g)
{
    const dpo_json *response, *coefficient;
    char path[256];

    memset(g, 0, sizeof *g);
    (void)snprintf(path, sizeof path, "%s/%s.json", DPO_TEST_DATA, name);
    ASSERT_OK(dpo_json_read_file(path, DPO_JSON_STRICT, &g->root));
    g->batch = (dpo_batch){.token = g->token, .row = g->row, .target = g->target};
    g->batch.segments = (dpo_segments){.begin = g->begin, .parent = g->parent};
    (void)append(g, dpo_json_find(g->root, "prompt"), -1);
    response = dpo_json_first(dpo_json_find(g->root, "responses"));
    coefficient = dpo_json_first(dpo_json_find(g->root, "coefficients"));
    for (; response != NULL; response = dpo_json_next(response)) {
        int64_t segment = append(g, response, 0);

        for (int64_t t = g->begin[segment]; t < g->begin[segment + 1]; t++) {
            g->row[g->batch.n_rows] = t == g->begin[segment] ? g->begin[1] - 1 : t - 1;
            g->coefficient[g->batch.n_rows] = (float)dpo_json_number(coefficient);
            g->target[g->batch.n_rows++] = g->token[t];
        }
        coefficient = dpo_json_next(coefficient);
    }
}

static dpo_model *load(const char *folder, dpo_model_config *config)
{
    dpo_model_limits limits = {.max_tokens = MAX_TOKENS, .max_rows = MAX_TOKENS, .trainable = true};
    dpo_model *model;

    ASSERT_OK(dpo_model_config_read(test_grid, folder, config));
    ASSERT_OK(dpo_model_create(test_grid, config, &limits, &model));
    ASSERT_OK(dpo_model_load(test_grid, model, folder));
    return model;
}

static void check_logps(const golden *g, const float *logp)
{
    const dpo_json *response = dpo_json_first(dpo_json_find(g->root, "logps"));

    for (int64_t r = 0; response != NULL; response = dpo_json_next(response))
        for (const dpo_json *x = dpo_json_first(response); x != NULL; x = dpo_json_next(x), r++)
            ASSERT_CLOSE((double)logp[r], dpo_json_number(x), tolerance);
}

static void check_gradient(const golden *g, dpo_model *model)
{
    const dpo_parameters *parameters = dpo_model_parameters(model);
    const dpo_json *norms = dpo_json_find(g->root, "gradient_norms");

    assert_int_equal(dpo_json_count(norms), parameters->n_rows);
    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *row = &parameters->row[i];
        const float *gradient = dpo_model_gradients(model) + row->offset;
        double expected = dpo_json_number(dpo_json_find(norms, row->name)), sum = 0;

        for (int64_t k = 0; k < row->count; k++)
            sum += (double)gradient[k] * (double)gradient[k];
        ASSERT_CLOSE(sqrt(sum) / expected, 1, tolerance);
    }
}

static void check_greedy(const golden *g, dpo_model *model, int64_t n_prompt)
{
    const dpo_json *greedy = dpo_json_find(g->root, "greedy");
    dpo_sampling sampling = {.top_p = 1, .max_new_tokens = dpo_json_count(greedy)};
    int32_t token[MAX_GREEDY];
    dpo_generator *generator;
    int i = 0;

    assert_in_range(sampling.max_new_tokens, 1, MAX_GREEDY);
    ASSERT_OK(dpo_generator_create(model, dpo_model_config_of(model)->max_positions, &generator));
    assert_int_equal(dpo_generator_run(generator, n_prompt, g->token, &sampling, token),
                     sampling.max_new_tokens);
    for (const dpo_json *t = dpo_json_first(greedy); t != NULL; t = dpo_json_next(t))
        assert_int_equal(token[i++], (int32_t)dpo_json_number(t));
    dpo_generator_destroy(&generator);
}

static void check_folder(const char *folder, const char *name, int64_t n_greedy_prompt)
{
    dpo_model_config config;
    dpo_model *model = load(folder, &config);
    float logp[MAX_TOKENS];
    golden g;

    open_golden(name, &g);
    dpo_model_forward(model, &g.batch, logp);
    check_logps(&g, logp);
    dpo_model_backward(model, &g.batch, g.coefficient, NULL);
    check_gradient(&g, model);
    check_greedy(&g, model, n_greedy_prompt == 0 ? g.begin[1] : n_greedy_prompt);
    dpo_json_destroy(&g.root);
    dpo_model_destroy(&model);
}

static void a_tied_model_computes_what_transformers_computes(void **state)
{
    (void)state;
    check_folder(DPO_TEST_DATA "/model_tied", "model_tied", 0);
}

static void an_untied_bf16_model_with_scaled_positions_too(void **state)
{
    (void)state;
    check_folder(DPO_TEST_DATA "/model_untied", "model_untied", 0);
}

static void a_trained_model_too(void **state)
{
    (void)state;
    check_folder(DPO_TEST_DATA "/../../configs/stories260K", "model_stories260K", 1);
}

static void stop_tokens_are_those_of_the_generation_config(void **state)
{
    dpo_model_config config;

    (void)state;
    ASSERT_OK(dpo_model_config_read(test_grid, DPO_TEST_DATA "/model_untied", &config));
    assert_int_equal(config.n_stops, 2);
    assert_int_equal(config.stop[1], 7);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_tied_model_computes_what_transformers_computes),
    cmocka_unit_test(an_untied_bf16_model_with_scaled_positions_too),
    cmocka_unit_test(a_trained_model_too),
    cmocka_unit_test(stop_tokens_are_those_of_the_generation_config),
};

MPI_TEST_MAIN(tests)
