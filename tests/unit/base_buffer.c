// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/buffer.h"
#include "unit_test.h"

static void an_empty_buffer_is_an_empty_text(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};

    assert_string_equal(dpo_buffer_text(&buffer), "");
    ASSERT_OK(dpo_buffer_append(&buffer, NULL, 0));
    assert_string_equal(dpo_buffer_text(&buffer), "");
    dpo_buffer_destroy(&buffer);
}

static void pieces_join_to_one_text(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};

    ASSERT_OK(dpo_buffer_append_text(&buffer, "step "));
    ASSERT_OK(dpo_buffer_printf(&buffer, "%d of %s", 7, "many"));
    ASSERT_OK(dpo_buffer_append(&buffer, "!?", 1));
    assert_string_equal(dpo_buffer_text(&buffer), "step 7 of many!");
    assert_int_equal(buffer.size_bytes, 15);
    dpo_buffer_destroy(&buffer);
}

/* Growth over several capacities; the text is terminated at every length. */
static void every_length_is_terminated_and_whole(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};

    for (int64_t i = 0; i < 1000; i++) {
        char next = (char)('a' + i % 26);

        ASSERT_OK(dpo_buffer_append(&buffer, &next, 1));
        assert_int_equal(strlen(dpo_buffer_text(&buffer)), i + 1);
        assert_true(buffer.size_bytes < buffer.capacity_bytes);
    }
    for (int64_t i = 0; i < 1000; i++)
        assert_int_equal(dpo_buffer_text(&buffer)[i], 'a' + i % 26);
    dpo_buffer_destroy(&buffer);
}

static void null_appends_zeros(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};
    const int64_t *item;

    ASSERT_OK(dpo_buffer_append(&buffer, NULL, 20 * (int64_t)sizeof *item));
    item = buffer.data;
    assert_int_equal((uintptr_t)item % 64, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(item[i], 0);
    dpo_buffer_destroy(&buffer);
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};
    int64_t count;

    ASSERT_OK(dpo_buffer_append_text(&buffer, "something"));
    count = dpo_memory_count();
    dpo_buffer_clear(&buffer);
    assert_string_equal(dpo_buffer_text(&buffer), "");
    ASSERT_OK(dpo_buffer_append_text(&buffer, "another"));
    assert_int_equal(dpo_memory_count(), count);
    assert_string_equal(dpo_buffer_text(&buffer), "another");
    dpo_buffer_destroy(&buffer);
}

static void a_failed_append_changes_nothing(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};
    char long_text[200] = {0};

    memset(long_text, 'x', sizeof long_text - 1);
    ASSERT_OK(dpo_buffer_append_text(&buffer, "kept"));
    dpo_memory_fail_after(1);
    assert_int_equal(dpo_buffer_append_text(&buffer, long_text), DPO_ENOMEM);
    dpo_memory_fail_after(1);
    assert_int_equal(dpo_buffer_printf(&buffer, "%s", long_text), DPO_ENOMEM);
    assert_string_equal(dpo_buffer_text(&buffer), "kept");
    dpo_buffer_destroy(&buffer);
}

/* More than one of the pieces in which files are read. */
static void a_file_is_appended_whole(void **state)
{
    (void)state;
    enum { N_BYTES = (1 << 16) * 3 + 17 };
    const char *path = "base_buffer.tmp";
    FILE *stream = fopen(path, "wb");
    dpo_buffer buffer = {0};

    assert_non_null(stream);
    for (int i = 0; i < N_BYTES; i++)
        assert_int_not_equal(fputc(i % 251, stream), EOF);
    assert_int_equal(fclose(stream), 0);
    ASSERT_OK(dpo_buffer_append_text(&buffer, "head"));
    ASSERT_OK(dpo_buffer_append_file(&buffer, path));
    assert_int_equal(remove(path), 0);
    assert_int_equal(buffer.size_bytes, N_BYTES + 4);
    for (int i = 0; i < N_BYTES; i++)
        assert_int_equal(((unsigned char *)buffer.data)[i + 4], i % 251);
    dpo_buffer_destroy(&buffer);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};

    ASSERT_FAILS(dpo_buffer_append_file(&buffer, "there/is/none"), DPO_EIO,
                 "there/is/none: cannot be opened");
    dpo_buffer_destroy(&buffer);
}

static void a_folder_is_no_file(void **state)
{
    (void)state;
    dpo_buffer buffer = {0};

    ASSERT_FAILS(dpo_buffer_append_file(&buffer, "."), DPO_EIO, "cannot be read");
    dpo_buffer_destroy(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(an_empty_buffer_is_an_empty_text),
        UNIT_TEST(pieces_join_to_one_text),
        UNIT_TEST(every_length_is_terminated_and_whole),
        UNIT_TEST(null_appends_zeros),
        UNIT_TEST(clearing_keeps_the_memory),
        UNIT_TEST(a_failed_append_changes_nothing),
        UNIT_TEST(a_file_is_appended_whole),
        UNIT_TEST(a_missing_file_is_named),
        UNIT_TEST(a_folder_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
