// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_vocab.h"

#include <string.h>

#include "dpo/base/memory.h"

dpo_status tokenizer_vocab_create(int64_t n_tokens, int64_t max_ids, tokenizer_vocab *vocab)
{
    *vocab = (tokenizer_vocab){.max_ids = max_ids, .n_slots = 16};
    while (vocab->n_slots < 2 * n_tokens)
        vocab->n_slots *= 2;
    DPO_TRY(DPO_NEW(vocab->begin, max_ids));
    DPO_TRY(DPO_NEW(vocab->slot, vocab->n_slots));
    for (int64_t i = 0; i < max_ids; i++)
        vocab->begin[i] = -1;
    return DPO_OK;
}

void tokenizer_vocab_destroy(tokenizer_vocab *vocab)
{
    dpo_buffer_destroy(&vocab->texts);
    dpo_free(vocab->begin);
    dpo_free(vocab->slot);
    *vocab = (tokenizer_vocab){0};
}

/* FNV-1a, its high bits brought down. */
static uint64_t hash(const char *text, int64_t n_bytes)
{
    uint64_t h = 0xCBF29CE484222325u;

    for (int64_t i = 0; i < n_bytes; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    return h ^ (h >> 32);
}

static const char *text_at(const tokenizer_vocab *vocab, int64_t begin)
{
    return dpo_buffer_text(&vocab->texts) + begin;
}

/* The slot of a text, or the free one where it belongs. */
static int64_t slot_of(const tokenizer_vocab *vocab, const char *text, int64_t n_bytes)
{
    uint64_t mask = (uint64_t)vocab->n_slots - 1;

    for (uint64_t s = hash(text, n_bytes) & mask;; s = (s + 1) & mask) {
        if (vocab->slot[s] == 0) return (int64_t)s;
        const char *other = text_at(vocab, vocab->begin[vocab->slot[s] - 1]);

        if (strncmp(other, text, (size_t)n_bytes) == 0 && other[n_bytes] == '\0') return (int64_t)s;
    }
}

int32_t tokenizer_vocab_find(const tokenizer_vocab *vocab, const char *text, int64_t n_bytes)
{
    if (memchr(text, '\0', (size_t)n_bytes) != NULL) return -1;
    return vocab->slot[slot_of(vocab, text, n_bytes)] - 1;
}

const char *tokenizer_vocab_text(const tokenizer_vocab *vocab, int32_t id)
{
    if (id < 0 || id >= vocab->n_ids || vocab->begin[id] < 0) return NULL;
    return text_at(vocab, vocab->begin[id]);
}

dpo_status tokenizer_vocab_add(tokenizer_vocab *vocab, const char *where, const char *text,
                               int32_t id)
{
    int64_t n_bytes = (int64_t)strlen(text);
    int64_t slot = slot_of(vocab, text, n_bytes);

    DPO_ASSERT(id >= 0 && id < vocab->max_ids && 2 * vocab->n_tokens < vocab->n_slots);
    if (vocab->slot[slot] != 0)
        return DPO_FAIL(DPO_EDATA, "%s: the token \"%s\" is there twice, expected once", where,
                        text);
    if (vocab->begin[id] >= 0)
        return DPO_FAIL(DPO_EDATA, "%s: \"%s\" has the id %d of the token \"%s\", expected its own",
                        where, text, (int)id, text_at(vocab, vocab->begin[id]));
    int64_t begin = vocab->texts.size_bytes;

    DPO_TRY(dpo_buffer_append(&vocab->texts, text, n_bytes + 1));
    vocab->begin[id] = begin;
    vocab->slot[slot] = id + 1;
    vocab->n_tokens++;
    if (id >= vocab->n_ids) vocab->n_ids = id + 1;
    return DPO_OK;
}
