// SPDX-License-Identifier: Apache-2.0
/*
 * One allocation of a complete run fails on one rank. A function that leaves a collective early on that rank lets the
 * others wait for ever: the watchdog says for which allocation. There are some thousands of them, of which a few are
 * tried on each grid.
 */
#include "fault_run.h"

enum { STRIDE = 211 };

static void fail_here(int64_t number, int rank)
{
    dpo_memory_fail_after(dpo_grid_rank(test_grid, DPO_WORLD) == rank ? number : 0);
}

/* Shared memory whose speed cannot be measured is no failure. */
static const fault_kind allocation = {"allocation", fail_here, dpo_memory_count, false};

/* Other ones on every grid. */
static int64_t first_on(const dpo_grid *grid)
{
    return 1 + 17 * dpo_grid_size(grid, DPO_TENSOR) + 5 * dpo_grid_size(grid, DPO_WORLD);
}

static void check_run(const dpo_grid *grid)
{
    train_with_every_fault(grid, &allocation, NULL, first_on(grid), STRIDE);
}

static void check_continued_run(const dpo_grid *grid)
{
    continue_with_every_fault(grid, &allocation, first_on(grid), STRIDE);
}

static void one_failing_allocation_fails_all_ranks(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_run);
    assert_int_equal(n_wrong_runs, 0);
}

static void one_failing_allocation_fails_a_continued_run(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_continued_run);
    assert_int_equal(n_wrong_runs, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_failing_allocation_fails_all_ranks),
    cmocka_unit_test(one_failing_allocation_fails_a_continued_run),
};

MPI_TEST_MAIN(tests)
