// SPDX-License-Identifier: Apache-2.0
/*
 * The files of one rank may not grow beyond a limit: the run fails on all ranks with one message, what was whole
 * before stays as it was, nothing is half-written, and the next run in the same folder is none the worse.
 */
#include "dpo/store/publish.h"
#include "fault_run.h"
#include "file_limit.h"

/* Trains where one rank's files are limited; 0 is no limit. */
static dpo_status train_limited(const dpo_grid *grid, const char *out, int64_t limit_bytes,
                                int rank)
{
    const fault_place place = {"a file limit of bytes", limit_bytes, rank};
    bool is_limited = limit_bytes > 0 && dpo_grid_rank(test_grid, DPO_WORLD) == rank;
    dpo_run_config run;

    configure(FAULT_RUN_KEYS, keys_of_grid(grid), "unused", out, &run);
    run.checkpoint.keep = 2;
    int64_t n_blocks = dpo_memory_outstanding();

    limit_file_size(is_limited, (rlim_t)limit_bytes);
    dpo_status status = train_watched(grid, &run, &place);

    limit_file_size(false, 0);
    note_run(&place, status, dpo_memory_outstanding() - n_blocks, out,
             status != DPO_OK && (limit_bytes == 0 || status != DPO_EIO));
    dpo_run_config_destroy(&run);
    return status;
}

/* Of a file in the folder of a run; zero if it is not there. */
static dpo_digest digest_in(const char *out, const char *name)
{
    dpo_digest digest = {0};
    char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    dpo_barrier(test_grid, DPO_WORLD);
    if (access(path, F_OK) == 0) ASSERT_OK(dpo_file_digest(path, &digest));
    return digest;
}

/* The model of a run that nothing disturbed. */
static dpo_digest undisturbed_model(const dpo_grid *grid)
{
    char out[64];

    make_scratch(out);
    ASSERT_ALL(train_limited(grid, out, 0, 0) == DPO_OK);
    dpo_digest digest = digest_in(out, "model/model.safetensors");

    remove_scratch(out);
    return digest;
}

static void fail_and_run_again(const dpo_grid *grid, int64_t limit_bytes, int rank,
                               dpo_digest expected)
{
    char out[64];

    make_scratch(out);
    if (train_limited(grid, out, limit_bytes, rank) != DPO_OK)
        ASSERT_ALL(train_limited(grid, out, 0, rank) == DPO_OK);
    ASSERT_ALL(dpo_digest_equal(digest_in(out, "model/model.safetensors"), expected));
    remove_scratch(out);
}

static void check_limits(const dpo_grid *grid)
{
    dpo_digest expected = undisturbed_model(grid);
    int last = dpo_grid_size(grid, DPO_WORLD) - 1;

    for (int64_t limit_bytes = 64; limit_bytes <= 8 << 20; limit_bytes *= 16) {
        fail_and_run_again(grid, limit_bytes, 0, expected);
        if (last > 0) fail_and_run_again(grid, limit_bytes, last, expected);
    }
}

static void a_failed_write_leaves_the_next_run_none_the_worse(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_limits);
    assert_int_equal(n_wrong_runs, 0);
}

static void remove_second_checkpoint(const char *out)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/checkpoints/step-00000002.h5", out);
    dpo_barrier(test_grid, DPO_WORLD);
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) assert_int_equal(unlink(path), 0);
    dpo_barrier(test_grid, DPO_WORLD);
}

/* Again over a finished run, models are written anew; without its last checkpoint that comes first. */
static void check_old_files(const dpo_grid *grid)
{
    static const char *const kept[] = {"model/model.safetensors", "model/config.json",
                                       "checkpoints/step-00000001.h5", "reference.h5", "data.h5"};
    dpo_digest before[sizeof kept / sizeof kept[0]];
    int last = dpo_grid_size(grid, DPO_WORLD) - 1;
    char out[64];

    make_scratch(out);
    ASSERT_ALL(train_limited(grid, out, 0, 0) == DPO_OK);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        before[i] = digest_in(out, kept[i]);
    ASSERT_ALL(train_limited(grid, out, 100000, last) == DPO_EIO);
    ASSERT_ALL(strstr(dpo_last_error()->text, "model.safetensors: ") != NULL);
    remove_second_checkpoint(out);
    ASSERT_ALL(train_limited(grid, out, 100000, last) == DPO_EIO);
    ASSERT_ALL(strstr(dpo_last_error()->text, "step-00000002.h5: ") != NULL);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        ASSERT_ALL(dpo_digest_equal(digest_in(out, kept[i]), before[i]));
    remove_scratch(out);
}

static void what_was_whole_stays(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_old_files);
    assert_int_equal(n_wrong_runs, 0);
}

/* One line of a step that stays. */
static void write_long_metrics(const char *out, int n_bytes)
{
    char path[128];

    if (dpo_grid_rank(test_grid, DPO_WORLD) != 0) return;
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", out);
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    (void)fprintf(stream, "{\"step\": 1, \"note\": \"%0*d\"}\n", n_bytes, 0);
    assert_int_equal(fclose(stream), 0);
}

static void check_metrics(const dpo_grid *grid)
{
    enum { LONG = 200000 };
    char out[64];

    make_scratch(out);
    ASSERT_ALL(train_limited(grid, out, 0, 0) == DPO_OK);
    write_long_metrics(out, LONG);
    remove_second_checkpoint(out);
    ASSERT_ALL(train_limited(grid, out, LONG, 0) == DPO_EIO);
    ASSERT_ALL(strstr(dpo_last_error()->text, "metrics.jsonl: cannot be written") != NULL);
    ASSERT_ALL(train_limited(grid, out, 0, 0) == DPO_OK);
    remove_scratch(out);
}

static void metrics_that_cannot_be_written_end_the_run(void **state)
{
    (void)state;
    dpo_log_set_level(DPO_LOG_SILENT);
    on_every_grid(0, check_metrics);
    assert_int_equal(n_wrong_runs, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_failed_write_leaves_the_next_run_none_the_worse),
    cmocka_unit_test(what_was_whole_stays),
    cmocka_unit_test(metrics_that_cannot_be_written_end_the_run),
};

MPI_TEST_MAIN(tests)
