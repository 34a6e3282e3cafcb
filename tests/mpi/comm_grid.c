// SPDX-License-Identifier: Apache-2.0
#include "mpi_test.h"

static void check_numbers(const dpo_grid *grid)
{
    int tensor_size = dpo_grid_size(grid, DPO_TENSOR);
    int data_rank = dpo_grid_rank(grid, DPO_DATA);

    ASSERT_ALL(tensor_size * dpo_grid_size(grid, DPO_DATA) == dpo_grid_size(grid, DPO_WORLD));
    ASSERT_ALL(data_rank * tensor_size + dpo_grid_rank(grid, DPO_TENSOR) ==
               dpo_grid_rank(grid, DPO_WORLD));
    ASSERT_ALL(dpo_grid_nodes(grid) == 1);
    ASSERT_ALL(dpo_grid_size(grid, DPO_NODE) == dpo_grid_size(grid, DPO_WORLD));
    ASSERT_ALL(!dpo_grid_tensor_spans_nodes(grid));
}

static void tensor_ranks_are_neighbours(void **state)
{
    (void)state;
    on_every_grid(0, check_numbers);
}

static void check_pretended(const dpo_grid *grid)
{
    int size = dpo_grid_size(grid, DPO_WORLD);
    int tensor_size = dpo_grid_size(grid, DPO_TENSOR);
    int rank = dpo_grid_rank(grid, DPO_WORLD);

    ASSERT_ALL(dpo_grid_nodes(grid) == (size + 1) / 2);
    ASSERT_ALL(dpo_grid_rank(grid, DPO_NODE) == rank % 2);
    ASSERT_ALL(dpo_grid_size(grid, DPO_NODE) == (size < 2 ? size : 2));
    ASSERT_ALL(dpo_grid_tensor_spans_nodes(grid) == (tensor_size > 2));
}

static void pretended_nodes_are_runs_of_ranks(void **state)
{
    (void)state;
    on_every_grid(2, check_pretended);
}

static void a_width_that_does_not_divide_the_ranks_is_refused(void **state)
{
    (void)state;
    dpo_grid *grid;
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    ASSERT_ALL(dpo_grid_create(size + 1, &grid) == DPO_EUSAGE && grid == NULL);
    ASSERT_ALL(dpo_grid_create(0, &grid) == DPO_EUSAGE && grid == NULL);
}

static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    int last = dpo_grid_size(test_grid, DPO_WORLD) - 1;

    for (int64_t n = 1; n <= 2; n++) {
        dpo_grid *grid;

        if (dpo_grid_rank(test_grid, DPO_WORLD) == last) dpo_memory_fail_after(n);
        dpo_status status = dpo_grid_create(1, &grid);

        dpo_memory_fail_after(0);
        ASSERT_ALL(status == DPO_ENOMEM && grid == NULL);
    }
}

static void an_agreement_fails_where_a_test_wants_it(void **state)
{
    (void)state;
    int last = dpo_grid_size(test_grid, DPO_WORLD) - 1;
    int64_t before = dpo_agree_count();

    dpo_agree_fail_at(2, last);
    ASSERT_ALL(dpo_agree(test_grid, DPO_OK) == DPO_OK);
    ASSERT_ALL(dpo_agree(test_grid, DPO_OK) == DPO_EINTERNAL);
    ASSERT_ALL(dpo_last_error()->rank == last && dpo_last_error()->n_failed == 1);
    ASSERT_ALL(dpo_agree(test_grid, DPO_OK) == DPO_OK);
    ASSERT_ALL(dpo_agree_count() == before + 3);
}

static void an_agreement_that_is_switched_off_does_not_fail(void **state)
{
    (void)state;
    dpo_agree_fail_at(1, 0);
    dpo_agree_fail_at(0, 0);
    ASSERT_ALL(dpo_agree(test_grid, DPO_OK) == DPO_OK);
}

/* More than fit the grid's scratch at once. */
static void sums_of_f64_allocate_nothing(void **state)
{
    (void)state;
    enum { N = 200 };
    double values[N];
    int64_t before = dpo_memory_count();
    int size = dpo_grid_size(test_grid, DPO_WORLD);
    int wrong = 0;

    for (int i = 0; i < N; i++)
        values[i] = i + 0.25 * dpo_grid_rank(test_grid, DPO_WORLD);
    dpo_sum_f64(test_grid, DPO_WORLD, N, values);
    for (int i = 0; i < N; i++)
        wrong += values[i] != size * (double)i + 0.125 * size * (size - 1);
    wrong += dpo_memory_count() != before;
    ASSERT_ALL(!wrong);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(tensor_ranks_are_neighbours),
    cmocka_unit_test(pretended_nodes_are_runs_of_ranks),
    cmocka_unit_test(a_width_that_does_not_divide_the_ranks_is_refused),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(an_agreement_fails_where_a_test_wants_it),
    cmocka_unit_test(an_agreement_that_is_switched_off_does_not_fail),
    cmocka_unit_test(sums_of_f64_allocate_nothing),
};

MPI_TEST_MAIN(tests)
