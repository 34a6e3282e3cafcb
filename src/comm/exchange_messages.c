// SPDX-License-Identifier: Apache-2.0
/*
 * Rows by messages. Every rank has memory of its own for all rows; addends arrive piece by piece.
 */
#include "dpo/base/memory.h"
#include "exchange_private.h"
#include "tree.h"

/* Items of a piece: large enough for the network, small enough to be summed in cache. */
enum { PIECE_ITEMS = 1 << 18 };

static dpo_status create(dpo_exchange *exchange)
{
    int64_t n = exchange->max_rows * exchange->width;
    int64_t n_others = exchange->size - 1;
    int64_t most_rows = dpo_range_length(dpo_exchange_rows(exchange, exchange->max_rows, 0));

    MPI_Type_contiguous((int)exchange->width, MPI_FLOAT, &exchange->row);
    MPI_Type_commit(&exchange->row);
    exchange->piece_rows = PIECE_ITEMS / exchange->width;
    if (exchange->piece_rows > most_rows) exchange->piece_rows = most_rows;
    if (exchange->piece_rows < 1) exchange->piece_rows = 1;
    for (int i = 0; i < exchange->n_wholes; i++)
        DPO_TRY(DPO_NEW(exchange->whole[i], n));
    if (n_others == 0) return DPO_OK;
    DPO_TRY(DPO_NEW(exchange->partial, n));
    DPO_TRY(DPO_NEW(exchange->requests, 2 * n_others));
    return DPO_NEW(exchange->received, n_others * exchange->piece_rows * exchange->width);
}

static void destroy(dpo_exchange *exchange)
{
    dpo_free(exchange->received);
    dpo_free(exchange->requests);
    dpo_free(exchange->partial);
    for (int i = 0; i < exchange->n_wholes && exchange->whole != NULL; i++)
        dpo_free(exchange->whole[i]);
    MPI_Type_free(&exchange->row);
}

static void post_receive(dpo_exchange *exchange, float *to, int64_t n_rows, int rank, int *n_posted)
{
    if (n_rows > 0)
        MPI_Irecv(to, (int)n_rows, exchange->row, rank, 0, exchange->comm,
                  &exchange->requests[(*n_posted)++]);
}

static void post_send(dpo_exchange *exchange, const float *from, int64_t n_rows, int rank,
                      int *n_posted)
{
    if (n_rows > 0)
        MPI_Isend(from, (int)n_rows, exchange->row, rank, 0, exchange->comm,
                  &exchange->requests[(*n_posted)++]);
}

static void gather(dpo_exchange *exchange, int i, int64_t n_rows)
{
    float *whole = exchange->whole[i];
    dpo_range mine = dpo_exchange_rows(exchange, n_rows, exchange->rank);
    int n_posted = 0;

    for (int r = 0; r < exchange->size; r++) {
        dpo_range rows = dpo_exchange_rows(exchange, n_rows, r);

        if (r == exchange->rank) continue;
        post_receive(exchange, whole + rows.begin * exchange->width, dpo_range_length(rows), r,
                     &n_posted);
        post_send(exchange, whole + mine.begin * exchange->width, dpo_range_length(mine), r,
                  &n_posted);
    }
    MPI_Waitall(n_posted, exchange->requests, MPI_STATUSES_IGNORE);
}

/* The piece_rows rows of a range that begin at row `at` of it, or what there is of them. */
static dpo_range piece_of(const dpo_exchange *exchange, dpo_range rows, int64_t at)
{
    int64_t n = dpo_range_length(rows);
    int64_t begin = at < n ? at : n;
    int64_t end = n - begin < exchange->piece_rows ? n : begin + exchange->piece_rows;

    return (dpo_range){rows.begin + begin, rows.begin + end};
}

/* Own piece `at` of everybody goes to its owner, and the others' addends for this rank's come in. */
static void exchange_piece(dpo_exchange *exchange, int64_t n_rows, int64_t at)
{
    int64_t width = exchange->width;
    dpo_range mine = piece_of(exchange, dpo_exchange_rows(exchange, n_rows, exchange->rank), at);
    float *received = exchange->received;
    int n_posted = 0;

    for (int r = 0; r < exchange->size; r++) {
        dpo_range theirs = piece_of(exchange, dpo_exchange_rows(exchange, n_rows, r), at);

        exchange->addend[r] = exchange->partial + mine.begin * width;
        if (r == exchange->rank) continue;
        post_receive(exchange, received, dpo_range_length(mine), r, &n_posted);
        post_send(exchange, exchange->partial + theirs.begin * width, dpo_range_length(theirs), r,
                  &n_posted);
        exchange->addend[r] = received;
        received += exchange->piece_rows * width;
    }
    MPI_Waitall(n_posted, exchange->requests, MPI_STATUSES_IGNORE);
}

static void reduce(dpo_exchange *exchange, int64_t n_rows, bool add, float *own)
{
    dpo_range mine = dpo_exchange_rows(exchange, n_rows, exchange->rank);
    int64_t most_rows = dpo_range_length(dpo_exchange_rows(exchange, n_rows, 0));

    for (int64_t at = 0; at < most_rows; at += exchange->piece_rows) {
        int64_t n = dpo_range_length(piece_of(exchange, mine, at)) * exchange->width;

        exchange_piece(exchange, n_rows, at);
        if (n > 0)
            dpo_tree_sum_f32(exchange->size, exchange->addend, n, add, own + at * exchange->width);
    }
}

const dpo_exchange_transport_table dpo_exchange_messages = {DPO_TRANSPORT_MESSAGES, create, destroy,
                                                            gather, reduce};
