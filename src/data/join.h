// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_JOIN_H
#define DPO_DATA_JOIN_H

/* Examples of a share become examples of another one, by themselves or joined. All functions are local. */

#include "token_share.h"

/* Zero-initialised but for `to`. */
typedef struct {
    token_share *to; /* borrowed */
    dpo_buffer
        place; /* i64: where each response of the current example goes, -1: behind the last */
} token_joiner;

/*
 * Copies an example behind the last one. Its responses are numbered anew, each prompt lies before the
 * first response that needs it.
 */
DPO_MUST_CHECK dpo_status token_join_copy(token_joiner *joiner, const token_share *from,
                                          int64_t example);

/*
 * Makes an example part of the last one, which has the same prompt, and no other. Responses that are there already
 * are not added; those of one example stay apart even if they are equal, since they are compared. Begins
 * another example if there would be more than DPO_GROUP_RESPONSES.
 */
DPO_MUST_CHECK dpo_status token_join_add(token_joiner *joiner, const token_share *from,
                                         int64_t example);

void token_join_end(token_joiner *joiner);

#endif
