// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_TOKENIZE_H
#define DPO_DATA_TOKENIZE_H

/* From an example's texts to token ids, and where the prompt ends. All functions are local. */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/data/preferences.h"
#include "dpo/text/chat_template.h"
#include "dpo/text/encoder.h"
#include "dpo/text/tokenizer.h"

/*
 * An example as token ids; zero-initialised it is empty and may be filled again and again.
 * Invariant: sequence r (prompt and response r) has at least prompt_tokens ids, and the first
 * prompt_tokens ids of all sequences are equal.
 */
typedef struct {
    const dpo_tokenizer *tokenizer;         /* borrowed */
    dpo_encoder *encoder;                   /* borrowed, of the tokenizer */
    const dpo_chat_template *chat_template; /* borrowed; NULL = none */
    dpo_buffer text;                        /* scratch */
    dpo_buffer prompt;                      /* i32: the prompt by itself */
    int64_t capacity;                       /* buffers in sequences */
    dpo_buffer *sequences;                  /* i32 each, the first n_responses count */
    int64_t n_responses;
    int64_t prompt_tokens; /* of each sequence */
    bool has_shift;        /* the prompt by itself is no beginning of a sequence */
    bool has_double_bos;   /* the prompt begins with two beginning-of-sequence tokens */
    bool has_identical;    /* an edge compares equal token ids */
    int64_t empty;         /* number of a response without text; -1 if there is none */
} token_example;

/*
 * Fills the example. DPO_EDATA with `where` if a template refuses the messages or there is none;
 * DPO_EUSAGE if texts have no end-of-sequence token to end with.
 */
DPO_MUST_CHECK dpo_status token_example_fill(token_example *example, const char *where,
                                             const dpo_preference *preference);

/* Ids of sequence r. */
const int32_t *token_example_ids(const token_example *example, int64_t r, int64_t *n);

void token_example_destroy(token_example *example);

#endif
