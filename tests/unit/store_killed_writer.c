// SPDX-License-Identifier: Apache-2.0

/*
 * A writer that rewrites one file over and over is killed at random moments. Each time, the file under its
 * final name is whole. Writer and reader are children: only they start MPI, as programs of one rank.
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dpo/comm/runtime.h"
#include "dpo/store/h5file.h"
#include "dpo/store/publish.h"
#include "unit_test.h"

enum { N_ROUNDS = 5, N_VALUES = 1 << 20 };

static char folder[] = "/tmp/mpidpo-killed-XXXXXX";
static char path[128];

static dpo_status write_version(const dpo_grid *grid, int64_t version, int64_t *values)
{
    const dpo_h5_dataset dataset = {"value", DPO_H5_I64, 1, {N_VALUES}};
    const dpo_h5_layout layout = {DPO_H5_SEALED, 1, &dataset, 0, NULL};
    dpo_h5_file *file;

    for (int64_t i = 0; i < N_VALUES; i++)
        values[i] = version + i;
    DPO_TRY(dpo_h5_create(grid, path, &layout, &file));
    return dpo_h5_publish(grid, dpo_h5_write(file, 0, 0, N_VALUES, values), &file);
}

/* Tells of its first file, then writes until it is killed. */
static int write_for_ever(const dpo_grid *grid, int told)
{
    int64_t *values;

    if (DPO_NEW(values, N_VALUES) != DPO_OK) return 1;
    for (int64_t version = 1;; version++) {
        if (write_version(grid, version << 32, values) != DPO_OK) return 1;
        if (version == 1 && write(told, "1", 1) != 1) return 1;
    }
}

static dpo_status read_whole(const dpo_grid *grid, int64_t *values)
{
    dpo_h5_file *file;

    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_READ, &file));
    dpo_status status = dpo_h5_verify(grid, file);

    if (status == DPO_OK) status = dpo_h5_read(file, 0, 0, N_VALUES, values);
    dpo_h5_close(&file);
    return status;
}

static int check_file(const dpo_grid *grid, int told)
{
    int64_t *values;
    int64_t n_wrong = 0;

    (void)told;
    if (DPO_NEW(values, N_VALUES) != DPO_OK || read_whole(grid, values) != DPO_OK) return 1;
    for (int64_t i = 0; i < N_VALUES; i++)
        n_wrong += values[i] != values[0] + i;
    return n_wrong != 0 || values[0] == 0;
}

static pid_t start(int (*work)(const dpo_grid *, int), int told)
{
    char program[] = "test";
    char *argv[] = {program, NULL};
    char **args = argv;
    int argc = 1;
    dpo_grid *grid;
    pid_t child = fork();

    if (child != 0) return child;
    dpo_runtime_begin(&argc, &args);
    int code = dpo_grid_create(1, &grid) != DPO_OK ? 1 : work(grid, told);

    if (code != 0) (void)fprintf(stderr, "%s\n", dpo_last_error()->text);
    dpo_runtime_end();
    _exit(code);
}

static int64_t count_files(void)
{
    dpo_buffer names = {0};
    int64_t n;

    ASSERT_OK(dpo_folder_list(folder, "", "", &names, &n));
    dpo_buffer_destroy(&names);
    return n;
}

/* The round number chooses the moment within the few milliseconds that one file takes. */
static void kill_one_writer(int round)
{
    const struct timespec moment = {0, 1000000L + 3700000L * round};
    int ends[2];
    char byte;
    int code;

    assert_int_equal(pipe(ends), 0);
    pid_t writer = start(write_for_ever, ends[1]);

    assert_true(writer > 0);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)nanosleep(&moment, NULL);
    assert_int_equal(kill(writer, SIGKILL), 0);
    assert_int_equal(waitpid(writer, &code, 0), writer);
    assert_true(WIFSIGNALED(code));
    assert_true(close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void the_file_is_whole_whenever_its_writer_is_killed(void **state)
{
    (void)state;
    int64_t n_leftovers = 0;

    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/a.h5", folder);
    for (int round = 0; round < N_ROUNDS; round++) {
        int64_t n;
        int code;

        kill_one_writer(round);
        pid_t reader = start(check_file, -1);

        assert_int_equal(waitpid(reader, &code, 0), reader);
        assert_int_equal(code, 0);
        ASSERT_OK(dpo_folder_clean(folder, &n));
        n_leftovers += n;
        assert_int_equal(count_files(), 1);
    }
    assert_true(n_leftovers > 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(the_file_is_whole_whenever_its_writer_is_killed),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
