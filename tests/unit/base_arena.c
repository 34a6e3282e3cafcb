// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/arena.h"
#include "unit_test.h"

typedef struct {
    double *a;
    char *b;
    int32_t *c;
    char *empty;
} layout;

static layout lay_out(dpo_arena *arena)
{
    layout of;

    of.a = dpo_arena_take(arena, 3, sizeof *of.a);
    of.b = dpo_arena_take(arena, 1, sizeof *of.b);
    of.empty = dpo_arena_take(arena, 0, sizeof *of.empty);
    of.c = dpo_arena_take(arena, 100, sizeof *of.c);
    return of;
}

static void what_was_measured_fits(void **state)
{
    (void)state;
    dpo_arena arena = {0};
    layout of = lay_out(&arena);
    int64_t need = arena.used_bytes;

    assert_null(of.a);
    assert_null(of.c);
    assert_int_equal(need, 64 + 64 + 0 + 448);
    ASSERT_OK(dpo_arena_create(need, &arena));
    of = lay_out(&arena);
    assert_int_equal(arena.used_bytes, arena.capacity_bytes);
    memset(of.a, 1, 3 * sizeof *of.a);
    *of.b = 2;
    memset(of.c, 3, 100 * sizeof *of.c);
    assert_int_equal(((char *)of.a)[23], 1);
    assert_int_equal(*of.b, 2);
    dpo_arena_destroy(&arena);
}

static void what_is_handed_out_is_aligned_and_disjoint(void **state)
{
    (void)state;
    dpo_arena arena;
    layout of;

    ASSERT_OK(dpo_arena_create(1024, &arena));
    of = lay_out(&arena);
    assert_int_equal((uintptr_t)of.a % 64, 0);
    assert_int_equal((uintptr_t)of.b % 64, 0);
    assert_int_equal((uintptr_t)of.c % 64, 0);
    assert_true((char *)(of.a + 3) <= of.b);
    assert_true(of.b + 1 <= (char *)of.c);
    dpo_arena_destroy(&arena);
}

static void a_reset_arena_hands_out_the_same_again(void **state)
{
    (void)state;
    dpo_arena arena;

    ASSERT_OK(dpo_arena_create(1024, &arena));
    layout first = lay_out(&arena);

    dpo_arena_reset(&arena);
    assert_int_equal(arena.used_bytes, 0);
    layout second = lay_out(&arena);

    assert_ptr_equal(first.a, second.a);
    assert_ptr_equal(first.c, second.c);
    dpo_arena_destroy(&arena);
}

static void a_destroyed_arena_measures(void **state)
{
    (void)state;
    dpo_arena arena;

    ASSERT_OK(dpo_arena_create(64, &arena));
    dpo_arena_destroy(&arena);
    assert_null(dpo_arena_take(&arena, 1000, 1000));
    assert_true(arena.used_bytes >= 1000000);
}

static void an_arena_without_memory_is_zero(void **state)
{
    (void)state;
    dpo_arena arena;

    dpo_memory_fail_after(1);
    assert_int_equal(dpo_arena_create(64, &arena), DPO_ENOMEM);
    assert_null(arena.base);
    assert_int_equal(arena.capacity_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(what_was_measured_fits),
        UNIT_TEST(what_is_handed_out_is_aligned_and_disjoint),
        UNIT_TEST(a_reset_arena_hands_out_the_same_again),
        UNIT_TEST(a_destroyed_arena_measures),
        UNIT_TEST(an_arena_without_memory_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
