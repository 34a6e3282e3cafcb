// SPDX-License-Identifier: Apache-2.0
#include "dpo/loss/metrics.h"
#include "unit_test.h"

/* Three pairs: right and sure, a tie, wrong with a chosen response that has become less likely. */
static const double logp[] = {-10.0, -70.0, -20.0, -30.0, -25.0, -18.0};
static const double reference_logp[] = {-20.0, -30.0, -20.0, -30.0, -20.0, -20.0};
static const int64_t n_tokens[] = {10, 20, 30, 40, 50, 60};
static const int64_t chosen[] = {0, 2, 4};
static const int64_t rejected[] = {1, 3, 5};

static dpo_objective_batch batch_of(int64_t begin, int64_t end)
{
    return (dpo_objective_batch){.n_responses = 6,
                                 .logp = logp,
                                 .reference_logp = reference_logp,
                                 .n_tokens = n_tokens,
                                 .n_edges = end - begin,
                                 .edge_chosen = chosen + begin,
                                 .edge_rejected = rejected + begin,
                                 .normaliser = 1.0};
}

static double value_of(const char *name, const dpo_metric_sums *sums)
{
    int n;
    const dpo_metric *table = dpo_metric_table(&n);

    for (int i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0) return dpo_metric_value(&table[i], sums);
    fail_msg("there is no metric %s", name);
    return 0.0;
}

static void metrics_are_means_over_the_edges(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double value;
    } cases[] = {
        {"rewards/chosen", 0.1 * (10.0 + 0.0 - 5.0) / 3.0},
        {"rewards/rejected", 0.1 * (-40.0 + 0.0 + 2.0) / 3.0},
        {"rewards/margins", 0.1 * (50.0 + 0.0 - 7.0) / 3.0},
        {"rewards/accuracies", 1.0 / 3.0},
        {"logps/chosen", -55.0 / 3.0},
        {"logps/rejected", -118.0 / 3.0},
        {"ref_logps/chosen", -60.0 / 3.0},
        {"ref_logps/rejected", -80.0 / 3.0},
        {"kl/chosen", 5.0 / 90.0},
        {"kl/rejected", -38.0 / 120.0},
        {"lengths/chosen", 30.0},
        {"lengths/rejected", 40.0},
        {"saturated", 1.0 / 3.0},
        {"chosen_logp_drop", 1.0 / 3.0},
    };
    dpo_objective_batch batch = batch_of(0, 3);
    dpo_metric_sums sums = {{0}};
    int n;

    (void)dpo_metric_table(&n);
    assert_int_equal(n, sizeof cases / sizeof cases[0]);
    dpo_metric_sums_add(&batch, 0.1, &sums);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ASSERT_CLOSE(value_of(cases[i].name, &sums), cases[i].value, 1e-13);
}

static void sums_of_the_parts_are_the_sums_of_the_whole(void **state)
{
    (void)state;
    dpo_objective_batch whole = batch_of(0, 3);
    dpo_metric_sums sums = {{0}};
    dpo_metric_sums parts = {{0}};

    dpo_metric_sums_add(&whole, 0.1, &sums);
    for (int64_t e = 0; e < 3; e++) {
        dpo_objective_batch part = batch_of(e, e + 1);

        dpo_metric_sums_add(&part, 0.1, &parts);
    }
    assert_memory_equal(&sums, &parts, sizeof sums);
}

static void a_tie_is_not_accurate(void **state)
{
    (void)state;
    dpo_objective_batch tie = batch_of(1, 2);
    dpo_metric_sums sums = {{0}};

    dpo_metric_sums_add(&tie, 0.1, &sums);
    assert_true(value_of("rewards/accuracies", &sums) == 0.0);
}

static void saturation_begins_at_99_percent(void **state)
{
    (void)state;
    const double no_reference[] = {0.0, 0.0};

    for (int above = 0; above < 2; above++) {
        double p = above ? 0.9901 : 0.9899;
        const double pair[] = {log(p / (1.0 - p)), 0.0};
        dpo_objective_batch batch = batch_of(0, 1);
        dpo_metric_sums sums = {{0}};

        batch.logp = pair;
        batch.reference_logp = no_reference;
        dpo_metric_sums_add(&batch, 1.0, &sums);
        assert_true(value_of("saturated", &sums) == (double)above);
    }
}

static void without_a_reference_rewards_are_log_probs(void **state)
{
    (void)state;
    static const char *const absent[] = {"ref_logps/chosen", "ref_logps/rejected", "kl/chosen",
                                         "kl/rejected", "chosen_logp_drop"};
    dpo_objective_batch batch = batch_of(0, 3);
    dpo_metric_sums sums = {{0}};

    batch.reference_logp = NULL;
    dpo_metric_sums_add(&batch, 2.0, &sums);
    ASSERT_CLOSE(value_of("rewards/chosen", &sums), 2.0 * -55.0 / 3.0, 1e-13);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        assert_true(isnan(value_of(absent[i], &sums)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(metrics_are_means_over_the_edges),
        UNIT_TEST(sums_of_the_parts_are_the_sums_of_the_whole),
        UNIT_TEST(a_tie_is_not_accurate),
        UNIT_TEST(saturation_begins_at_99_percent),
        UNIT_TEST(without_a_reference_rewards_are_log_probs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
