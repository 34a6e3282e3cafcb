// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_ADDED_H
#define TOKENIZER_ADDED_H

#include "tokenizer_normalizer.h"
#include "tokenizer_vocab.h"

/* Tokens that are looked for in the text before anything else sees it. */
typedef struct {
    char *match;      /* what is looked for: the token's text, normalized if the token is; owned */
    int64_t n_bytes;  /* of match, > 0 */
    int32_t id;       /* what it becomes */
    bool special;     /* may be left out when decoding */
    bool lstrip;      /* takes the white space in front */
    bool rstrip;      /* takes the white space behind */
    bool single_word; /* only where no letter touches it */
    bool normalized;  /* is looked for in the normalized text */
} tokenizer_added_token;

/* The added tokens of a file.
   Invariant: tokens are sorted by normalized, first byte, then longest first, then by id; those of
   one set and first byte b are [begin[set][b], begin[set][b + 1]); only_first[set] is the first byte
   of all tokens of a set, -1 if they differ. */
typedef struct {
    dpo_buffer tokens; /* tokenizer_added_token */
    int64_t begin[2][257];
    int only_first[2];
    tokenizer_vocab vocab;
    bool *special; /* [vocab.n_ids] */
} tokenizer_added;

/* A part of a text: plain text, or an added token. */
typedef struct {
    int64_t begin;
    int64_t end;
    int32_t id; /* -1 for plain text */
} tokenizer_span;

/* Loads "added_tokens" (NULL if it is absent). A token of the model's vocabulary has its id there,
   others follow behind the vocabulary. On error the tokens are destroyed by the caller all the
   same. */
DPO_MUST_CHECK dpo_status tokenizer_added_load(const char *source, const dpo_json *list,
                                               const tokenizer_vocab *model,
                                               const tokenizer_normalizers *normalizers,
                                               tokenizer_added *added);
void tokenizer_added_destroy(tokenizer_added *added);

/* Checks that a member of an "added_tokens_decoder", keyed by its id, is one of the tokens. */
DPO_MUST_CHECK dpo_status tokenizer_added_check(const char *where, const dpo_json *member,
                                                const tokenizer_added *added);

/* Appends tokenizer_span items that cover the text [n_bytes], found with the normalized or the
   other tokens. */
DPO_MUST_CHECK dpo_status tokenizer_added_find(const tokenizer_added *added, bool normalized,
                                               const char *text, int64_t n_bytes,
                                               dpo_buffer *spans);

#endif
