// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/memory.h"
#include "unit_test.h"

static const int64_t sizes[] = {0, 1, 63, 64, 65, 4096, (1 << 20) - 64, 1 << 20, (9 << 20) + 3};

enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

static void blocks_of_every_size_are_aligned_and_zero(void **state)
{
    (void)state;
    for (int i = 0; i < N_SIZES; i++) {
        unsigned char *block;
        int64_t n_set = 0;

        ASSERT_OK(DPO_NEW(block, sizes[i]));
        assert_int_equal((uintptr_t)block % 64, 0);
        for (int64_t j = 0; j < sizes[i]; j++)
            n_set += block[j] != 0;
        assert_int_equal(n_set, 0);
        memset(block, 0xA5, (size_t)sizes[i]);
        dpo_free(block);
    }
}

static void blocks_and_bytes_are_counted_until_freed(void **state)
{
    (void)state;
    int64_t count = dpo_memory_count();
    int64_t bytes = dpo_memory_bytes();
    void *block[N_SIZES];

    for (int i = 0; i < N_SIZES; i++) {
        block[i] = dpo_memory_get(sizes[i], 1);
        assert_non_null(block[i]);
        assert_int_equal(dpo_memory_outstanding(), i + 1);
        assert_true(dpo_memory_bytes() >= bytes + sizes[i]);
    }
    assert_int_equal(dpo_memory_count(), count + N_SIZES);
    for (int i = 0; i < N_SIZES; i++)
        dpo_free(block[i]);
    assert_int_equal(dpo_memory_outstanding(), 0);
    assert_int_equal(dpo_memory_bytes(), bytes);
    assert_int_equal(dpo_memory_count(), count + N_SIZES);
}

static void resizing_keeps_the_beginning_and_clears_the_rest(void **state)
{
    (void)state;
    for (int from = 0; from < N_SIZES; from++)
        for (int to = 0; to < N_SIZES; to++) {
            unsigned char *block;
            int64_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
            int64_t n_wrong = 0;

            ASSERT_OK(DPO_NEW(block, sizes[from]));
            memset(block, 7, (size_t)sizes[from]);
            block = dpo_memory_resize(block, sizes[to], 1);
            assert_non_null(block);
            for (int64_t i = 0; i < sizes[to]; i++)
                n_wrong += block[i] != (i < kept ? 7 : 0);
            assert_int_equal(n_wrong, 0);
            assert_int_equal(dpo_memory_outstanding(), 1);
            dpo_free(block);
        }
}

static void a_failed_resize_leaves_the_block(void **state)
{
    (void)state;
    char *text;

    ASSERT_OK(dpo_text_copy("kept", &text));
    dpo_memory_fail_after(1);
    assert_null(dpo_memory_resize(text, 100, 1));
    assert_string_equal(text, "kept");
    dpo_free(text);
}

static void the_nth_allocation_fails_once(void **state)
{
    (void)state;
    void *block[4];

    dpo_memory_fail_after(3);
    for (int i = 0; i < 4; i++)
        block[i] = dpo_memory_get(1, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(block[i] == NULL, i == 2);
        dpo_free(block[i]);
    }
}

static void the_countdown_can_be_switched_off(void **state)
{
    (void)state;
    char *text;

    dpo_memory_fail_after(1);
    dpo_memory_fail_after(0);
    ASSERT_OK(dpo_text_copy("", &text));
    dpo_free(text);
}

static void no_memory_is_a_failure_that_says_how_much(void **state)
{
    (void)state;
    double *block;

    dpo_memory_fail_after(1);
    ASSERT_FAILS(DPO_NEW(block, 393216), DPO_ENOMEM, "no 3.0 MiB more");
    assert_null(block);
}

static void a_size_beyond_the_address_space_is_refused(void **state)
{
    (void)state;
    assert_null(dpo_memory_get(INT64_MAX, 8));
    assert_null(dpo_memory_get(INT64_MAX / 8, 8));
}

static void freeing_nothing_is_allowed(void **state)
{
    (void)state;
    int64_t outstanding = dpo_memory_outstanding();

    dpo_free(NULL);
    assert_int_equal(dpo_memory_outstanding(), outstanding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(blocks_of_every_size_are_aligned_and_zero),
        UNIT_TEST(blocks_and_bytes_are_counted_until_freed),
        UNIT_TEST(resizing_keeps_the_beginning_and_clears_the_rest),
        UNIT_TEST(a_failed_resize_leaves_the_block),
        UNIT_TEST(the_nth_allocation_fails_once),
        UNIT_TEST(the_countdown_can_be_switched_off),
        UNIT_TEST(no_memory_is_a_failure_that_says_how_much),
        UNIT_TEST(a_size_beyond_the_address_space_is_refused),
        UNIT_TEST(freeing_nothing_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
