// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/phase.h"

#include <math.h>

#include "dpo/base/clock.h"
#include "unit_test.h"

static void wait_for(double seconds)
{
    double end_s = dpo_clock_s() + seconds;

    while (dpo_clock_s() < end_s) {
    }
}

static double sum_of(const dpo_phase_row *rows)
{
    double sum = 0.0;

    for (int i = 0; i < DPO_MAX_PHASES; i++)
        sum += rows[i].time_s;
    return sum;
}

static void times_add_up_to_the_wall_clock(void **state)
{
    dpo_phase_row rows[DPO_MAX_PHASES];
    double begin_s = dpo_clock_s();

    (void)state;
    dpo_phase_start(NULL);
    for (int i = 0; i < 1000; i++) {
        dpo_phase_begin(DPO_PHASE_PLAN);
        dpo_phase_begin(DPO_PHASE_NORM);
        dpo_phase_end(DPO_PHASE_NORM);
        dpo_phase_end(DPO_PHASE_PLAN);
        dpo_phase_begin(DPO_PHASE_CHECKPOINT);
        dpo_phase_end(DPO_PHASE_CHECKPOINT);
    }
    wait_for(0.02);
    dpo_phase_read(rows);
    double wall_s = dpo_clock_s() - begin_s;

    assert_true(sum_of(rows) <= wall_s && sum_of(rows) > 0.97 * wall_s);
}

static void an_inner_phase_interrupts_the_outer_one(void **state)
{
    dpo_phase_row rows[DPO_MAX_PHASES];

    (void)state;
    dpo_phase_start(NULL);
    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    dpo_phase_begin(DPO_PHASE_NORM);
    wait_for(0.02);
    dpo_phase_end(DPO_PHASE_NORM);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
    dpo_phase_read(rows);
    assert_true(rows[DPO_PHASE_NORM].time_s >= 0.02);
    assert_true(rows[DPO_PHASE_OPTIMIZER].time_s < rows[DPO_PHASE_NORM].time_s);
}

static void a_closed_phase_keeps_what_begins_inside(void **state)
{
    dpo_phase_row rows[DPO_MAX_PHASES];

    (void)state;
    dpo_phase_start(NULL);
    dpo_phase_begin(DPO_PHASE_EVALUATION);
    dpo_phase_begin(DPO_PHASE_NORM);
    dpo_phase_add_flops(DPO_PHASE_NORM, 1e9);
    wait_for(0.02);
    dpo_phase_end(DPO_PHASE_NORM);
    dpo_phase_end(DPO_PHASE_EVALUATION);
    dpo_phase_begin(DPO_PHASE_ROTARY);
    dpo_phase_add_flops(DPO_PHASE_ROTARY, 2.0);
    dpo_phase_end(DPO_PHASE_ROTARY);
    dpo_phase_read(rows);
    assert_true(rows[DPO_PHASE_EVALUATION].time_s >= 0.02);
    assert_true(rows[DPO_PHASE_NORM].time_s == 0.0 && rows[DPO_PHASE_NORM].flops == 0.0);
    assert_true(rows[DPO_PHASE_ROTARY].time_s > 0.0 && rows[DPO_PHASE_ROTARY].flops == 2.0);
}

static double communicated_s;

static double communication_clock(void)
{
    return communicated_s;
}

static void communication_is_taken_from_open_phases_only(void **state)
{
    dpo_phase_row rows[DPO_MAX_PHASES];

    (void)state;
    communicated_s = 5.0;
    dpo_phase_start(communication_clock);
    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    wait_for(0.02);
    communicated_s += 0.015;
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
    dpo_phase_begin(DPO_PHASE_CHECKPOINT);
    communicated_s += 3.0;
    dpo_phase_end(DPO_PHASE_CHECKPOINT);
    dpo_phase_read(rows);
    assert_true(fabs(rows[DPO_PHASE_COMMUNICATION].time_s - 0.015) < 1e-9);
    assert_true(rows[DPO_PHASE_OPTIMIZER].time_s >= 0.005 - 1e-9);
    assert_true(rows[DPO_PHASE_CHECKPOINT].time_s >= 0.0);
}

static void a_name_has_one_row(void **state)
{
    char name[16];
    dpo_phase_row rows[DPO_MAX_PHASES];
    int first = dpo_phase_named("linear 3 to 4");

    (void)state;
    assert_true(first >= DPO_N_KNOWN_PHASES && first < DPO_MAX_PHASES);
    assert_int_equal(dpo_phase_named("linear 3 to 4"), first);
    assert_int_equal(dpo_phase_named("norms"), DPO_PHASE_NORM);
    dpo_phase_read(rows);
    assert_string_equal(rows[first].name, "linear 3 to 4");
    for (int i = 0; i < 2 * DPO_MAX_PHASES; i++) {
        (void)snprintf(name, sizeof name, "row %d", i);
        assert_in_range(dpo_phase_named(name), 0, DPO_MAX_PHASES - 1);
    }
    assert_int_equal(dpo_phase_named("one too many"), DPO_PHASE_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(times_add_up_to_the_wall_clock),
        UNIT_TEST(an_inner_phase_interrupts_the_outer_one),
        UNIT_TEST(a_closed_phase_keeps_what_begins_inside),
        UNIT_TEST(communication_is_taken_from_open_phases_only),
        UNIT_TEST(a_name_has_one_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
