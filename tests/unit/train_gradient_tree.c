// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/gradient_tree.h"

#include "dpo/base/random.h"
#include "unit_test.h"

enum { N = 37, MAX_SHARDS = 16 };

static float shards[MAX_SHARDS][N];

static void fill(void)
{
    for (int s = 0; s < MAX_SHARDS; s++)
        for (int i = 0; i < N; i++)
            shards[s][i] = (float)dpo_random_normal(1, DPO_STREAM_TEST, (uint32_t)s, (uint64_t)i);
}

/* The definition. */
static float tree_sum(int begin, int end, int i)
{
    int middle = (begin + end) / 2;

    if (end - begin == 1) return shards[begin][i];
    return tree_sum(begin, middle, i) + tree_sum(middle, end, i);
}

static void add_all(dpo_gradient_tree *tree, int begin, int end, float *gradient)
{
    for (int s = begin; s < end; s++) {
        memcpy(gradient, shards[s], sizeof shards[s]);
        dpo_gradient_tree_add(tree, gradient);
    }
}

static void the_sum_runs_along_a_binary_tree(void **state)
{
    (void)state;
    fill();
    for (int n_shards = 1; n_shards <= MAX_SHARDS; n_shards *= 2) {
        dpo_gradient_tree *tree;
        float gradient[N];

        ASSERT_OK(dpo_gradient_tree_create(N, n_shards, &tree));
        for (int again = 0; again < 2; again++) {
            add_all(tree, 0, n_shards, gradient);
            for (int i = 0; i < N; i++)
                assert_true(gradient[i] == tree_sum(0, n_shards, i));
        }
        dpo_gradient_tree_destroy(&tree);
    }
}

/* In f32 the order shows: else the test above could not fail. */
static void another_order_gives_other_bits(void **state)
{
    (void)state;
    int n_other = 0;

    fill();
    for (int i = 0; i < N; i++) {
        float sum = 0.0f;

        for (int s = 0; s < MAX_SHARDS; s++)
            sum += shards[s][i];
        n_other += sum != tree_sum(0, MAX_SHARDS, i);
    }
    assert_true(n_other > 0);
}

static void memory_is_what_was_said(void **state)
{
    (void)state;
    dpo_gradient_tree *tree;
    int64_t before = dpo_memory_bytes();

    ASSERT_OK(dpo_gradient_tree_create(1000, 8, &tree));
    assert_in_range(dpo_memory_bytes() - before, dpo_gradient_tree_bytes(1000, 8),
                    dpo_gradient_tree_bytes(1000, 8) + 256);
    assert_int_equal(dpo_gradient_tree_bytes(1000, 8), 3 * 4000);
    dpo_gradient_tree_destroy(&tree);
    dpo_memory_fail_after(2);
    assert_int_equal(dpo_gradient_tree_create(1000, 8, &tree), DPO_ENOMEM);
    assert_null(tree);
    dpo_memory_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(the_sum_runs_along_a_binary_tree),
        UNIT_TEST(another_order_gives_other_bits),
        UNIT_TEST(memory_is_what_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
