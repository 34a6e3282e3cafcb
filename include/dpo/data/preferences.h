// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_PREFERENCES_H
#define DPO_DATA_PREFERENCES_H

/**
 * \file
 * One record of a preference file, whatever its format, as an example: a prompt, responses, and the
 * comparisons (edges) among them.
 *
 * Formats are rows of a table (src/data/preferences.c): a recogniser, which looks at the names of the
 * fields, and a reader. Known so far:
 *
 *     {"prompt": text, "chosen": text, "rejected": text}
 *     {"prompt": messages, "chosen": messages or text, "rejected": messages or text}
 *
 * with optional numbers "score_chosen" and "score_rejected"; messages are lists of {"role", "content"}.
 * Other fields are ignored.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/json.h"
#include "dpo/base/status.h"

/** One response. */
typedef struct {
    dpo_json *content; /**< owned; of the prompt's kind: a text, or an array of messages */
    double score;      /**< NaN = none */
} dpo_preference_response;

/** One comparison. */
typedef struct {
    int32_t chosen;   /**< index among the example's responses */
    int32_t rejected; /**< likewise */
    float weight;     /**< > 0; 1 unless the file says otherwise */
} dpo_preference_edge;

/**
 * An example as read; zero-initialised it is empty.
 *
 * Invariant: the prompt is a text or an array of messages, every response is of the same kind; chosen and
 * rejected of an edge differ and are in [0, n_responses). A pair has 2 responses, chosen first, and 1 edge.
 */
typedef struct {
    bool is_chat;                       /**< messages, for a chat template; else plain texts */
    dpo_json *prompt;                   /**< owned */
    int64_t n_responses;                /**< > 0 */
    dpo_preference_response *responses; /**< owned, [n_responses] */
    int64_t n_edges;                    /**< >= 0 */
    dpo_preference_edge *edges;         /**< owned, [n_edges] */
} dpo_preference;

/**
 * Reads one record.
 *
 * \local
 * \param[in]  where       Place for messages: "pairs.jsonl, line 7".
 * \param[in]  text        [n_bytes], one JSON object.
 * \param[in]  n_bytes     >= 0.
 * \param[out] preference  Owned by the caller, for dpo_preference_destroy(); empty on error.
 * \errors{DPO_EDATA if it is not valid JSON, of no known format, or a field is of the wrong kind; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_preference_read(const char *where, const char *text, int64_t n_bytes,
                                              dpo_preference *preference);

/** Destroys what an example owns and makes it empty. \local */
void dpo_preference_destroy(dpo_preference *preference);

#endif
