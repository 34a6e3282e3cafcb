// SPDX-License-Identifier: Apache-2.0
#include "dpo/loss/objective.h"
#include "unit_test.h"

static const dpo_objective *sigmoid(void)
{
    const dpo_objective *objective;

    ASSERT_OK(dpo_objective_find("sigmoid", &objective));
    return objective;
}

static void every_row_is_found_by_its_name(void **state)
{
    (void)state;
    int n;
    const dpo_objective *table = dpo_objective_table(&n);

    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        const dpo_objective *found;

        ASSERT_OK(dpo_objective_find(table[i].name, &found));
        assert_ptr_equal(found, &table[i]);
    }
}

static void an_unknown_name_is_refused_with_the_nearest(void **state)
{
    (void)state;
    const dpo_objective *objective = sigmoid();

    ASSERT_FAILS(dpo_objective_find("sigmod", &objective), DPO_EUSAGE, "did you mean \"sigmoid\"");
    assert_null(objective);
    ASSERT_FAILS(dpo_objective_find("qwertz", &objective), DPO_EUSAGE, "known are: sigmoid");
}

static void defaults_are_accepted_by_every_objective(void **state)
{
    (void)state;
    int n;
    const dpo_objective *table = dpo_objective_table(&n);
    const dpo_objective_params params = {.beta = 0.1};

    for (int i = 0; i < n; i++)
        ASSERT_OK(dpo_objective_check(&table[i], &params, table[i].uses));
}

static void values_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        double beta, label_smoothing;
        const char *part;
    } cases[] = {
        {0.0, 0.0, "objective.beta: 0, expected a number > 0"},
        {-1.0, 0.0, "objective.beta"},
        {(double)NAN, 0.0, "objective.beta"},
        {(double)INFINITY, 0.0, "objective.beta"},
        {0.1, 0.5, "objective.label_smoothing: 0.5, expected"},
        {0.1, -0.1, "objective.label_smoothing"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dpo_objective_params params = {cases[i].beta, cases[i].label_smoothing};

        ASSERT_FAILS(dpo_objective_check(sigmoid(), &params, 0), DPO_EUSAGE, cases[i].part);
    }
}

static void a_parameter_that_is_not_used_is_refused(void **state)
{
    (void)state;
    dpo_objective plain = *sigmoid();
    dpo_objective_params params = {.beta = 0.1};

    plain.uses = DPO_USES_BETA;
    ASSERT_OK(dpo_objective_check(&plain, &params, DPO_USES_BETA));
    ASSERT_FAILS(dpo_objective_check(&plain, &params, DPO_USES_LABEL_SMOOTHING), DPO_EUSAGE,
                 "objective.label_smoothing: given, but sigmoid does not use it");
    params.label_smoothing = 9.0;
    ASSERT_OK(dpo_objective_check(&plain, &params, 0));
}

static void the_parameter_table_names_its_members(void **state)
{
    (void)state;
    int n;
    const dpo_objective_parameter *row = dpo_objective_parameter_table(&n);

    assert_int_equal(n, sizeof(dpo_objective_params) / sizeof(double));
    for (int i = 0; i < n; i++) {
        assert_int_equal(row[i].bit, 1 << i);
        assert_int_equal(row[i].offset, (size_t)i * sizeof(double));
    }
    assert_string_equal(row[0].key, "beta");
    assert_string_equal(row[1].key, "label_smoothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_row_is_found_by_its_name),
        UNIT_TEST(an_unknown_name_is_refused_with_the_nearest),
        UNIT_TEST(defaults_are_accepted_by_every_objective),
        UNIT_TEST(values_out_of_range_are_refused_by_name),
        UNIT_TEST(a_parameter_that_is_not_used_is_refused),
        UNIT_TEST(the_parameter_table_names_its_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
