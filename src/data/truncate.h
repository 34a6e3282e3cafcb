// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_TRUNCATE_H
#define DPO_DATA_TRUNCATE_H

/* Which tokens of a sequence (prompt, then response) are kept, and which of them are trained on. */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/data/prepare.h"

/*
 * Tokens [begin, response) of the sequence are the prompt, [response, end) the response.
 * Invariant: begin <= response <= end; begin < response unless the sequence is empty.
 */
typedef struct {
    int64_t begin;
    int64_t response;
    int64_t end;
    bool owns_prompt; /* the prompt is not the common one's tokens [begin, its end) */
    bool is_cut;      /* something was taken away */
} sequence_cut;

/*
 * The first token of a sequence is predicted by nothing: where no token of the prompt is left, it
 * becomes the prompt. max_length 0 keeps all, as do the ways that do not cut (drop, error).
 */
sequence_cut sequence_cut_of(int64_t prompt_tokens, int64_t response_tokens, int64_t max_length,
                             dpo_truncation truncation);

#endif
