// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/random.h"
#include "dpo/loss/objective.h"
#include "unit_test.h"

/* K responses of one example, and every comparison among them, the better one first. */
enum { K = 4, N_EDGES = K * (K - 1) / 2 };

typedef struct {
    double logp[K], reference_logp[K], slope[K];
    int64_t n_tokens[K];
    int64_t chosen[N_EDGES], rejected[N_EDGES];
    float weight[N_EDGES];
    dpo_objective_batch batch;
} example;

static double normal(uint32_t major, int64_t minor)
{
    return dpo_random_normal(3, DPO_STREAM_TEST, major, (uint64_t)minor);
}

static void make_example(uint32_t number, example *x)
{
    int64_t edge = 0;

    memset(x, 0, sizeof *x);
    for (int64_t i = 0; i < K; i++) {
        x->reference_logp[i] = -200.0 + 50.0 * normal(number, i);
        x->logp[i] = x->reference_logp[i] + 10.0 * normal(number, K + i);
        x->n_tokens[i] = 40 + 7 * i;
        for (int64_t j = i + 1; j < K; j++, edge++) {
            x->chosen[edge] = i;
            x->rejected[edge] = j;
            x->weight[edge] = 0.25f * (float)(edge + 1);
        }
    }
    x->batch = (dpo_objective_batch){.n_responses = K,
                                     .logp = x->logp,
                                     .reference_logp = x->reference_logp,
                                     .n_tokens = x->n_tokens,
                                     .n_edges = N_EDGES,
                                     .edge_chosen = x->chosen,
                                     .edge_rejected = x->rejected,
                                     .edge_weight = x->weight,
                                     .normaliser = 5.0};
}

/* A pair, chosen first, whose log-ratios are margin and 0. */
static void make_pair(double margin, example *x)
{
    *x = (example){.logp = {margin - 7.0, -9.0},
                   .reference_logp = {-7.0, -9.0},
                   .n_tokens = {5, 6},
                   .chosen = {0},
                   .rejected = {1}};
    x->batch = (dpo_objective_batch){.n_responses = 2,
                                     .logp = x->logp,
                                     .reference_logp = x->reference_logp,
                                     .n_tokens = x->n_tokens,
                                     .n_edges = 1,
                                     .edge_chosen = x->chosen,
                                     .edge_rejected = x->rejected,
                                     .normaliser = 1.0};
}

static double run(const char *name, const dpo_objective_params *params, example *x)
{
    const dpo_objective *objective;

    ASSERT_OK(dpo_objective_find(name, &objective));
    memset(x->slope, 0, sizeof x->slope);
    return dpo_objective_run(objective, params, &x->batch, x->slope);
}

static dpo_objective_params params_of(double beta, double label_smoothing)
{
    return (dpo_objective_params){.beta = beta, .label_smoothing = label_smoothing};
}

/*
 * Central differences with step h = 1e-4: the error of the formula is h^2 / 6 times the third
 * derivative (at most beta^3 per edge), that of rounding 1e-16 * |loss| / h.
 */
static void check_slopes(const dpo_objective *objective, const dpo_objective_params *params,
                         example *x)
{
    const double h = 1e-4;
    double ignored[K] = {0};
    double slope[K] = {0};

    (void)dpo_objective_run(objective, params, &x->batch, slope);
    for (int i = 0; i < K; i++) {
        double logp = x->logp[i];

        x->logp[i] = logp + h;
        double above = dpo_objective_run(objective, params, &x->batch, ignored);
        x->logp[i] = logp - h;
        double below = dpo_objective_run(objective, params, &x->batch, ignored);
        x->logp[i] = logp;
        ASSERT_CLOSE(slope[i], (above - below) / (2.0 * h), 1e-8);
    }
}

static void every_slope_is_the_finite_difference_of_the_loss(void **state)
{
    (void)state;
    static const double betas[] = {0.01, 0.1, 0.5};
    static const double smoothings[] = {0.0, 0.1, 0.4};
    int n_objectives;
    const dpo_objective *table = dpo_objective_table(&n_objectives);

    for (int o = 0; o < n_objectives; o++)
        for (int b = 0; b < 3; b++)
            for (int s = 0; s < 3; s++)
                for (uint32_t number = 0; number < 5; number++) {
                    dpo_objective_params params = params_of(betas[b], smoothings[s]);
                    example x;

                    make_example(number, &x);
                    check_slopes(&table[o], &params, &x);
                }
}

static void sigmoid_at_the_reference_is_log_two(void **state)
{
    (void)state;
    const double log_two = 0.6931471805599453;

    for (int s = 0; s < 3; s++) {
        dpo_objective_params params = params_of(0.1, 0.2 * s);
        example x;

        make_pair(0.0, &x);
        ASSERT_CLOSE(run("sigmoid", &params, &x), log_two, 1e-15);
        ASSERT_CLOSE(x.slope[0], -0.1 * (0.5 - 0.2 * s), 1e-16);
    }
}

/* The closed form of both numbers, where it does not overflow. */
static void sigmoid_is_its_formula(void **state)
{
    (void)state;
    static const double margins[] = {-30.0, -3.0, 0.5, 12.0};

    for (int i = 0; i < 4; i++) {
        dpo_objective_params params = params_of(0.1, 0.0);
        double p = 1.0 / (1.0 + exp(-0.1 * margins[i]));
        example x;

        make_pair(margins[i], &x);
        ASSERT_CLOSE(run("sigmoid", &params, &x), -log(p), 1e-14);
        ASSERT_CLOSE(x.slope[0], -0.1 * (1.0 - p), 1e-15);
        ASSERT_CLOSE(x.slope[1], 0.1 * (1.0 - p), 1e-15);
    }
}

static void four_responses_with_six_edges_are_the_sum_of_six_pairs(void **state)
{
    (void)state;
    dpo_objective_params params = params_of(0.1, 0.05);
    double loss = 0.0;
    double slope[K] = {0};
    example x;
    example whole;

    make_example(0, &x);
    whole = x;
    x.batch.n_edges = 1;
    for (int e = 0; e < N_EDGES; e++) {
        x.batch.edge_chosen = &x.chosen[e];
        x.batch.edge_rejected = &x.rejected[e];
        x.batch.edge_weight = &x.weight[e];
        loss += run("sigmoid", &params, &x);
        for (int i = 0; i < K; i++)
            slope[i] += x.slope[i];
    }
    ASSERT_CLOSE(run("sigmoid", &params, &whole), loss, 1e-14);
    for (int i = 0; i < K; i++)
        ASSERT_CLOSE(whole.slope[i], slope[i], 1e-15);
}

static void slopes_of_an_example_sum_to_zero(void **state)
{
    (void)state;
    dpo_objective_params params = params_of(0.1, 0.0);
    double sum = 0.0;
    example x;

    make_example(1, &x);
    (void)run("sigmoid", &params, &x);
    for (int i = 0; i < K; i++)
        sum += x.slope[i];
    ASSERT_CLOSE(sum, 0.0, 1e-15);
}

/* Labels that are surely wrong are right labels the other way round: L(z; e) = L(-z; 1 - e). */
static void swapped_labels_mirror_the_loss(void **state)
{
    (void)state;
    dpo_objective_params params = params_of(0.3, 0.2);
    dpo_objective_params mirrored = params_of(0.3, 0.8);
    example x;
    example swapped;

    make_pair(4.0, &x);
    make_pair(4.0, &swapped);
    swapped.chosen[0] = 1;
    swapped.rejected[0] = 0;
    swapped.batch.edge_chosen = swapped.chosen;
    swapped.batch.edge_rejected = swapped.rejected;
    ASSERT_CLOSE(run("sigmoid", &params, &x), run("sigmoid", &mirrored, &swapped), 1e-15);
    ASSERT_CLOSE(x.slope[0], swapped.slope[0], 1e-16);
    ASSERT_CLOSE(x.slope[1], swapped.slope[1], 1e-16);
    params.label_smoothing = 0.0;
    double difference = run("sigmoid", &params, &swapped) - run("sigmoid", &params, &x);

    ASSERT_CLOSE(difference, 0.3 * 4.0, 1e-14); /* log s(u) - log s(-u) = u */
}

static void huge_margins_are_finite(void **state)
{
    (void)state;
    static const double margins[] = {-1e9, -1e5, -1e3, 1e3, 1e5, 1e9};

    for (int i = 0; i < 6; i++)
        for (int s = 0; s < 2; s++) {
            dpo_objective_params params = params_of(1.0, 0.1 * s);
            example x;

            make_pair(margins[i], &x);
            double loss = run("sigmoid", &params, &x);
            double linear = margins[i] < 0.0 ? -(1.0 - 0.1 * s) * margins[i] : 0.1 * s * margins[i];

            ASSERT_CLOSE(loss, linear, 1e-12 * fabs(margins[i]));
            assert_true(isfinite(x.slope[0]) && isfinite(x.slope[1]));
            ASSERT_CLOSE(x.slope[0], margins[i] < 0.0 ? -1.0 + 0.1 * s : 0.1 * s, 1e-15);
        }
}

/* A saturated slope is tiny, not rounded to zero as s(x) - 1 would be. */
static void slopes_of_sure_pairs_keep_their_digits(void **state)
{
    (void)state;
    dpo_objective_params params = params_of(1.0, 0.0);
    example x;

    make_pair(60.0, &x);
    (void)run("sigmoid", &params, &x);
    ASSERT_CLOSE(x.slope[0] * exp(60.0), -1.0, 1e-12);
}

static void smoothing_has_its_minimum_at_the_log_odds(void **state)
{
    (void)state;
    const double e = 0.1;
    const double beta = 0.25;
    const double best = log((1.0 - e) / e) / beta;
    dpo_objective_params params = params_of(beta, e);
    example x;

    make_pair(best, &x);
    double least = run("sigmoid", &params, &x);

    ASSERT_CLOSE(x.slope[0], 0.0, 1e-15);
    for (int side = -1; side <= 1; side += 2) {
        make_pair(best + 0.5 * side, &x);
        assert_true(run("sigmoid", &params, &x) > least);
        assert_true(x.slope[0] * side > 0.0);
    }
}

static void slopes_are_added_and_divided_by_the_normaliser(void **state)
{
    (void)state;
    dpo_objective_params params = params_of(0.1, 0.0);
    const dpo_objective *objective;
    example x;

    ASSERT_OK(dpo_objective_find("sigmoid", &objective));
    make_pair(3.0, &x);
    double loss = run("sigmoid", &params, &x);
    double slope = x.slope[0];

    x.batch.normaliser = 4.0;
    assert_true(dpo_objective_run(objective, &params, &x.batch, x.slope) == loss / 4.0);
    assert_true(x.slope[0] == slope + slope / 4.0);
}

static void without_edges_there_is_no_loss(void **state)
{
    (void)state;
    dpo_objective_params params = params_of(0.1, 0.0);
    example x;

    make_pair(3.0, &x);
    x.batch.n_edges = 0;
    assert_true(run("sigmoid", &params, &x) == 0.0);
    assert_true(x.slope[0] == 0.0 && x.slope[1] == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_slope_is_the_finite_difference_of_the_loss),
        UNIT_TEST(sigmoid_at_the_reference_is_log_two),
        UNIT_TEST(sigmoid_is_its_formula),
        UNIT_TEST(four_responses_with_six_edges_are_the_sum_of_six_pairs),
        UNIT_TEST(slopes_of_an_example_sum_to_zero),
        UNIT_TEST(swapped_labels_mirror_the_loss),
        UNIT_TEST(huge_margins_are_finite),
        UNIT_TEST(slopes_of_sure_pairs_keep_their_digits),
        UNIT_TEST(smoothing_has_its_minimum_at_the_log_odds),
        UNIT_TEST(slopes_are_added_and_divided_by_the_normaliser),
        UNIT_TEST(without_edges_there_is_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
