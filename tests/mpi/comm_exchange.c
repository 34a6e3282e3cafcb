// SPDX-License-Identifier: Apache-2.0
#include <sched.h>

#include "dpo/base/random.h"
#include "dpo/base/range.h"
#include "dpo/comm/exchange.h"
#include "mpi_test.h"
#include "tree_reference.h"

enum { MAX_ROWS = 37, WIDTH = 5, N_WHOLES = 2, N_ROUNDS = 40 };

static const dpo_transport_kind kinds[] = {DPO_TRANSPORT_AUTO, DPO_TRANSPORT_SHARED,
                                           DPO_TRANSPORT_MESSAGES};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static dpo_exchange *exchange_of(const dpo_grid *grid, dpo_transport_kind kind, int64_t max_rows,
                                 int64_t width)
{
    dpo_exchange *exchange;

    ASSERT_OK(dpo_exchange_create(grid, DPO_TENSOR, kind, max_rows, width, N_WHOLES, &exchange));
    return exchange;
}

static dpo_range own_rows(const dpo_grid *grid, int64_t n_rows)
{
    return dpo_range_of_part(n_rows, dpo_grid_size(grid, DPO_TENSOR),
                             dpo_grid_rank(grid, DPO_TENSOR));
}

/* Lets ranks come late at random, so that a missing barrier shows. */
static void dawdle(int round)
{
    uint64_t n = dpo_random_bits(3, DPO_STREAM_TEST, (uint32_t)dpo_grid_rank(test_grid, DPO_WORLD),
                                 (uint64_t)round);

    for (uint64_t i = 0; i < n % 4; i++)
        (void)sched_yield();
}

static int64_t n_rows_of_round(int round)
{
    return (int64_t)(dpo_random_bits(5, DPO_STREAM_TEST, 0, (uint64_t)round) % (MAX_ROWS + 1));
}

/* Item i of a matrix in a round. */
static float item(int round, int64_t i)
{
    return (float)(round * 1000 + i);
}

static int64_t count_wrong_gathered(const dpo_grid *grid, dpo_exchange *exchange, int round)
{
    float *whole = dpo_exchange_whole(exchange, round % N_WHOLES);
    int64_t n_rows = n_rows_of_round(round);
    dpo_range mine = own_rows(grid, n_rows);
    int64_t n_wrong = 0;

    for (int64_t i = mine.begin * WIDTH; i < mine.end * WIDTH; i++)
        whole[i] = item(round, i);
    dpo_exchange_gather(exchange, round % N_WHOLES, n_rows);
    dawdle(round);
    for (int64_t i = 0; i < n_rows * WIDTH; i++)
        n_wrong += whole[i] != item(round, i);
    return n_wrong;
}

static int64_t count_wrong_reduced(const dpo_grid *grid, dpo_exchange *exchange, int round)
{
    int64_t n_rows = n_rows_of_round(round + 1000);
    int size = dpo_grid_size(grid, DPO_TENSOR);
    int rank = dpo_grid_rank(grid, DPO_TENSOR);
    dpo_range mine = own_rows(grid, n_rows);
    float *partial = dpo_exchange_partial(exchange);
    float own[MAX_ROWS * WIDTH];
    bool add = round % 3 == 0;
    int64_t n_wrong = 0;

    for (int64_t i = 0; i < n_rows * WIDTH; i++)
        partial[i] = addend_of(rank, i + round);
    for (int64_t i = 0; i < MAX_ROWS * WIDTH; i++)
        own[i] = 0.75f;
    dpo_exchange_reduce(exchange, n_rows, add, own);
    dawdle(round);
    for (int64_t i = mine.begin * WIDTH; i < mine.end * WIDTH; i++) {
        float sum = tree_of(0, size, i + round);

        n_wrong += own[i - mine.begin * WIDTH] != (add ? 0.75f + sum : sum);
    }
    return n_wrong;
}

static void check_rounds(const dpo_grid *grid)
{
    int size = dpo_grid_size(grid, DPO_TENSOR);

    for (int k = 0; k < N_KINDS; k++) {
        dpo_exchange *exchange = exchange_of(grid, kinds[k], MAX_ROWS, WIDTH);
        int64_t n_wrong = 0;

        for (int round = 0; round < N_ROUNDS; round++) {
            if (round % 5 != 4) n_wrong += count_wrong_gathered(grid, exchange, round);
            /* Two sums in a row would write the partial too early. */
            if (round % 5 != 3 && size > 1) n_wrong += count_wrong_reduced(grid, exchange, round);
            if (round % 5 == 4) dpo_exchange_gather(exchange, 1, 0);
        }
        dpo_exchange_destroy(&exchange);
        ASSERT_ALL(n_wrong == 0);
    }
}

static void rows_and_sums_are_right_however_calls_follow(void **state)
{
    (void)state;
    on_every_grid(0, check_rounds);
}

/* More than a piece of a message, and a last piece that only some ranks have. */
static void check_large(const dpo_grid *grid)
{
    enum { ROWS = 801, COLUMNS = 1000 };
    int size = dpo_grid_size(grid, DPO_TENSOR);
    dpo_range mine = own_rows(grid, ROWS);

    for (int k = 0; k < N_KINDS && size > 1; k++) {
        dpo_exchange *exchange = exchange_of(grid, kinds[k], ROWS, COLUMNS);
        float *partial = dpo_exchange_partial(exchange);
        float *whole = dpo_exchange_whole(exchange, 0);
        int64_t n_wrong = 0;

        for (int64_t i = 0; i < ROWS * COLUMNS; i++)
            partial[i] = addend_of(dpo_grid_rank(grid, DPO_TENSOR), i);
        dpo_exchange_reduce(exchange, ROWS, false, whole + mine.begin * COLUMNS);
        dpo_exchange_gather(exchange, 0, ROWS);
        for (int64_t i = 0; i < ROWS * COLUMNS; i++)
            n_wrong += whole[i] != tree_of(0, size, i);
        dpo_exchange_destroy(&exchange);
        ASSERT_ALL(n_wrong == 0);
    }
}

static void a_sum_into_own_rows_of_a_whole_can_be_gathered(void **state)
{
    (void)state;
    on_every_grid(0, check_large);
}

static void check_one_rank(const dpo_grid *grid)
{
    if (dpo_grid_size(grid, DPO_TENSOR) > 1) return;
    for (int k = 0; k < N_KINDS; k++) {
        dpo_exchange *exchange = exchange_of(grid, kinds[k], MAX_ROWS, WIDTH);
        bool has_partial = dpo_exchange_partial(exchange) != NULL;

        dpo_exchange_destroy(&exchange);
        ASSERT_ALL(!has_partial);
    }
}

static void one_rank_has_no_partial(void **state)
{
    (void)state;
    on_every_grid(0, check_one_rank);
}

static void check_nodes_of_one(const dpo_grid *grid)
{
    bool spans = dpo_grid_size(grid, DPO_TENSOR) > 1;
    dpo_exchange *exchange;
    dpo_status status = dpo_exchange_create(grid, DPO_TENSOR, DPO_TRANSPORT_SHARED, MAX_ROWS, WIDTH,
                                            N_WHOLES, &exchange);

    ASSERT_ALL(status == (spans ? DPO_EUSAGE : DPO_OK));
    dpo_exchange_destroy(&exchange);
    exchange = exchange_of(grid, DPO_TRANSPORT_AUTO, MAX_ROWS, WIDTH);
    dpo_transport_kind kind = dpo_exchange_transport(exchange);

    dpo_exchange_destroy(&exchange);
    ASSERT_ALL(kind == DPO_TRANSPORT_MESSAGES);
}

static void ranks_of_several_nodes_share_no_memory(void **state)
{
    (void)state;
    on_every_grid(1, check_nodes_of_one);
}

/* 4 TiB are in no /dev/shm. */
static void check_too_much(const dpo_grid *grid)
{
    dpo_exchange *exchange;

    if (dpo_grid_size(grid, DPO_TENSOR) == 1) return;
    dpo_status status =
        dpo_exchange_create(grid, DPO_TENSOR, DPO_TRANSPORT_SHARED, 1 << 20, 1 << 20, 1, &exchange);

    ASSERT_ALL(status == DPO_ENOMEM && exchange == NULL);
    ASSERT_ALL(strstr(dpo_last_error()->text, "/dev/shm") != NULL);
}

static void more_shared_memory_than_there_is_fails_on_all_ranks(void **state)
{
    (void)state;
    on_every_grid(0, check_too_much);
}

/* Every allocation of the last rank fails once; with two transports to choose from one may do without. */
static void check_no_memory(const dpo_grid *grid)
{
    enum { MORE_THAN_THERE_ARE = 12 };
    bool fails_here = dpo_grid_rank(grid, DPO_WORLD) == dpo_grid_size(grid, DPO_WORLD) - 1;

    for (int k = 0; k < N_KINDS; k++)
        for (int64_t n = 1; n <= MORE_THAN_THERE_ARE; n++) {
            dpo_exchange *exchange;

            if (fails_here) dpo_memory_fail_after(n);
            dpo_status status = dpo_exchange_create(grid, DPO_TENSOR, kinds[k], MAX_ROWS, WIDTH,
                                                    N_WHOLES, &exchange);
            bool is_there = exchange != NULL;

            dpo_memory_fail_after(0);
            dpo_exchange_destroy(&exchange);
            ASSERT_ALL(status == DPO_OK || status == DPO_ENOMEM);
            ASSERT_ALL(is_there == (status == DPO_OK));
            ASSERT_ALL(n > 1 || kinds[k] == DPO_TRANSPORT_AUTO || status == DPO_ENOMEM);
            ASSERT_ALL(n < MORE_THAN_THERE_ARE || status == DPO_OK);
        }
}

static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    on_every_grid(0, check_no_memory);
}

static void a_plan_counts_a_shared_whole_once_a_node(void **state)
{
    (void)state;
    assert_int_equal(dpo_exchange_plan_bytes(1, 10, 4, 3), 3 * 160);
    assert_int_equal(dpo_exchange_plan_bytes(4, 10, 4, 3), 3 * 40 + 160);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(rows_and_sums_are_right_however_calls_follow),
    cmocka_unit_test(a_sum_into_own_rows_of_a_whole_can_be_gathered),
    cmocka_unit_test(one_rank_has_no_partial),
    cmocka_unit_test(ranks_of_several_nodes_share_no_memory),
    cmocka_unit_test(more_shared_memory_than_there_is_fails_on_all_ranks),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(a_plan_counts_a_shared_whole_once_a_node),
};

MPI_TEST_MAIN(tests)
