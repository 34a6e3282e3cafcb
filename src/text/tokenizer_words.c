// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_words.h"

#include <string.h>

#include "dpo/base/memory.h"

/* 1 MiB: larger tables leave the second-level cache. */
enum { N_SLOTS_LOG2 = 14 };

dpo_status tokenizer_words_create(tokenizer_words *words)
{
    return DPO_NEW(words->slot, INT64_C(1) << N_SLOTS_LOG2);
}

void tokenizer_words_destroy(tokenizer_words *words)
{
    dpo_free(words->slot);
    *words = (tokenizer_words){0};
}

/* Eight bytes at a time, the high bits of the product brought down (multiplicative hashing). */
static uint64_t hash(const char *text, int64_t n_bytes)
{
    uint64_t h = (uint64_t)n_bytes;
    uint64_t piece;

    for (; n_bytes >= 8; n_bytes -= 8, text += 8) {
        memcpy(&piece, text, 8);
        h = (h ^ piece) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    piece = 0;
    for (int64_t i = 0; i < n_bytes; i++)
        piece = piece << 8 | (unsigned char)text[i];
    return (h ^ piece) * 0x9E3779B97F4A7C15u;
}

tokenizer_word *tokenizer_words_slot(const tokenizer_words *words, const char *text,
                                     int64_t n_bytes)
{
    if (words->slot == NULL || n_bytes == 0 || n_bytes > TOKENIZER_WORD_BYTES) return NULL;
    return &words->slot[hash(text, n_bytes) >> (64 - N_SLOTS_LOG2)];
}

bool tokenizer_word_is(const tokenizer_word *word, const char *text, int64_t n_bytes)
{
    return word->n_bytes == n_bytes && memcmp(word->text, text, (size_t)n_bytes) == 0;
}

void tokenizer_word_set(tokenizer_word *word, const char *text, int64_t n_bytes, const int32_t *ids,
                        int64_t n_ids)
{
    if (n_ids > TOKENIZER_WORD_IDS) return;
    memcpy(word->text, text, (size_t)n_bytes);
    if (n_ids > 0) memcpy(word->ids, ids, (size_t)n_ids * sizeof *ids);
    word->n_bytes = (unsigned char)n_bytes;
    word->n_ids = (unsigned char)n_ids;
}
