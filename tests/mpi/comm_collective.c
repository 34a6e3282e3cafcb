// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/range.h"
#include "mpi_test.h"

static int rank_of_world(void)
{
    return dpo_grid_rank(test_grid, DPO_WORLD);
}

static int size_of_world(void)
{
    return dpo_grid_size(test_grid, DPO_WORLD);
}

static void one_failing_rank_fails_all(void **state)
{
    (void)state;
    int last = size_of_world() - 1;
    dpo_status local = rank_of_world() == last ? DPO_FAIL(DPO_EIO, "disk %d full", 7) : DPO_OK;
    dpo_status status = dpo_agree(test_grid, local);

    ASSERT_ALL(status == DPO_EIO);
    ASSERT_ALL(dpo_last_error()->rank == last);
    ASSERT_ALL(strcmp(dpo_last_error()->text, "disk 7 full") == 0);
}

static void no_failing_rank_is_ok(void **state)
{
    (void)state;
    ASSERT_ALL(dpo_agree(test_grid, DPO_OK) == DPO_OK);
}

static void a_value_that_differs_is_refused(void **state)
{
    (void)state;
    dpo_status status = dpo_agree_on(test_grid, "beta", rank_of_world());

    ASSERT_ALL(status == (size_of_world() > 1 ? DPO_EUSAGE : DPO_OK));
}

static void parts_are_gathered_at_every_length(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 3, 64, 100003};

    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        int64_t n = lengths[l];
        dpo_range mine = dpo_range_of_part(n, size_of_world(), rank_of_world());
        int64_t n_wrong = 0;
        float *values;

        ASSERT_OK(DPO_NEW(values, n));
        for (int64_t i = mine.begin; i < mine.end; i++)
            values[i] = (float)(i + 1);
        dpo_all_gather_f32(test_grid, DPO_WORLD, n, values);
        for (int64_t i = 0; i < n; i++)
            n_wrong += values[i] != (float)(i + 1);
        dpo_free(values);
        ASSERT_ALL(n_wrong == 0);
    }
}

/* 1 + 2^-53 + 2^-53 depends on the order of the additions: rank order gives 1 exactly. */
static void sums_run_in_rank_order(void **state)
{
    (void)state;
    double value = rank_of_world() == 0 ? 1.0 : 0x1p-53;

    dpo_sum_f64(test_grid, DPO_WORLD, 1, &value);
    ASSERT_ALL(value == 1.0);
}

static void gathered_bytes_lie_in_rank_order(void **state)
{
    (void)state;
    char local[8];
    char all[64] = {0};
    int64_t n = rank_of_world() % 3;
    int64_t at = 0;
    int wrong = 0;

    memset(local, 'a' + rank_of_world(), sizeof local);
    dpo_all_gather_bytes(test_grid, DPO_WORLD, n, local, all);
    for (int r = 0; r < size_of_world(); r++)
        for (int64_t i = 0; i < r % 3; i++)
            wrong += all[at++] != 'a' + r;
    ASSERT_ALL(!wrong && all[at] == '\0');
}

static void sums_before_and_totals(void **state)
{
    (void)state;
    double value = 0.5;
    int64_t n = size_of_world();

    ASSERT_ALL(dpo_sum_before_i64(test_grid, DPO_WORLD, 2) == 2 * rank_of_world());
    dpo_sum_f64(test_grid, DPO_WORLD, 1, &value);
    ASSERT_ALL(value == 0.5 * (double)n);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_failing_rank_fails_all),
    cmocka_unit_test(no_failing_rank_is_ok),
    cmocka_unit_test(a_value_that_differs_is_refused),
    cmocka_unit_test(parts_are_gathered_at_every_length),
    cmocka_unit_test(sums_run_in_rank_order),
    cmocka_unit_test(gathered_bytes_lie_in_rank_order),
    cmocka_unit_test(sums_before_and_totals),
};

MPI_TEST_MAIN(tests)
