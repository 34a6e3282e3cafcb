// SPDX-License-Identifier: Apache-2.0
/*
 * In round d of size rounds every rank sends to rank + d and receives from rank - d. Messages longer than MPI's
 * counts go in pieces; both sides know how many there are.
 */
#include "dpo/comm/all_to_all.h"

#include <mpi.h>
#include <string.h>

#include "dpo/base/clock.h"
#include "grid_private.h"

enum { MAX_BYTES = 1 << 30, TAG = 17 };

static int64_t sum_before(const int64_t *n, int rank)
{
    int64_t sum = 0;

    for (int r = 0; r < rank; r++)
        sum += n[r];
    return sum;
}

static int length_at(int64_t n, int64_t at)
{
    int64_t left = n > at ? n - at : 0;

    return (int)(left < MAX_BYTES ? left : MAX_BYTES);
}

/* Where a message's piece begins; behind the end nothing is sent from anywhere. */
static int64_t begin_at(int64_t n, int64_t at)
{
    return at < n ? at : 0;
}

static void exchange(MPI_Comm comm, int to, int64_t n_send, const char *send, int from,
                     int64_t n_receive, char *receive)
{
    for (int64_t at = 0; at < n_send || at < n_receive; at += MAX_BYTES)
        MPI_Sendrecv(send + begin_at(n_send, at), length_at(n_send, at), MPI_BYTE,
                     at < n_send ? to : MPI_PROC_NULL, TAG, receive + begin_at(n_receive, at),
                     length_at(n_receive, at), MPI_BYTE, at < n_receive ? from : MPI_PROC_NULL, TAG,
                     comm, MPI_STATUS_IGNORE);
}

void dpo_all_to_all_bytes(const dpo_grid *grid, dpo_axis axis, const int64_t *n_send,
                          const void *send, const int64_t *n_receive, void *receive)
{
    int rank = grid->rank[axis];
    int size = grid->size[axis];
    double begin_s = dpo_clock_s();

    DPO_ASSERT(n_send[rank] == n_receive[rank]);
    if (n_send[rank] > 0)
        memcpy((char *)receive + sum_before(n_receive, rank),
               (const char *)send + sum_before(n_send, rank), (size_t)n_send[rank]);
    for (int d = 1; d < size; d++) {
        int to = (rank + d) % size;
        int from = (rank + size - d) % size;

        exchange(grid->comm[axis], to, n_send[to], (const char *)send + sum_before(n_send, to),
                 from, n_receive[from], (char *)receive + sum_before(n_receive, from));
    }
    dpo_comm_time_add(dpo_clock_s() - begin_s);
}
