// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"
#include "dpo/optim/schedule.h"
#include "unit_test.h"

static dpo_schedule schedule_of(const char *name, double lr, double warmup, int64_t n_steps)
{
    const dpo_schedule_kind *kind;
    dpo_schedule schedule;

    ASSERT_OK(dpo_schedule_find(name, &kind));
    ASSERT_OK(dpo_schedule_make(kind, lr, 0.0, warmup, n_steps, &schedule));
    return schedule;
}

static double number_of(const dpo_json *object, const char *key)
{
    double value;

    ASSERT_OK(dpo_json_get_number(object, "golden", key, &value));
    return value;
}

static void check_case(const dpo_json *golden)
{
    const dpo_schedule_kind *kind;
    dpo_schedule schedule;
    const dpo_json *rates = dpo_json_find(golden, "rates");
    int64_t step = 0;
    double lr = number_of(golden, "lr");

    ASSERT_OK(dpo_schedule_find(dpo_json_text(dpo_json_find(golden, "name")), &kind));
    ASSERT_OK(dpo_schedule_make(kind, lr, number_of(golden, "min_lr"), number_of(golden, "warmup"),
                                dpo_json_count(rates), &schedule));
    for (const dpo_json *rate = dpo_json_first(rates); rate; rate = dpo_json_next(rate))
        ASSERT_CLOSE(dpo_schedule_rate(&schedule, step++), dpo_json_number(rate), 1e-15 * lr);
}

static void rates_are_those_of_transformers(void **state)
{
    (void)state;
    dpo_json *root;

    ASSERT_OK(dpo_json_read_file(DPO_TEST_DATA "/optim_schedule.json", DPO_JSON_STRICT, &root));
    const dpo_json *cases = dpo_json_find(root, "cases");

    assert_true(dpo_json_count(cases) > 0);
    for (const dpo_json *golden = dpo_json_first(cases); golden; golden = dpo_json_next(golden))
        check_case(golden);
    dpo_json_destroy(&root);
}

static void every_kind_warms_up_in_a_straight_line_to_its_peak(void **state)
{
    (void)state;
    int n;
    const dpo_schedule_kind *table = dpo_schedule_table(&n);

    for (int k = 0; k < n; k++) {
        dpo_schedule schedule = schedule_of(table[k].name, 2.0, 4, 10);

        for (int64_t step = 0; step <= 4; step++)
            ASSERT_CLOSE(dpo_schedule_rate(&schedule, step), 0.5 * (double)step, 1e-15);
        for (int64_t step = 4; step < 30; step++) {
            double rate = dpo_schedule_rate(&schedule, step);

            assert_true(rate >= 0.0 && rate <= 2.0);
            assert_true(dpo_schedule_rate(&schedule, step + 1) <= rate);
        }
    }
}

static void linear_and_cosine_end_at_zero(void **state)
{
    (void)state;
    dpo_schedule linear = schedule_of("linear", 1.0, 0.0, 10);
    dpo_schedule cosine = schedule_of("cosine", 1.0, 0.0, 10);

    for (int64_t step = 10; step < 13; step++) {
        assert_true(dpo_schedule_rate(&linear, step) == 0.0);
        ASSERT_CLOSE(dpo_schedule_rate(&cosine, step), 0.0, 1e-16);
    }
}

static void a_share_of_the_steps_is_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(schedule_of("linear", 1.0, 0.1, 100).n_warmup, 10);
    assert_int_equal(schedule_of("linear", 1.0, 0.1, 101).n_warmup, 11);
    assert_int_equal(schedule_of("linear", 1.0, 0.1, 1).n_warmup, 1);
    assert_int_equal(schedule_of("linear", 1.0, 1.0, 100).n_warmup, 1);
    assert_int_equal(schedule_of("linear", 1.0, 0.0, 100).n_warmup, 0);
}

static void wrong_numbers_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double lr, min_lr, warmup;
        const char *part;
    } cases[] = {
        {"linear", -1.0, 0.0, 0.0, "optimizer.lr: -1"},
        {"linear", (double)NAN, 0.0, 0.0, "optimizer.lr"},
        {"linear", 1.0, 0.1, 0.0, "schedule.min_lr: given, but linear does not use it"},
        {"cosine", 1.0, 2.0, 0.0, "schedule.min_lr: 2"},
        {"cosine", 1.0, -0.5, 0.0, "schedule.min_lr"},
        {"constant", 1.0, 0.0, 1.5, "schedule.warmup: 1.5"},
        {"constant", 1.0, 0.0, -1.0, "schedule.warmup: -1"},
        {"constant", 1.0, 0.0, (double)NAN, "schedule.warmup"},
        {"constant", 1.0, 0.0, 1e300, "schedule.warmup"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dpo_schedule_kind *kind;
        dpo_schedule schedule;

        ASSERT_OK(dpo_schedule_find(cases[i].name, &kind));
        ASSERT_FAILS(
            dpo_schedule_make(kind, cases[i].lr, cases[i].min_lr, cases[i].warmup, 10, &schedule),
            DPO_EUSAGE, cases[i].part);
    }
}

static void an_unknown_name_is_refused_with_the_nearest(void **state)
{
    (void)state;
    const dpo_schedule_kind *kind;

    ASSERT_FAILS(dpo_schedule_find("cosin", &kind), DPO_EUSAGE, "did you mean \"cosine\"");
    assert_null(kind);
    ASSERT_FAILS(dpo_schedule_find("polynomial", &kind), DPO_EUSAGE, "known are: constant");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(rates_are_those_of_transformers),
        UNIT_TEST(every_kind_warms_up_in_a_straight_line_to_its_peak),
        UNIT_TEST(linear_and_cosine_end_at_zero),
        UNIT_TEST(a_share_of_the_steps_is_rounded_up),
        UNIT_TEST(wrong_numbers_are_refused_by_name),
        UNIT_TEST(an_unknown_name_is_refused_with_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
