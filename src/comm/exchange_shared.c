// SPDX-License-Identifier: Apache-2.0
/*
 * Rows in memory that all ranks of the axis see: nothing is copied.
 *
 *     | whole 0: rows of rank 0, rank 1, ... | whole 1 ... | partial of rank 0 | partial of rank 1 | ...
 *
 * One barrier at the beginning of a call says at once that everybody's rows or addends are there, and that
 * everybody is done with what the call before made valid: a rank comes here only after it has used that.
 */
#include <stdatomic.h>

#include "dpo/base/memory.h"
#include "exchange_private.h"
#include "tree.h"

enum { PAGE_BYTES = 4096 };

static int64_t matrix_bytes(const dpo_exchange *exchange)
{
    int64_t bytes = exchange->max_rows * exchange->width * (int64_t)sizeof(float);

    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* What this rank brings into being: its rows of the wholes, up to the next rank's, and its partial. */
static void list_own_bytes(const dpo_exchange *exchange, dpo_range *mine)
{
    int64_t row_bytes = exchange->width * (int64_t)sizeof(float);
    int64_t bytes = matrix_bytes(exchange);
    int rank = exchange->rank;
    dpo_range rows = dpo_exchange_rows(exchange, exchange->max_rows, rank);
    bool is_last = rank == exchange->size - 1;

    for (int i = 0; i < exchange->n_wholes; i++)
        mine[i] = (dpo_range){i * bytes + rows.begin * row_bytes,
                              is_last ? (i + 1) * bytes : i * bytes + rows.end * row_bytes};
    mine[exchange->n_wholes] =
        (dpo_range){(exchange->n_wholes + rank) * bytes, (exchange->n_wholes + rank + 1) * bytes};
}

static dpo_status create(dpo_exchange *exchange)
{
    int n_wholes = exchange->n_wholes;
    int64_t bytes = matrix_bytes(exchange);
    dpo_range *mine;
    dpo_status status = DPO_NEW(mine, n_wholes + 1);

    if (status == DPO_OK) status = DPO_NEW(exchange->partial_of, exchange->size);
    int have_memory = status == DPO_OK;

    MPI_Allreduce(MPI_IN_PLACE, &have_memory, 1, MPI_INT, MPI_MIN, exchange->comm);
    if (have_memory) {
        list_own_bytes(exchange, mine);
        int64_t all_bytes = (n_wholes + exchange->size) * bytes;

        if (!dpo_shared_memory_create(exchange->comm, all_bytes > 0 ? all_bytes : PAGE_BYTES,
                                      n_wholes + 1, mine, &exchange->memory))
            status = DPO_FAIL(DPO_ENOMEM,
                              "shared memory: no %.1f MiB to be had in /dev/shm; give the node or "
                              "container more, or choose parallel.transport messages",
                              (double)all_bytes / 1048576.0);
    }
    dpo_free(mine);
    if (exchange->memory.base == NULL) return status;
    for (int i = 0; i < n_wholes; i++)
        exchange->whole[i] = (float *)(void *)(exchange->memory.base + i * bytes);
    for (int r = 0; r < exchange->size; r++)
        exchange->partial_of[r] = (float *)(void *)(exchange->memory.base + (n_wholes + r) * bytes);
    exchange->partial = exchange->partial_of[exchange->rank];
    return DPO_OK;
}

static void destroy(dpo_exchange *exchange)
{
    dpo_shared_memory_destroy(&exchange->memory);
    dpo_free(exchange->partial_of);
}

/* Between processes a barrier alone does not order plain loads and stores; the fences do. */
static void wait_for_all(const dpo_exchange *exchange)
{
    atomic_thread_fence(memory_order_seq_cst);
    MPI_Barrier(exchange->comm);
    atomic_thread_fence(memory_order_seq_cst);
}

static void gather(dpo_exchange *exchange, int i, int64_t n_rows)
{
    (void)i;
    (void)n_rows;
    wait_for_all(exchange);
}

static void reduce(dpo_exchange *exchange, int64_t n_rows, bool add, float *own)
{
    dpo_range mine = dpo_exchange_rows(exchange, n_rows, exchange->rank);
    int64_t width = exchange->width;

    wait_for_all(exchange);
    for (int r = 0; r < exchange->size; r++)
        exchange->addend[r] = exchange->partial_of[r] + mine.begin * width;
    dpo_tree_sum_f32(exchange->size, exchange->addend, dpo_range_length(mine) * width, add, own);
}

const dpo_exchange_transport_table dpo_exchange_shared = {DPO_TRANSPORT_SHARED, create, destroy,
                                                          gather, reduce};
