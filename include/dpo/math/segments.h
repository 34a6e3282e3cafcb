// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_SEGMENTS_H
#define DPO_MATH_SEGMENTS_H

/**
 * \file
 * A forest of token segments in one micro-batch: who attends to whom.
 *
 * The tokens of a micro-batch lie one behind the other, without padding. A segment is a run of them; its
 * parent, if any, is an earlier segment that it continues. A token attends to all tokens of the segments
 * above its own and, causally, to its own segment; its position is the number of tokens before it on
 * that path. A prompt with K responses is one segment without a parent and K segments whose parent it is.
 *
 * Invariant: begin[0] = 0, begin[s] <= begin[s + 1], parent[s] < s, parent[s] >= -1.
 */

#include <stdint.h>

/** The segments of N = begin[n_segments] tokens; all arrays borrowed. */
typedef struct {
    int64_t n_segments;    /**< >= 0 */
    const int64_t *begin;  /**< [n_segments + 1] first token of each segment; the last entry is N */
    const int64_t *parent; /**< [n_segments] an earlier segment, or -1 */
} dpo_segments;

/**
 * Number of tokens N.
 *
 * \local
 * \param[in] segments  The segments.
 * \return N.
 */
int64_t dpo_segments_n_tokens(const dpo_segments *segments);

/**
 * Number of (query, key) pairs: how many tokens each token attends to, itself included, summed.
 *
 * \local
 * \param[in] segments  The segments.
 * \return The number, exact below 2^53.
 */
double dpo_segments_n_pairs(const dpo_segments *segments);

/**
 * Position of every token in its sequence, for the rotary embedding.
 *
 * \local
 * \param[in]  segments  The segments.
 * \param[out] position  [N] tokens of all ancestors plus the index in the own segment.
 */
void dpo_segments_positions(const dpo_segments *segments, int32_t *position);

#endif
