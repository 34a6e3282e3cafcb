// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_WORDS_H
#define TOKENIZER_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"

/* Longest text and most ids that are remembered: a word fills a cache line. */
enum { TOKENIZER_WORD_BYTES = 30, TOKENIZER_WORD_IDS = 8 };

/* A word and its ids. */
typedef struct {
    char text[TOKENIZER_WORD_BYTES];
    unsigned char n_bytes; /* 0: a free slot */
    unsigned char n_ids;
    int32_t ids[TOKENIZER_WORD_IDS];
} tokenizer_word;

/* Words seen lately; zero-initialised it remembers nothing.
   Invariant: a word is in the slot of its hash or nowhere; a later one takes the place. */
typedef struct {
    tokenizer_word *slot; /* owned; NULL: remembers nothing */
} tokenizer_words;

DPO_MUST_CHECK dpo_status tokenizer_words_create(tokenizer_words *words);
void tokenizer_words_destroy(tokenizer_words *words);

/* The slot of a text, whatever is in it; NULL if the text is not to be remembered. */
tokenizer_word *tokenizer_words_slot(const tokenizer_words *words, const char *text,
                                     int64_t n_bytes);

bool tokenizer_word_is(const tokenizer_word *word, const char *text, int64_t n_bytes);

/* Puts a word into its slot unless it has too many ids. */
void tokenizer_word_set(tokenizer_word *word, const char *text, int64_t n_bytes, const int32_t *ids,
                        int64_t n_ids);

#endif
