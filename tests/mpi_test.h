// SPDX-License-Identifier: Apache-2.0
#ifndef MPI_TEST_H
#define MPI_TEST_H

#include <mpi.h>

#include "dpo/comm/collective.h"
#include "dpo/comm/grid.h"
#include "dpo/comm/runtime.h"
#include "unit_test.h"

/* The grid of the test, tensor width 1; made and destroyed by MPI_TEST_MAIN. */
static dpo_grid *test_grid;

/* True on every rank or on none: a failing rank may not leave the others in a collective. */
static inline int all_true(int condition)
{
    int64_t n_false = condition == 0;

    dpo_sum_i64(test_grid, DPO_WORLD, 1, &n_false);
    return n_false == 0;
}

#define ASSERT_ALL(condition) assert_true(all_true((condition) != 0))

/* Calls check on a grid of every tensor width that divides the ranks; nodes as dpo_grid_create_pretending(). */
static inline void on_every_grid(int node_size, void (*check)(const dpo_grid *grid))
{
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    for (int tensor_size = 1; tensor_size <= size; tensor_size++) {
        dpo_grid *grid;

        if (size % tensor_size != 0) continue;
        ASSERT_OK(dpo_grid_create_pretending(tensor_size, node_size, &grid));
        check(grid);
        dpo_grid_destroy(&grid);
    }
}

/* Only rank 0 reports; the exit code is the same everywhere. */
#define MPI_TEST_MAIN(tests)                                                            \
    int main(int argc, char **argv)                                                     \
    {                                                                                   \
        int64_t failed;                                                                 \
        dpo_runtime_begin(&argc, &argv);                                                \
        failed = dpo_grid_create(1, &test_grid) != DPO_OK;                              \
        if (failed) return 1;                                                           \
        if (dpo_grid_rank(test_grid, DPO_WORLD) != 0 &&                                 \
            (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))) \
            MPI_Abort(MPI_COMM_WORLD, 1);                                               \
        failed = cmocka_run_group_tests(tests, NULL, NULL);                             \
        dpo_max_i64(test_grid, DPO_WORLD, 1, &failed);                                  \
        dpo_grid_destroy(&test_grid);                                                   \
        failed += dpo_memory_outstanding() != 0;                                        \
        dpo_runtime_end();                                                              \
        return failed != 0;                                                             \
    }

#endif
