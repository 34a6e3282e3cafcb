// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/generate.h"
#include "model_fixture.h"

enum { N_VOCAB = 50, N_PROMPT = 9, MAX_LENGTH = 40, N_NEW = 20 };

static const dpo_sampling greedy = {.top_p = 1, .max_new_tokens = N_NEW};

/* Log-probabilities of all tokens behind a text, by the forward pass. */
static void next_logps(dpo_model *model, int64_t n, const int32_t *token, float logp[N_VOCAB])
{
    test_batch b;

    clear_batch(&b);
    (void)add_segment(&b, -1, n, token);
    for (int32_t v = 0; v < N_VOCAB; v++)
        add_row(&b, n - 1, v);
    dpo_model_forward(model, &b.batch, logp);
}

static dpo_generator *generator_of(dpo_model *model)
{
    dpo_generator *generator;

    ASSERT_OK(dpo_generator_create(model, MAX_LENGTH, &generator));
    return generator;
}

static int32_t largest(const float *logp)
{
    int32_t best = 0;

    for (int32_t v = 1; v < N_VOCAB; v++)
        if (logp[v] > logp[best]) best = v;
    return best;
}

static void greedy_decoding_follows_the_forward_pass(void **state)
{
    dpo_model *model = tiny_model(true, false, 0);
    dpo_generator *generator = generator_of(model);
    int32_t text[N_PROMPT + N_NEW], token[N_NEW];

    (void)state;
    random_tokens(1, N_PROMPT, N_VOCAB, text);
    assert_int_equal(dpo_generator_run(generator, N_PROMPT, text, &greedy, token), N_NEW);
    for (int i = 0; i < N_NEW; i++) {
        float logp[N_VOCAB];

        next_logps(model, N_PROMPT + i, text, logp);
        text[N_PROMPT + i] = largest(logp);
        assert_int_equal(token[i], text[N_PROMPT + i]);
    }
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&model);
}

static void a_prompt_longer_than_a_batch_is_read_all_the_same(void **state)
{
    dpo_model_config config = tiny_config(false);
    dpo_model *model = tiny_model(false, false, 0), *narrow;
    dpo_model_limits limits = {.max_tokens = 4, .max_rows = 1};
    dpo_generator *generator = generator_of(model), *by_token;
    int32_t prompt[N_PROMPT], expected[N_NEW], token[N_NEW];

    (void)state;
    ASSERT_OK(dpo_model_create(test_grid, &config, &limits, &narrow));
    fill_weights(narrow, 1);
    by_token = generator_of(narrow);
    random_tokens(2, N_PROMPT, N_VOCAB, prompt);
    assert_int_equal(dpo_generator_run(generator, N_PROMPT, prompt, &greedy, expected), N_NEW);
    assert_int_equal(dpo_generator_run(by_token, N_PROMPT, prompt, &greedy, token), N_NEW);
    assert_memory_equal(token, expected, sizeof token);
    dpo_generator_destroy(&by_token);
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&narrow);
    dpo_model_destroy(&model);
}

static void a_stop_token_or_the_room_ends_the_text(void **state)
{
    dpo_model *model = tiny_model(true, false, 0);
    dpo_generator *generator = generator_of(model);
    int32_t prompt[MAX_LENGTH], free_text[N_NEW], token[N_NEW];
    dpo_sampling stopped = greedy, none = greedy;

    (void)state;
    random_tokens(1, MAX_LENGTH, N_VOCAB, prompt);
    (void)dpo_generator_run(generator, N_PROMPT, prompt, &greedy, free_text);
    stopped.n_stops = 1;
    stopped.stop = &free_text[3];
    int64_t n = dpo_generator_run(generator, N_PROMPT, prompt, &stopped, token);

    assert_in_range(n, 1, 4);
    assert_int_equal(token[n - 1], free_text[3]);
    assert_int_equal(dpo_generator_run(generator, MAX_LENGTH - 5, prompt, &greedy, token), 5);
    none.max_new_tokens = 0;
    assert_int_equal(dpo_generator_run(generator, N_PROMPT, prompt, &none, token), 0);
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&model);
}

/* How often each token came out of n draws. */
static void count_draws(dpo_generator *generator, const int32_t *prompt, dpo_sampling sampling,
                        int n, int count[N_VOCAB])
{
    memset(count, 0, N_VOCAB * sizeof *count);
    sampling.max_new_tokens = 1;
    for (int i = 0; i < n; i++) {
        int32_t token;

        sampling.sequence = (uint32_t)i;
        assert_int_equal(dpo_generator_run(generator, N_PROMPT, prompt, &sampling, &token), 1);
        count[token]++;
    }
}

/* Five standard deviations of a binomial count, and one for small expectations. */
static void check_counts(const int *count, const double *probability, int n)
{
    for (int v = 0; v < N_VOCAB; v++) {
        double expected = n * probability[v];

        ASSERT_CLOSE(count[v], expected, 5 * sqrt(expected * (1 - probability[v])) + 1);
    }
}

/* Softmax of logp / temperature over the n_kept most likely tokens. */
static void probabilities(const float *logp, double temperature, int n_kept, double *probability)
{
    double total = 0;

    for (int v = 0; v < N_VOCAB; v++) {
        int above = 0;

        for (int w = 0; w < N_VOCAB; w++)
            above += logp[w] > logp[v];
        probability[v] = above < n_kept ? exp((double)logp[v] / temperature) : 0;
        total += probability[v];
    }
    for (int v = 0; v < N_VOCAB; v++)
        probability[v] /= total;
}

/* The fewest most likely tokens that hold at least p. */
static int n_nucleus(const double *probability, double p)
{
    for (int n = 1; n < N_VOCAB; n++) {
        double held = 0;

        for (int v = 0; v < N_VOCAB; v++) {
            int above = 0;

            for (int w = 0; w < N_VOCAB; w++)
                above += probability[w] > probability[v];
            if (above < n) held += probability[v];
        }
        if (held >= p) return n;
    }
    return N_VOCAB;
}

static void sampled_tokens_come_as_often_as_they_are_likely(void **state)
{
    enum { N_DRAWS = 2000 };
    dpo_model *model = tiny_model(true, false, 0);
    dpo_generator *generator = generator_of(model);
    dpo_sampling sampling = {.temperature = 8, .top_p = 1, .seed = 3};
    double all[N_VOCAB], cut[N_VOCAB];
    int32_t prompt[N_PROMPT];
    float logp[N_VOCAB];
    int count[N_VOCAB];

    (void)state;
    random_tokens(1, N_PROMPT, N_VOCAB, prompt);
    next_logps(model, N_PROMPT, prompt, logp);
    probabilities(logp, sampling.temperature, N_VOCAB, all);
    count_draws(generator, prompt, sampling, N_DRAWS, count);
    check_counts(count, all, N_DRAWS);

    sampling.top_k = 5;
    probabilities(logp, sampling.temperature, 5, cut);
    count_draws(generator, prompt, sampling, N_DRAWS, count);
    check_counts(count, cut, N_DRAWS);

    sampling.top_k = 0;
    sampling.top_p = 0.6;
    assert_in_range(n_nucleus(all, 0.6), 2, N_VOCAB - 1);
    probabilities(logp, sampling.temperature, n_nucleus(all, 0.6), cut);
    count_draws(generator, prompt, sampling, N_DRAWS, count);
    check_counts(count, cut, N_DRAWS);
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&model);
}

static void a_seed_fixes_the_text(void **state)
{
    dpo_model *model = tiny_model(true, false, 0);
    dpo_generator *generator = generator_of(model);
    dpo_sampling sampling = {.temperature = 2, .top_p = 0.95, .seed = 3, .max_new_tokens = N_NEW};
    int32_t prompt[N_PROMPT], first[N_NEW], again[N_NEW], other[N_NEW];

    (void)state;
    random_tokens(1, N_PROMPT, N_VOCAB, prompt);
    (void)dpo_generator_run(generator, N_PROMPT, prompt, &sampling, first);
    (void)dpo_generator_run(generator, N_PROMPT, prompt, &sampling, again);
    sampling.seed = 4;
    (void)dpo_generator_run(generator, N_PROMPT, prompt, &sampling, other);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    dpo_generator_destroy(&generator);
    dpo_model_destroy(&model);
}

static void more_than_the_context_is_refused(void **state)
{
    dpo_model *model = tiny_model(true, false, 0);
    dpo_generator *generator;

    (void)state;
    ASSERT_FAILS(dpo_generator_create(model, 65, &generator), DPO_EUSAGE, "64 positions");
    assert_null(generator);
    dpo_model_destroy(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(greedy_decoding_follows_the_forward_pass),
    cmocka_unit_test(a_prompt_longer_than_a_batch_is_read_all_the_same),
    cmocka_unit_test(a_stop_token_or_the_room_ends_the_text),
    cmocka_unit_test(sampled_tokens_come_as_often_as_they_are_likely),
    cmocka_unit_test(a_seed_fixes_the_text),
    cmocka_unit_test(more_than_the_context_is_refused),
};

MPI_TEST_MAIN(tests)
