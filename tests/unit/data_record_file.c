// SPDX-License-Identifier: Apache-2.0
#include "../../src/data/record_file.h"

#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "unit_test.h"

static char path[] = "record_file_XXXXXX";

static void write_plain(const char *text)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void write_gzip(const char *text, const char *mode)
{
    gzFile file = gzopen(path, mode);

    assert_non_null(file);
    assert_int_equal(gzwrite(file, text, (unsigned)strlen(text)), (int)strlen(text));
    assert_int_equal(gzclose(file), Z_OK);
}

/* Lists the records in n_parts ranges of the file, one behind the other: "line:text;line:text;". */
static dpo_status list_in_parts(int n_parts, dpo_buffer *listing)
{
    record_file file;
    int64_t lines_before = 0;
    dpo_status status = record_file_open(path, &file);

    for (int p = 0; p < n_parts && status == DPO_OK; p++) {
        dpo_buffer records = {0};
        int64_t n_lines;

        status = record_file_list(&file, dpo_range_of_part(file.n_bytes, n_parts, p), &records,
                                  &n_lines);
        for (int64_t i = 0; i < records.size_bytes / (int64_t)sizeof(record); i++) {
            const record *r = (const record *)records.data + i;

            ASSERT_OK(dpo_buffer_printf(listing, "%lld:%.*s;", (long long)(lines_before + r->line),
                                        (int)r->n_bytes, file.text + r->begin));
        }
        lines_before += n_lines;
        dpo_buffer_destroy(&records);
    }
    record_file_close(&file);
    return status;
}

static void assert_lists(const char *want)
{
    for (int n_parts = 1; n_parts <= 40; n_parts++) {
        dpo_buffer listing = {0};

        ASSERT_OK(list_in_parts(n_parts, &listing));
        assert_string_equal(dpo_buffer_text(&listing), want);
        dpo_buffer_destroy(&listing);
    }
}

static void lines_are_the_same_in_any_number_of_parts(void **state)
{
    (void)state;
    write_plain("{\"a\"}\n\n  \n{\"bb\"}\r\n{\"c\"}  \n\t\n{\"last\"}");
    assert_lists("0:{\"a\"};3:{\"bb\"};4:{\"c\"};6:{\"last\"};");
    write_plain("\xef\xbb\xbf{\"a\"}\n");
    assert_lists("0:{\"a\"};");
    write_plain("");
    assert_lists("");
    write_plain("\n\n");
    assert_lists("");
}

static void items_of_an_array_are_the_same_in_any_number_of_parts(void **state)
{
    (void)state;
    write_plain(" [\n {\"a\": [1, 2]},{\"b\": \"],[\\\"\"}\n,\n\n{}]\n");
    assert_lists("1:{\"a\": [1, 2]};1:{\"b\": \"],[\\\"\"}\n;4:{};");
    write_plain("[]");
    assert_lists("");
}

static void gzip_files_are_unpacked(void **state)
{
    (void)state;
    write_gzip("{\"a\"}\n{\"b\"}\n", "wb");
    write_gzip("{\"c\"}\n", "ab");
    assert_lists("0:{\"a\"};1:{\"b\"};2:{\"c\"};");
}

static void assert_refused(dpo_status kind, const char *part)
{
    dpo_buffer listing = {0};

    ASSERT_FAILS(list_in_parts(1, &listing), kind, part);
    dpo_buffer_destroy(&listing);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    static const char *const arrays[] = {"[", "[{}", "[{},", "[{},]", "[{}] x", "[{}}]", "[\"a]"};

    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        write_plain(arrays[i]);
        assert_refused(DPO_EDATA, "line 1");
    }
    write_gzip("{\"a\"}\n{\"b\"}\n{\"some more text that has to be there\"}\n", "wb");
    assert_int_equal(truncate(path, 40), 0);
    assert_refused(DPO_EDATA, "damaged gzip data");
}

static void absent_files_and_folders_are_refused(void **state)
{
    (void)state;
    record_file file;

    ASSERT_FAILS(record_file_open("/nonexistent/x.jsonl", &file), DPO_EIO, "/nonexistent/x.jsonl");
    ASSERT_FAILS(record_file_open("/", &file), DPO_EIO, "not a file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(lines_are_the_same_in_any_number_of_parts),
        UNIT_TEST(items_of_an_array_are_the_same_in_any_number_of_parts),
        UNIT_TEST(gzip_files_are_unpacked),
        UNIT_TEST(damaged_files_are_refused),
        UNIT_TEST(absent_files_and_folders_are_refused),
    };
    int descriptor = mkstemp(path);

    if (descriptor < 0 || close(descriptor) != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    return remove(path) != 0 || failed;
}
