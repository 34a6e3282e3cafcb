// SPDX-License-Identifier: Apache-2.0
/*
 * A run in which one rank fails where ranks agree, in setup, training and export: all ranks end with the same status
 * and leave no memory behind; nobody waits for a rank that has gone. Every agreement takes minutes: each grid
 * gets its share of them, unless DPO_EVERY_FAULT is set.
 */
#include "dpo/base/log.h"
#include "dpo/train/trainer.h"
#include "train_run.h"

#define PAIRS DPO_TEST_DATA "/trl-stories/pairs.jsonl"

static const char keys[] = "{\"batch\": {\"examples\": 4, \"tokens\": 1024}, \"train\": "
                           "{\"steps\": 2}, \"log\": {\"mfu\": "
                           "false}, \"optimizer\": {\"ema\": 0.9}}";

/* World rank 0 writes the first lines of the embedded pairs. */
static void write_pairs(const char *path)
{
    enum { N_LINES = 4 };
    char line[4096];

    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) {
        FILE *from = fopen(PAIRS, "re");
        FILE *to = fopen(path, "we");

        assert_true(from != NULL && to != NULL);
        for (int i = 0; i < N_LINES && fgets(line, sizeof line, from) != NULL; i++)
            assert_true(fputs(line, to) >= 0);
        assert_int_equal(fclose(from), 0);
        assert_int_equal(fclose(to), 0);
    }
    dpo_barrier(test_grid, DPO_WORLD);
}

/* A whole run in a folder of its own, whose agreement number n (0: none) sees a failure of one rank. */
static dpo_status run_with_failure(const dpo_grid *grid, int64_t n)
{
    char folder[64];
    char pairs[80];
    dpo_run_config run;
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);

    make_scratch(folder);
    (void)snprintf(pairs, sizeof pairs, "%s/pairs.jsonl", folder);
    write_pairs(pairs);
    configure(keys, "{}", pairs, folder, &run);
    dpo_agree_fail_at(n, (int)n % dpo_grid_size(grid, DPO_WORLD));
    dpo_status status = dpo_train(grid, &run);

    dpo_agree_fail_at(0, 0);
    dpo_config_values_destroy(fields, n_fields, &run);
    remove_scratch(folder);
    return status;
}

static void check_agreements(const dpo_grid *grid)
{
    int64_t stride = getenv("DPO_EVERY_FAULT") != NULL ? 1 : 12;
    int64_t first = dpo_grid_size(grid, DPO_DATA) * 3 + dpo_grid_size(grid, DPO_TENSOR);
    int64_t n_before = dpo_agree_count();
    int64_t n_blocks = dpo_memory_outstanding();

    ASSERT_ALL(run_with_failure(grid, 0) == DPO_OK);
    int64_t n_agreements = dpo_agree_count() - n_before;

    ASSERT_ALL(n_agreements > 10);
    for (int64_t n = 1 + first % stride; n <= n_agreements; n += stride) {
        dpo_status status = run_with_failure(grid, n);

        if (!all_true(status == DPO_EINTERNAL) || !all_true(dpo_memory_outstanding() == n_blocks))
            fail_msg("agreement %lld of %lld: status %d, %lld blocks left", (long long)n,
                     (long long)n_agreements, (int)status,
                     (long long)(dpo_memory_outstanding() - n_blocks));
    }
}

static void a_failure_at_an_agreement_ends_all_ranks_alike(void **state)
{
    (void)state;
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    dpo_log_set_level(DPO_LOG_SILENT);
    check_agreements(test_grid);
    if (size % 2 == 0) {
        dpo_grid *grid;

        ASSERT_OK(dpo_grid_create(2, &grid));
        check_agreements(grid);
        dpo_grid_destroy(&grid);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_failure_at_an_agreement_ends_all_ranks_alike),
};

MPI_TEST_MAIN(tests)
