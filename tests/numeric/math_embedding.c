// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/embedding.h"

#include "dpo/math/rows.h"
#include "math_test.h"

enum { N = 2000, D = 19, V = 30 }; /* enough for several threads */

static void random_tokens(int32_t *token)
{
    for (int n = 0; n < N; n++)
        token[n] = (int32_t)(dpo_random_bits(1, DPO_STREAM_TEST, 0, (uint64_t)n) % V);
}

static void forward_takes_rows(void **state)
{
    (void)state;
    float *table = random_f32(V * D, 1, 1.0), *y = zeros_f32(N * D);
    int32_t token[N];

    random_tokens(token);
    ASSERT_NO_ALLOCATION(dpo_embedding_forward(N, D, (dpo_range){0, V}, token, table, y));
    for (int n = 0; n < N; n++)
        ASSERT_SAME_BITS(D, y + n * D, table + token[n] * D);
    dpo_free(table);
    dpo_free(y);
}

/* Linear in the table, so the gradient is the sum of dy over the tokens of a row, added to the old one. */
static void backward_adds_rows_in_the_order_of_tokens(void **state)
{
    (void)state;
    float *dy = random_f32(N * D, 1, 1.0), *got = random_f32(V * D, 2, 1.0);
    float *want = copy_f32(V * D, got);
    int32_t token[N];

    random_tokens(token);
    for (int n = 0; n < N; n++)
        for (int d = 0; d < D; d++)
            want[token[n] * D + d] += dy[n * D + d];
    ASSERT_NO_ALLOCATION(dpo_embedding_backward(N, D, (dpo_range){0, V}, token, dy, got));
    ASSERT_SAME_BITS(V * D, got, want);
    dpo_free(dy);
    dpo_free(got);
    dpo_free(want);
}

/* Two halves of the vocabulary: outputs add up, gradients lie one behind the other. */
static void parts_of_the_vocabulary_make_the_whole(void **state)
{
    (void)state;
    enum { CUT = 11 };
    float *table = random_f32(V * D, 1, 1.0), *dy = random_f32(N * D, 2, 1.0);
    float *whole = zeros_f32(N * D), *low = zeros_f32(N * D), *high = zeros_f32(N * D);
    float *dwhole = zeros_f32(V * D), *dparts = zeros_f32(V * D);
    dpo_range all = {0, V}, first = {0, CUT}, last = {CUT, V};
    int32_t token[N];

    random_tokens(token);
    dpo_embedding_forward(N, D, all, token, table, whole);
    dpo_embedding_forward(N, D, first, token, table, low);
    dpo_embedding_forward(N, D, last, token, table + CUT * D, high);
    for (int i = 0; i < N * D; i++)
        low[i] += high[i];
    ASSERT_SAME_BITS(N * D, low, whole);
    dpo_embedding_backward(N, D, all, token, dy, dwhole);
    dpo_embedding_backward(N, D, first, token, dy, dparts);
    dpo_embedding_backward(N, D, last, token, dy, dparts + CUT * D);
    ASSERT_SAME_BITS(V * D, dparts, dwhole);
    void *arrays[] = {table, dy, whole, low, high, dwhole, dparts};
    for (int a = 0; a < 7; a++)
        dpo_free(arrays[a]);
}

static void rows_are_gathered_and_added_back(void **state)
{
    (void)state;
    enum { R = 8 };
    static const int64_t row[R] = {3, 3, 0, 5, 3, 9, 0, 1};
    float *x = random_f32(10 * D, 1, 1.0), *y = zeros_f32(R * D), *dx = random_f32(10 * D, 2, 1.0);
    float *want = copy_f32(10 * D, dx);

    ASSERT_NO_ALLOCATION(dpo_rows_gather(DPO_F32, R, D, row, x, y));
    for (int r = 0; r < R; r++)
        ASSERT_SAME_BITS(D, y + r * D, x + row[r] * D);
    ASSERT_NO_ALLOCATION(dpo_rows_scatter_add(DPO_F32, R, D, row, (dpo_range){0, 4}, y, dx));
    ASSERT_NO_ALLOCATION(
        dpo_rows_scatter_add(DPO_F32, R, D, row, (dpo_range){4, 10}, y, dx + 4 * D));
    for (int r = 0; r < R; r++)
        for (int d = 0; d < D; d++)
            want[row[r] * D + d] += y[r * D + d];
    ASSERT_SAME_BITS(10 * D, dx, want);
    void *arrays[] = {x, y, dx, want};
    for (int a = 0; a < 4; a++)
        dpo_free(arrays[a]);
}

/* Every sum is rounded, in the order of the list. */
static void rows_in_bf16_are_gathered_and_added_back(void **state)
{
    (void)state;
    enum { R = 5, WIDE = 1100, ROWS = 4 };
    static const int64_t row[R] = {3, 3, 0, 1, 3};
    float *x = random_f32(ROWS * WIDE, 1, 1.0), *dx = random_f32(ROWS * WIDE, 2, 1.0);
    uint16_t *stored = share_bf16(ROWS * WIDE, x), *sums = share_bf16(ROWS * WIDE, dx), *y;

    ASSERT_OK(DPO_NEW(y, R * WIDE));
    ASSERT_NO_ALLOCATION(dpo_rows_gather(DPO_BF16, R, WIDE, row, stored, y));
    for (int r = 0; r < R; r++)
        ASSERT_SAME_BITS(WIDE, y + r * WIDE, stored + row[r] * WIDE);
    ASSERT_NO_ALLOCATION(
        dpo_rows_scatter_add(DPO_BF16, R, WIDE, row, (dpo_range){0, ROWS}, y, sums));
    for (int r = 0; r < R; r++)
        for (int d = 0; d < WIDE; d++) {
            float *sum = &dx[row[r] * WIDE + d];

            *sum = dpo_f32_from_bf16(dpo_bf16_from_f32(*sum + x[row[r] * WIDE + d]));
        }
    assert_rounded(ROWS * WIDE, sums, dx);
    void *arrays[] = {x, dx, stored, sums, y};
    for (int a = 0; a < 5; a++)
        dpo_free(arrays[a]);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(forward_takes_rows),
    UNIT_TEST(backward_adds_rows_in_the_order_of_tokens),
    UNIT_TEST(parts_of_the_vocabulary_make_the_whole),
    UNIT_TEST(rows_are_gathered_and_added_back),
    UNIT_TEST(rows_in_bf16_are_gathered_and_added_back),
};

MATH_TEST_MAIN(tests)
