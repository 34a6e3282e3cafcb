// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_ALL_TO_ALL_H
#define DPO_COMM_ALL_TO_ALL_H

/**
 * \file
 * Every rank gives every other rank some bytes of its own.
 */

#include <stdint.h>

#include "dpo/comm/grid.h"

/**
 * Sends to each rank its bytes and receives each rank's. Allocates nothing.
 *
 * \collective{the axis}
 * \param[in]  grid           Borrowed.
 * \param[in]  axis           Ranks that take part.
 * \param[in]  n_send         i64 [size] bytes for each rank, >= 0.
 * \param[in]  send           These bytes, one behind the other in rank order.
 * \param[in]  n_receive      i64 [size] bytes from each rank: what it has for this one.
 * \param[out] receive        These bytes, likewise; overlaps send nowhere.
 */
void dpo_all_to_all_bytes(const dpo_grid *grid, dpo_axis axis, const int64_t *n_send,
                          const void *send, const int64_t *n_receive, void *receive);

#endif
