// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"
#include "dpo/optim/schedule.h"
#include "unit_test.h"

static dpo_schedule schedule_of(const char *name, double lr, double warmup, int64_t n_steps)
{
    const dpo_schedule_kind *kind;
    const dpo_schedule_options options = {
        .lr = lr, .warmup = warmup, .power = 2.0, .decay = 0.3, .n_steps = n_steps};
    dpo_schedule schedule;

    ASSERT_OK(dpo_schedule_find(name, &kind));
    ASSERT_OK(dpo_schedule_make(kind, &options, &schedule));
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
    const dpo_schedule_options options = {.lr = number_of(golden, "lr"),
                                          .min_lr = number_of(golden, "min_lr"),
                                          .warmup = number_of(golden, "warmup"),
                                          .power = number_of(golden, "power"),
                                          .decay = number_of(golden, "decay"),
                                          .decay_type = (int)number_of(golden, "decay_type"),
                                          .timescale = (int64_t)number_of(golden, "timescale"),
                                          .n_steps =
                                              dpo_json_count(dpo_json_find(golden, "rates"))};
    const dpo_json *rates = dpo_json_find(golden, "rates");
    int64_t step = 0;

    ASSERT_OK(dpo_schedule_find(dpo_json_text(dpo_json_find(golden, "name")), &kind));
    ASSERT_OK(dpo_schedule_make(kind, &options, &schedule));
    for (const dpo_json *rate = dpo_json_first(rates); rate; rate = dpo_json_next(rate))
        ASSERT_CLOSE(dpo_schedule_rate(&schedule, step++), dpo_json_number(rate),
                     1e-15 * options.lr);
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
        dpo_schedule_options options;
        const char *part;
    } cases[] = {
        {"linear", {.lr = -1.0}, "optimizer.lr: -1"},
        {"linear", {.lr = (double)NAN}, "optimizer.lr"},
        {"cosine", {.lr = 1.0, .min_lr = 2.0}, "schedule.min_lr: 2"},
        {"cosine", {.lr = 1.0, .min_lr = -0.5}, "schedule.min_lr"},
        {"constant", {.lr = 1.0, .warmup = 1.5}, "schedule.warmup: 1.5"},
        {"constant", {.lr = 1.0, .warmup = -1.0}, "schedule.warmup: -1"},
        {"constant", {.lr = 1.0, .warmup = (double)NAN}, "schedule.warmup"},
        {"constant", {.lr = 1.0, .warmup = 1e300}, "schedule.warmup"},
        {"polynomial", {.lr = 1.0, .power = 0.0}, "schedule.power: 0"},
        {"warmup_stable_decay", {.lr = 1.0, .decay = 0.0}, "schedule.decay: 0"},
        {"warmup_stable_decay", {.lr = 1.0, .decay = 2.5}, "schedule.decay: 2.5"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dpo_schedule_kind *kind;
        dpo_schedule_options options = cases[i].options;
        dpo_schedule schedule;

        options.n_steps = 10;
        ASSERT_OK(dpo_schedule_find(cases[i].name, &kind));
        ASSERT_FAILS(dpo_schedule_make(kind, &options, &schedule), DPO_EUSAGE, cases[i].part);
    }
}

static void an_unknown_name_is_refused_with_the_nearest(void **state)
{
    (void)state;
    const dpo_schedule_kind *kind;

    ASSERT_FAILS(dpo_schedule_find("cosin", &kind), DPO_EUSAGE, "did you mean \"cosine\"");
    assert_null(kind);
    ASSERT_FAILS(dpo_schedule_find("step", &kind), DPO_EUSAGE, "known are: constant");
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
