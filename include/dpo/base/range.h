// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_RANGE_H
#define DPO_BASE_RANGE_H

/**
 * \file
 * Half-open ranges [begin, end) and their division among parts.
 */

#include <stdint.h>

/** [begin, end), begin <= end. */
typedef struct {
    int64_t begin; /**< first */
    int64_t end;   /**< behind the last */
} dpo_range;

/**
 * The part-th of n_parts consecutive ranges that cover [0, n) and differ by at most one in length, the
 * longer ones first.
 *
 * \local
 * \param[in] n        >= 0.
 * \param[in] n_parts  > 0.
 * \param[in] part     [0, n_parts).
 * \return The range; empty if there are more parts than items.
 */
dpo_range dpo_range_of_part(int64_t n, int64_t n_parts, int64_t part);

/** end - begin. \local */
int64_t dpo_range_length(dpo_range range);

/** What two ranges share; an empty range if nothing. \local */
dpo_range dpo_range_intersect(dpo_range a, dpo_range b);

#endif
