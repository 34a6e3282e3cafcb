// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_DECODER_H
#define TOKENIZER_DECODER_H

#include "dpo/base/json.h"

/* The decoders of a file, in order. */
typedef struct {
    dpo_buffer steps; /* of a private type */
    bool is_there;    /* an empty Sequence is a decoder without steps */
} tokenizer_decoders;

/* Texts of tokens one behind the other, any of them empty.
   Invariant: end[i] (int64_t) ascends, the last one is text.size_bytes. */
typedef struct {
    dpo_buffer text;
    dpo_buffer end;
} tokenizer_texts;

DPO_MUST_CHECK dpo_status tokenizer_texts_append(tokenizer_texts *texts, const char *text,
                                                 int64_t n_bytes);
void tokenizer_texts_destroy(tokenizer_texts *texts);

/* Loads "decoder" (NULL if it is absent); on error the list is destroyed by the caller all the
   same. */
DPO_MUST_CHECK dpo_status tokenizer_decoders_load(const char *where, const dpo_json *node,
                                                  tokenizer_decoders *decoders);
void tokenizer_decoders_destroy(tokenizer_decoders *decoders);

/* Appends the text of the tokens, which are changed. Without a decoder they are joined by spaces.
   */
DPO_MUST_CHECK dpo_status tokenizer_decode(const tokenizer_decoders *decoders,
                                           tokenizer_texts *tokens, dpo_buffer *text);

#endif
