// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_COLLECTIVE_H
#define DPO_COMM_COLLECTIVE_H

/**
 * \file
 * Collectives with 64-bit counts. Sums run in the order of the ranks, so that the same grid gives the
 * same bits every time. None of them can fail or allocates memory; MPI's own failures end the program.
 * Long vectors have ways of their own: buckets.h, exchange.h.
 *
 * All are collective on the ranks of the axis.
 */

#include <stdint.h>

#include "dpo/comm/grid.h"

/** Sum over the ranks, in place on every rank, of f64 [n]. \collective{the axis} */
void dpo_sum_f64(const dpo_grid *grid, dpo_axis axis, int64_t n, double *values);

/** Sum over the ranks, in place on every rank, of i64 [n]. \collective{the axis} */
void dpo_sum_i64(const dpo_grid *grid, dpo_axis axis, int64_t n, int64_t *values);

/** Maximum over the ranks, in place on every rank, of f64 [n]. \collective{the axis} */
void dpo_max_f64(const dpo_grid *grid, dpo_axis axis, int64_t n, double *values);

/** Maximum over the ranks, in place on every rank, of i64 [n]. \collective{the axis} */
void dpo_max_i64(const dpo_grid *grid, dpo_axis axis, int64_t n, int64_t *values);

/** Sum of the values of the ranks before this one; 0 on the first. \collective{the axis} */
int64_t dpo_sum_before_i64(const dpo_grid *grid, dpo_axis axis, int64_t value);

/** Waits for all. \collective{the axis} */
void dpo_barrier(const dpo_grid *grid, dpo_axis axis);

/** Copies root's bytes to every rank. \collective{the axis} */
void dpo_broadcast(const dpo_grid *grid, dpo_axis axis, int root, int64_t n_bytes, void *bytes);

/**
 * Every rank's bytes on every rank, one behind the other in rank order.
 *
 * \collective{the axis}
 * \param[in]  grid     Borrowed.
 * \param[in]  axis     Ranks that take part.
 * \param[in]  n_local  This rank's number of bytes; ranks may differ.
 * \param[in]  local    [n_local].
 * \param[out] all      [sum of n_local].
 */
void dpo_all_gather_bytes(const dpo_grid *grid, dpo_axis axis, int64_t n_local, const void *local,
                          void *all);

/**
 * Gives every rank the whole of a vector of which each rank holds its part, in place.
 *
 * \collective{the axis}
 * \param[in]     grid    Borrowed.
 * \param[in]     axis    Ranks that take part.
 * \param[in]     n       Length of the vector.
 * \param[in,out] values  f32 [n]; in: dpo_range_of_part(n, size, rank) is valid; out: all of it.
 */
void dpo_all_gather_f32(const dpo_grid *grid, dpo_axis axis, int64_t n, float *values);

/** Seconds this rank has spent in the functions above since the program began. \local */
double dpo_comm_time_s(void);

#endif
