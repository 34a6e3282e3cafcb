// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_EXCHANGE_H
#define DPO_COMM_EXCHANGE_H

/**
 * \file
 * Matrices whose rows are dealt to the ranks of an axis: gathering of all rows, and sums of addends that
 * every rank has for all rows, each rank getting its own (what tensor-parallel layers need).
 *
 * Rank t owns rows dpo_range_of_part(n_rows, size, t) of a matrix [n_rows, width]:
 *
 *     gather:   rank 0 owns | a |        a b c       reduce:   partial of rank t is | a_t |
 *               rank 1 owns | b |   ->   on all                                     | b_t |
 *               rank 2 owns | c |        ranks                                      | c_t |
 *                                                    rank 0 gets a_0 + a_1 + a_2, rank 1 b_0 + b_1 + b_2, ...
 *
 * Sums run along the binary tree over the ranks that buckets.h describes, so they have the same bits every
 * time and with every transport.
 *
 * Between two ranks there is no other order than this: a rank may write its own rows of a whole, and its
 * partial, again after any later call of gather or reduce on the exchange. Calls are made in the same order
 * with the same n_rows on all ranks of the axis.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/comm/grid.h"
#include "dpo/comm/transport.h"

/** Wholes and the partial; opaque. */
typedef struct dpo_exchange dpo_exchange;

/**
 * Makes an exchange with its memory. With one rank along the axis it has wholes only.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid      Borrowed for the call.
 * \param[in]  axis      Ranks that share the rows.
 * \param[in]  kind      DPO_TRANSPORT_SHARED needs an axis that lies within a node.
 * \param[in]  max_rows  Largest n_rows, >= 0, below 2^31; the same along the axis.
 * \param[in]  width     Columns, > 0, below 2^31; the same along the axis.
 * \param[in]  n_wholes  Matrices, >= 0.
 * \param[out] exchange  Owned by the caller, for dpo_exchange_destroy(); NULL on error.
 * \errors{DPO_ENOMEM; DPO_EUSAGE if shared memory was asked for and the axis spans nodes}
 */
DPO_MUST_CHECK dpo_status dpo_exchange_create(const dpo_grid *grid, dpo_axis axis,
                                              dpo_transport_kind kind, int64_t max_rows,
                                              int64_t width, int n_wholes, dpo_exchange **exchange);

/** Destroys an exchange and sets the pointer to NULL; NULL is left alone. \collective{the axis} */
void dpo_exchange_destroy(dpo_exchange **exchange);

/**
 * Memory of one rank, in bytes, when ranks share memory: its part of each whole and its partial.
 *
 * \local
 * \param[in] size      Ranks along the axis, > 0.
 * \param[in] max_rows, width, n_wholes  As for dpo_exchange_create().
 */
int64_t dpo_exchange_plan_bytes(int size, int64_t max_rows, int64_t width, int n_wholes);

/** The transport in use, never DPO_TRANSPORT_AUTO. \local */
dpo_transport_kind dpo_exchange_transport(const dpo_exchange *exchange);

/** Whole i, f32 [max_rows, width]; owned by the exchange; the caller writes its own rows in place. \local */
float *dpo_exchange_whole(dpo_exchange *exchange, int i);

/** This rank's addends to all rows, f32 [max_rows, width]; owned by the exchange; NULL with one rank. \local */
float *dpo_exchange_partial(dpo_exchange *exchange);

/**
 * Makes all rows of a whole valid on every rank.
 *
 * \collective{the axis}
 * \param[in,out] exchange  The exchange.
 * \param[in]     i         Whole, [0, n_wholes).
 * \param[in]     n_rows    [0, max_rows].
 */
void dpo_exchange_gather(dpo_exchange *exchange, int i, int64_t n_rows);

/**
 * Sums the partials of the ranks; more than one rank along the axis is needed.
 *
 * \collective{the axis}
 * \param[in,out] exchange  The exchange.
 * \param[in]     n_rows    [0, max_rows].
 * \param[in]     add       Whether the sum is added to own or replaces it.
 * \param[in,out] own       f32 [own rows, width]; may be the own rows of a whole, not lie in the partial.
 */
void dpo_exchange_reduce(dpo_exchange *exchange, int64_t n_rows, bool add, float *own);

#endif
