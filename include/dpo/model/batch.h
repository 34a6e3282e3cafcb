// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_BATCH_H
#define DPO_MODEL_BATCH_H

/**
 * \file
 * A micro-batch: tokens of a forest of segments, and which of them predict what.
 *
 * Of a prompt with K responses, the last prompt token predicts the first token of every response
 * (that row occurs K times), and each response token but the last predicts its successor.
 *
 * Invariant: n_tokens = segments.begin[segments.n_segments]; row[r] in [0, n_tokens); tokens and
 * targets in [0, V).
 */

#include <stdint.h>

#include "dpo/math/segments.h"

/** A micro-batch; all arrays borrowed. */
typedef struct {
    int64_t n_tokens;      /**< N >= 0 */
    const int32_t *token;  /**< [N] */
    dpo_segments segments; /**< of these N tokens */
    int64_t n_rows;        /**< R >= 0 predictions */
    const int64_t *row;    /**< [R] index of the token whose output predicts; may repeat */
    const int32_t *target; /**< [R] token that is predicted */
} dpo_batch;

#endif
