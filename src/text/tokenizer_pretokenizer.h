// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_PRETOKENIZER_H
#define TOKENIZER_PRETOKENIZER_H

#include "tokenizer_pieces.h"

/* The pre-tokenizers of a file, in order. */
typedef struct {
    dpo_buffer steps; /* of a private type */
} tokenizer_pretokenizers;

/* Loads "pre_tokenizer" (NULL if it is absent); on error the list is destroyed by the caller all
   the same. */
DPO_MUST_CHECK dpo_status tokenizer_pretokenizers_load(const char *where, const dpo_json *node,
                                                       tokenizer_pretokenizers *pretokenizers);
void tokenizer_pretokenizers_destroy(tokenizer_pretokenizers *pretokenizers);

/* Working memory of tokenizer_pretokenize(); zero-initialised. */
typedef struct {
    tokenizer_search search;
    dpo_buffer text;
    tokenizer_pieces next;
} tokenizer_split_scratch;

void tokenizer_split_scratch_destroy(tokenizer_split_scratch *scratch);

/* Cuts the pieces further; they are changed on error too. */
DPO_MUST_CHECK dpo_status tokenizer_pretokenize(const tokenizer_pretokenizers *pretokenizers,
                                                tokenizer_split_scratch *scratch,
                                                tokenizer_pieces *pieces);

#endif
