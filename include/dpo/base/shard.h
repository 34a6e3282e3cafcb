// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_SHARD_H
#define DPO_BASE_SHARD_H

/**
 * \file
 * The part of a flat vector that one rank owns.
 *
 * What is kept for the items of a shard lies "packed": the items of range[0], behind them those of
 * range[1], and so on.
 */

#include <stdint.h>

#include "dpo/base/range.h"

/** Items; a range of a shard begins at a multiple of it and ends at one or at the vector's end. */
enum { DPO_SHARD_BLOCK = 4096 };

/** Ranges of a vector. Invariant: ascending, disjoint, none empty, n_elements is the sum of their lengths. */
typedef struct {
    int64_t n_ranges;   /**< may be 0 */
    dpo_range *range;   /**< [n_ranges], owned by who made the shard */
    int64_t n_elements; /**< items in all ranges */
} dpo_shard;

#endif
