// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_PREFERENCE_FORMAT_H
#define DPO_DATA_PREFERENCE_FORMAT_H

/* A format of preference files: one row of the table in preferences.c. */

#include <stdbool.h>

#include "dpo/data/preferences.h"

typedef struct {
    const char *shape; /* for messages: what a record looks like */

    /* Whether a record (an object) is of this format, as its fields' names and kinds say. */
    bool (*recognise)(const dpo_json *record);

    /* Fills an empty preference; what it holds on error is destroyed by the caller. */
    dpo_status (*read)(const char *where, const dpo_json *record, dpo_preference *preference);
} preference_format;

extern const preference_format preference_text_pair;
extern const preference_format preference_chat_pair;

/* Makes a preference of n responses without content and without scores, and n_edges edges of weight 1. */
DPO_MUST_CHECK dpo_status preference_allocate(dpo_preference *preference, int64_t n_responses,
                                              int64_t n_edges);

/* Checks a list of messages, "key" of a record: not empty, each with a role and a text content. */
DPO_MUST_CHECK dpo_status preference_check_messages(const char *where, const char *key,
                                                    const dpo_json *messages);

#endif
