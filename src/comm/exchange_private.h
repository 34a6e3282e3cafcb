// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_EXCHANGE_PRIVATE_H
#define DPO_COMM_EXCHANGE_PRIVATE_H

#include <mpi.h>

#include "dpo/base/range.h"
#include "dpo/comm/exchange.h"
#include "shared_memory.h"

/* What differs between transports. */
typedef struct {
    dpo_transport_kind kind;
    /* Gets the memory: whole, partial and what the transport needs. Collective on the axis; may fail on one
     * rank only; a failure leaves what destroy() can free. */
    dpo_status (*create)(dpo_exchange *exchange);
    void (*destroy)(dpo_exchange *exchange);
    void (*gather)(dpo_exchange *exchange, int i, int64_t n_rows);
    void (*reduce)(dpo_exchange *exchange, int64_t n_rows, bool add, float *own);
} dpo_exchange_transport_table;

extern const dpo_exchange_transport_table dpo_exchange_messages, dpo_exchange_shared;

/* Invariant: comm is a copy of the axis's communicator; whole has n_wholes + 1 items, the last is not used. */
struct dpo_exchange {
    const dpo_exchange_transport_table *transport;
    MPI_Comm comm;
    int rank, size;
    int64_t max_rows, width;
    int n_wholes;
    float **whole;        /* [n_wholes] of f32 [max_rows, width] */
    float *partial;       /* f32 [max_rows, width] */
    const float **addend; /* [size] where reduce finds the addends */
    /* messages */
    float *received; /* f32 [size - 1, piece_rows, width] */
    int64_t piece_rows;
    MPI_Request *requests; /* [2 (size - 1)] */
    MPI_Datatype row;      /* f32 [width] */
    /* shared */
    dpo_shared_memory memory;
    float **partial_of; /* [size], all partials */
};

/* Rows that a rank owns. */
static inline dpo_range dpo_exchange_rows(const dpo_exchange *exchange, int64_t n_rows, int rank)
{
    return dpo_range_of_part(n_rows, exchange->size, rank);
}

#endif
