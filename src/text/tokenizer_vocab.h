// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_VOCAB_H
#define TOKENIZER_VOCAB_H

#include "dpo/base/buffer.h"

/* Largest id that is believed, so that a broken file does not take all memory. */
enum { TOKENIZER_MAX_ID = (1 << 22) - 1 };

/* Tokens by id and by text.
   Invariant: begin[id] is the offset of the zero-terminated text in texts, or -1; every token is in
   one slot as id + 1, at or behind the place of its hash; n_slots is a power of two and at least
   half of it is 0. */
typedef struct {
    dpo_buffer texts;
    int64_t n_ids; /* largest id + 1, 0 if there is no token */
    int64_t n_tokens;
    int64_t max_ids;
    int64_t *begin; /* [max_ids] */
    int64_t n_slots;
    int32_t *slot; /* [n_slots] */
} tokenizer_vocab;

/* Room for n_tokens tokens with ids below max_ids; on error it may be half made and is destroyed
   all the same. */
DPO_MUST_CHECK dpo_status tokenizer_vocab_create(int64_t n_tokens, int64_t max_ids,
                                                 tokenizer_vocab *vocab);
void tokenizer_vocab_destroy(tokenizer_vocab *vocab);

/* Adds a token; neither its text nor its id may be there: DPO_EDATA. */
DPO_MUST_CHECK dpo_status tokenizer_vocab_add(tokenizer_vocab *vocab, const char *where,
                                              const char *text, int32_t id);

/* Id of a text [n_bytes]; -1 if there is none. */
int32_t tokenizer_vocab_find(const tokenizer_vocab *vocab, const char *text, int64_t n_bytes);

/* Text of an id; NULL if there is none. */
const char *tokenizer_vocab_text(const tokenizer_vocab *vocab, int32_t id);

#endif
