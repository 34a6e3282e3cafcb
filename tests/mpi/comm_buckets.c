// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include "dpo/base/random.h"
#include "dpo/comm/buckets.h"
#include "mpi_test.h"
#include "tree_reference.h"

static const dpo_transport_kind kinds[] = {DPO_TRANSPORT_AUTO, DPO_TRANSPORT_SHARED,
                                           DPO_TRANSPORT_MESSAGES};
enum { N_KINDS = sizeof kinds / sizeof kinds[0], LEAST_BUCKET = 1 };

static dpo_buckets *buckets_of(const dpo_grid *grid, int64_t n, dpo_transport_kind kind,
                               int64_t bucket_bytes, bool bf16)
{
    dpo_buckets_options options = {kind, bucket_bytes, bf16};
    dpo_buckets *buckets;

    ASSERT_OK(dpo_buckets_create(grid, DPO_DATA, n, &options, &buckets));
    return buckets;
}

static float *new_addends(const dpo_grid *grid, int64_t n)
{
    float *values;

    ASSERT_OK(DPO_NEW(values, n));
    for (int64_t i = 0; i < n; i++)
        values[i] = addend_of(dpo_grid_rank(grid, DPO_DATA), i);
    return values;
}

static float *new_tree_sums(const dpo_grid *grid, int64_t n)
{
    float *sums;

    ASSERT_OK(DPO_NEW(sums, n));
    for (int64_t i = 0; i < n; i++)
        sums[i] = tree_of(0, dpo_grid_size(grid, DPO_DATA), i);
    return sums;
}

static int64_t count_wrong_owned(const dpo_buckets *buckets, const float *values, const float *want)
{
    const dpo_shard *shard = dpo_buckets_shard(buckets);
    int64_t n_wrong = 0;

    for (int64_t r = 0; r < shard->n_ranges; r++)
        for (int64_t i = shard->range[r].begin; i < shard->range[r].end; i++)
            n_wrong += values[i] != want[i];
    return n_wrong;
}

/* Makes values ready from the end to the beginning in steps of any length, now and then with a pause. */
static void run_backward(dpo_buckets *buckets, int64_t n, float *values, uint64_t seed)
{
    dpo_buckets_begin(buckets, values);
    for (int64_t begin = n, step = 0; begin > 0; step++) {
        uint64_t bits = dpo_random_bits(
            seed, DPO_STREAM_TEST, (uint32_t)dpo_grid_rank(test_grid, DPO_WORLD), (uint64_t)step);

        begin -= (int64_t)(bits % 60000);
        dpo_buckets_ready(buckets, begin > 0 ? begin : 0);
        if (bits >> 62 == 0) (void)sched_yield();
    }
    dpo_buckets_end(buckets);
}

static void check_lengths(const dpo_grid *grid)
{
    static const int64_t lengths[] = {0, 1, 4096, 12289, 200000};

    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        int64_t n = lengths[l];
        float *want = new_tree_sums(grid, n);

        for (int k = 0; k < N_KINDS; k++) {
            dpo_buckets *buckets = buckets_of(grid, n, kinds[k], LEAST_BUCKET, false);
            float *values = new_addends(grid, n);
            int64_t n_wrong = 0;

            run_backward(buckets, n, values, (uint64_t)n);
            n_wrong += count_wrong_owned(buckets, values, want);
            dpo_buckets_gather(buckets, values);
            for (int64_t i = 0; i < n; i++)
                n_wrong += values[i] != want[i];
            dpo_free(values);
            dpo_buckets_destroy(&buckets);
            ASSERT_ALL(n_wrong == 0);
        }
        dpo_free(want);
    }
}

static void sums_are_the_same_tree_on_one_node(void **state)
{
    (void)state;
    on_every_grid(0, check_lengths);
}

static void sums_are_the_same_tree_between_nodes(void **state)
{
    (void)state;
    on_every_grid(1, check_lengths);
}

static void sums_are_the_same_tree_on_nodes_of_two(void **state)
{
    (void)state;
    on_every_grid(2, check_lengths);
}

/* Of 8 ranks one node has 5 and one 3: groups of one. Of 4 ranks all are on one node. */
static void sums_are_the_same_tree_on_uneven_nodes(void **state)
{
    (void)state;
    on_every_grid(5, check_lengths);
}

/* Of 8 ranks one node has 6 and one 2: groups of two. */
static void sums_are_the_same_tree_on_nodes_of_six_and_two(void **state)
{
    (void)state;
    on_every_grid(6, check_lengths);
}

/* Eight addends are dealt to the ranks, neighbours together: 1, 2, 4 and 8 ranks end with the same bits. */
static void check_eight_addends(const dpo_grid *grid)
{
    enum { N = 20000, N_ADDENDS = 8 };
    int each = N_ADDENDS / dpo_grid_size(grid, DPO_DATA);
    int first = dpo_grid_rank(grid, DPO_DATA) * each;
    dpo_buckets *buckets = buckets_of(grid, N, DPO_TRANSPORT_AUTO, 0, false);
    float *values = new_addends(grid, N);
    int64_t n_wrong = 0;

    for (int64_t i = 0; i < N; i++)
        values[i] = tree_of(first, first + each, i);
    run_backward(buckets, N, values, 1);
    dpo_buckets_gather(buckets, values);
    for (int64_t i = 0; i < N; i++)
        n_wrong += values[i] != tree_of(0, N_ADDENDS, i);
    dpo_free(values);
    dpo_buckets_destroy(&buckets);
    ASSERT_ALL(n_wrong == 0);
}

static void the_number_of_ranks_does_not_change_the_bits(void **state)
{
    (void)state;
    on_every_grid(0, check_eight_addends);
    on_every_grid(2, check_eight_addends);
}

/* A step of training: two sums and two gathers in a row, with the same buckets, and nothing is allocated. */
static void check_repeated(const dpo_grid *grid)
{
    enum { N = 150000, N_TIMES = 3 };
    float *want = new_tree_sums(grid, N);

    for (int k = 0; k < N_KINDS; k++) {
        dpo_buckets *buckets = buckets_of(grid, N, kinds[k], LEAST_BUCKET, false);
        float *values = new_addends(grid, N);
        int64_t n_allocated = dpo_memory_count();
        int64_t n_wrong = 0;

        for (int t = 0; t < N_TIMES; t++) {
            for (int64_t i = 0; i < N; i++)
                values[i] = addend_of(dpo_grid_rank(grid, DPO_DATA), i);
            run_backward(buckets, N, values, (uint64_t)t);
            n_wrong += count_wrong_owned(buckets, values, want);
            dpo_buckets_gather(buckets, values);
            dpo_buckets_gather(buckets, values);
            for (int64_t i = 0; i < N; i++)
                n_wrong += values[i] != want[i];
        }
        n_allocated -= dpo_memory_count();
        dpo_free(values);
        dpo_buckets_destroy(&buckets);
        ASSERT_ALL(n_wrong == 0 && n_allocated == 0);
    }
    dpo_free(want);
}

static void steps_follow_each_other_without_allocating(void **state)
{
    (void)state;
    on_every_grid(0, check_repeated);
    on_every_grid(2, check_repeated);
}

/* Rank 0 says ready before any other rank has begun, and the others before rank 0 ends. */
static void check_not_waiting(const dpo_grid *grid)
{
    enum { N = 200000 };

    for (int k = 0; k < N_KINDS; k++) {
        dpo_buckets *buckets = buckets_of(grid, N, kinds[k], LEAST_BUCKET, false);
        float *values = new_addends(grid, N);
        bool is_first = dpo_grid_rank(grid, DPO_WORLD) == 0;

        if (!is_first) dpo_barrier(grid, DPO_WORLD);
        dpo_buckets_begin(buckets, values);
        dpo_buckets_ready(buckets, 0);
        if (is_first) dpo_barrier(grid, DPO_WORLD);
        dpo_barrier(grid, DPO_WORLD);
        dpo_buckets_end(buckets);
        dpo_free(values);
        dpo_buckets_destroy(&buckets);
    }
}

static void ready_does_not_wait_for_slower_ranks(void **state)
{
    (void)state;
    on_every_grid(0, check_not_waiting);
    on_every_grid(2, check_not_waiting);
}

static void check_early_sums(const dpo_grid *grid)
{
    enum { N = 30000, PATIENCE = 2000 };
    float *want = new_tree_sums(grid, N);

    for (int k = 0; k < N_KINDS; k++) {
        dpo_buckets *buckets = buckets_of(grid, N, kinds[k], LEAST_BUCKET, false);
        float *values = new_addends(grid, N);
        int64_t n_wrong = 1;

        dpo_buckets_begin(buckets, values);
        for (int t = 0; t < PATIENCE && n_wrong > 0; t++) {
            dpo_buckets_ready(buckets, 0);
            n_wrong = count_wrong_owned(buckets, values, want);
            dpo_sum_i64(grid, DPO_WORLD, 1, &n_wrong);
        }
        dpo_buckets_end(buckets);
        dpo_free(values);
        dpo_buckets_destroy(&buckets);
        ASSERT_ALL(n_wrong == 0);
    }
    dpo_free(want);
}

static void buckets_are_summed_before_the_end(void **state)
{
    (void)state;
    on_every_grid(0, check_early_sums);
    on_every_grid(2, check_early_sums);
}

/* Every addend but an own one is rounded to bf16, 8 bits: an error of 2^-8 of its size at most. */
static void check_bf16(const dpo_grid *grid)
{
    enum { N = 50000 };
    int size = dpo_grid_size(grid, DPO_DATA);
    dpo_buckets *buckets = buckets_of(grid, N, DPO_TRANSPORT_MESSAGES, LEAST_BUCKET, true);
    float *values = new_addends(grid, N);
    int64_t n_wrong = 0;
    int64_t n_rounded = 0;

    run_backward(buckets, N, values, 9);
    dpo_buckets_gather(buckets, values);
    for (int64_t i = 0; i < N; i++) {
        double sum = 0.0;
        double sizes = 0.0;

        for (int r = 0; r < size; r++) {
            sum += (double)addend_of(r, i);
            sizes += fabs((double)addend_of(r, i));
        }
        n_wrong += fabs((double)values[i] - sum) > sizes * (0x1p-8 + size * 0x1p-24);
        n_rounded += values[i] != tree_of(0, size, i);
    }
    dpo_free(values);
    dpo_buckets_destroy(&buckets);
    ASSERT_ALL(n_wrong == 0);
    ASSERT_ALL((n_rounded > N / 2) == (size > 1));
}

static void bf16_messages_round_addends_only(void **state)
{
    (void)state;
    on_every_grid(0, check_bf16);
}

/* On one node nothing is a message when memory is shared. */
static void check_bf16_shared(const dpo_grid *grid)
{
    enum { N = 50000 };
    dpo_buckets *buckets = buckets_of(grid, N, DPO_TRANSPORT_SHARED, 0, true);
    float *values = new_addends(grid, N);
    float *want = new_tree_sums(grid, N);

    run_backward(buckets, N, values, 9);
    int64_t n_wrong = count_wrong_owned(buckets, values, want);

    dpo_free(want);
    dpo_free(values);
    dpo_buckets_destroy(&buckets);
    ASSERT_ALL(n_wrong == 0);
}

static void shared_memory_is_f32_all_the_same(void **state)
{
    (void)state;
    on_every_grid(0, check_bf16_shared);
}

static void check_shard(const dpo_grid *grid)
{
    static const int64_t lengths[] = {0, 1, 4095, 4096, 4097, 100000, 700001};
    int size = dpo_grid_size(grid, DPO_DATA);

    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        int64_t n = lengths[l];
        dpo_buckets *buckets = buckets_of(grid, n, DPO_TRANSPORT_MESSAGES, 1 << 18, false);
        const dpo_shard *shard = dpo_buckets_shard(buckets);
        int64_t *n_owners;
        int64_t n_elements = 0;
        int64_t n_wrong = 0;

        ASSERT_OK(DPO_NEW(n_owners, n));
        for (int64_t r = 0; r < shard->n_ranges; r++) {
            dpo_range range = shard->range[r];

            n_wrong += range.begin >= range.end || range.begin % DPO_SHARD_BLOCK != 0;
            n_wrong += range.end % DPO_SHARD_BLOCK != 0 && range.end != n;
            n_wrong += r > 0 && range.begin < shard->range[r - 1].end;
            n_elements += range.end - range.begin;
            for (int64_t i = range.begin; i < range.end; i++)
                n_owners[i]++;
        }
        n_wrong += n_elements != shard->n_elements;
        n_wrong += n_elements > n / size + 2 * DPO_SHARD_BLOCK;
        n_wrong += size == 1 && shard->n_ranges != (n > 0);
        dpo_sum_i64(grid, DPO_DATA, n, n_owners);
        for (int64_t i = 0; i < n; i++)
            n_wrong += n_owners[i] != 1;
        dpo_free(n_owners);
        dpo_buckets_destroy(&buckets);
        ASSERT_ALL(n_wrong == 0);
    }
}

static void shards_are_whole_blocks_and_cover_the_vector_once(void **state)
{
    (void)state;
    on_every_grid(0, check_shard);
}

static void check_no_memory(const dpo_grid *grid)
{
    enum { MORE_THAN_THERE_ARE = 40, N = 20000 };
    bool fails_here = dpo_grid_rank(grid, DPO_WORLD) == dpo_grid_size(grid, DPO_WORLD) - 1;

    for (int k = 0; k < N_KINDS; k++)
        for (int64_t n = 1; n <= MORE_THAN_THERE_ARE; n++) {
            dpo_buckets_options options = {kinds[k], 0, n % 2 == 0};
            dpo_buckets *buckets;

            if (fails_here) dpo_memory_fail_after(n);
            dpo_status status = dpo_buckets_create(grid, DPO_DATA, N, &options, &buckets);
            bool is_there = buckets != NULL;

            dpo_memory_fail_after(0);
            dpo_buckets_destroy(&buckets);
            ASSERT_ALL(status == DPO_OK || status == DPO_ENOMEM);
            ASSERT_ALL(is_there == (status == DPO_OK));
            ASSERT_ALL(n > 1 || kinds[k] == DPO_TRANSPORT_AUTO || status == DPO_ENOMEM);
            ASSERT_ALL(n < MORE_THAN_THERE_ARE || status == DPO_OK);
        }
}

static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    check_no_memory(test_grid);
}

static void check_description(const dpo_grid *grid)
{
    dpo_buckets *buckets = buckets_of(grid, 50000, DPO_TRANSPORT_SHARED, 0, true);
    int size = dpo_grid_size(grid, DPO_DATA);
    bool says_shared = strstr(dpo_buckets_describe(buckets), "shared memory") != NULL;
    bool says_messages = strstr(dpo_buckets_describe(buckets), "bf16 messages") != NULL;

    dpo_buckets_destroy(&buckets);
    ASSERT_ALL(says_shared == (size >= 2 && dpo_grid_size(grid, DPO_TENSOR) == 1));
    ASSERT_ALL(says_messages == (dpo_grid_nodes(grid) > 1 && size > 1));
}

static void the_description_names_what_is_used(void **state)
{
    (void)state;
    on_every_grid(2, check_description);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(sums_are_the_same_tree_on_one_node),
    cmocka_unit_test(sums_are_the_same_tree_between_nodes),
    cmocka_unit_test(sums_are_the_same_tree_on_nodes_of_two),
    cmocka_unit_test(sums_are_the_same_tree_on_uneven_nodes),
    cmocka_unit_test(sums_are_the_same_tree_on_nodes_of_six_and_two),
    cmocka_unit_test(the_number_of_ranks_does_not_change_the_bits),
    cmocka_unit_test(steps_follow_each_other_without_allocating),
    cmocka_unit_test(ready_does_not_wait_for_slower_ranks),
    cmocka_unit_test(buckets_are_summed_before_the_end),
    cmocka_unit_test(bf16_messages_round_addends_only),
    cmocka_unit_test(shared_memory_is_f32_all_the_same),
    cmocka_unit_test(shards_are_whole_blocks_and_cover_the_vector_once),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(the_description_names_what_is_used),
};

MPI_TEST_MAIN(tests)
