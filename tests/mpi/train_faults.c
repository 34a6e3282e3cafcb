// SPDX-License-Identifier: Apache-2.0
/*
 * One agreement of a complete run fails on one rank, each in its turn: every rank comes back with the same message,
 * without memory, and leaves no half-written file. The five grids of two and four ranks share the agreements.
 */
#include "fault_run.h"

enum { STRIDE = 5 };

static int64_t first_on(const dpo_grid *grid)
{
    int size = dpo_grid_size(grid, DPO_WORLD), tensor_size = dpo_grid_size(grid, DPO_TENSOR);

    return 1 + (size - 1 + (tensor_size > 1) + (tensor_size > 2)) % STRIDE;
}

static void check_run(const dpo_grid *grid)
{
    const fault_kind agreement = {"agreement", dpo_agree_fail_at, dpo_agree_count, true};

    train_with_every_fault(grid, &agreement, NULL, first_on(grid), STRIDE);
}

/* A token store that cannot be looked into is made anew: not every failure is one of the run. */
static void check_continued_run(const dpo_grid *grid)
{
    const fault_kind agreement = {"agreement of a continued run", dpo_agree_fail_at,
                                  dpo_agree_count, false};

    continue_with_every_fault(grid, &agreement, first_on(grid), STRIDE);
}

static void one_failing_agreement_fails_all_ranks(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_run);
    assert_int_equal(n_wrong_runs, 0);
}

static void one_failing_agreement_fails_a_continued_run(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_continued_run);
    assert_int_equal(n_wrong_runs, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_failing_agreement_fails_all_ranks),
    cmocka_unit_test(one_failing_agreement_fails_a_continued_run),
};

MPI_TEST_MAIN(tests)
