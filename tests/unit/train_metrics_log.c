// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <unistd.h>

#include "dpo/train/metrics_log.h"
#include "unit_test.h"

static char path[] = "/tmp/mpidpo-metrics.XXXXXX";

static void write_file(const char *text)
{
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static void assert_file_is(const char *text)
{
    dpo_buffer got = {0};

    ASSERT_OK(dpo_buffer_append_file(&got, path));
    assert_string_equal(dpo_buffer_text(&got), text);
    dpo_buffer_destroy(&got);
}

static void lines_of_steps_that_will_be_done_again_go(void **state)
{
    (void)state;
    FILE *stream;

    write_file("{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n");
    ASSERT_OK(dpo_metrics_log_open(path, 2, &stream));
    assert_int_equal(fclose(stream), 0);
    assert_file_is("{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n");
}

static void a_line_that_was_cut_off_goes(void **state)
{
    (void)state;
    FILE *stream;

    write_file("{\"step\":1}\n{\"step\":2,\"lo");
    ASSERT_OK(dpo_metrics_log_open(path, 9, &stream));
    assert_int_equal(fclose(stream), 0);
    assert_file_is("{\"step\":1}\n");
}

static void records_are_appended(void **state)
{
    (void)state;
    FILE *stream;
    dpo_json *record;

    write_file("{\"step\":1}\n");
    ASSERT_OK(dpo_json_new_object(&record));
    ASSERT_OK(dpo_json_put_int(record, "step", 2));
    ASSERT_OK(dpo_metrics_log_open(path, 1, &stream));
    ASSERT_OK(dpo_metrics_log_write(stream, path, record));
    assert_file_is("{\"step\":1}\n{\"step\":2}\n");
    assert_int_equal(fclose(stream), 0);
    dpo_json_destroy(&record);
}

static void a_folder_that_is_not_there_is_refused_by_name(void **state)
{
    (void)state;
    FILE *stream;

    ASSERT_FAILS(dpo_metrics_log_open("/nowhere/metrics.jsonl", 0, &stream), DPO_EIO,
                 "/nowhere/metrics.jsonl");
    assert_null(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(lines_of_steps_that_will_be_done_again_go),
        UNIT_TEST(a_line_that_was_cut_off_goes),
        UNIT_TEST(records_are_appended),
        UNIT_TEST(a_folder_that_is_not_there_is_refused_by_name),
    };
    int descriptor = mkstemp(path);
    int failed = descriptor < 0;

    if (!failed) failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)close(descriptor);
    (void)unlink(path);
    return failed;
}
