// SPDX-License-Identifier: Apache-2.0
/* One piece of text to ids: its characters are symbols in a linked list, possible merges wait in a
   queue by rank, and of one rank from left to right. */
#include "tokenizer_bpe.h"

#include <string.h>

const char tokenizer_space[] = "\xE2\x96\x81";

/* A run of characters that is a token by now. Invariant: previous and next are -1 at the ends; dead
   symbols are in no list. */
typedef struct {
    int32_t id; /* -1: merged into the one before */
    int64_t previous;
    int64_t next;
} symbol;

/* A merge that was possible when it was queued. */
typedef struct {
    int64_t at; /* left symbol */
    int32_t rank_plus_1;
    int32_t id; /* the new token */
} candidate;

static dpo_status add_symbol(dpo_buffer *symbols, int32_t id)
{
    int64_t at = symbols->size_bytes / (int64_t)sizeof(symbol);
    symbol s = {.id = id, .previous = at - 1, .next = at + 1};

    return dpo_buffer_append(symbols, &s, sizeof s);
}

static bool has_bytes(const tokenizer_bpe *bpe, const char *text, int64_t n_bytes)
{
    if (!bpe->byte_fallback) return false;
    for (int64_t i = 0; i < n_bytes; i++)
        if (bpe->byte[(unsigned char)text[i]] < 0) return false;
    return true;
}

static dpo_status add_bytes(const tokenizer_bpe *bpe, const char *text, int64_t n_bytes,
                            dpo_buffer *symbols)
{
    for (int64_t i = 0; i < n_bytes; i++)
        DPO_TRY(add_symbol(symbols, bpe->byte[(unsigned char)text[i]]));
    return DPO_OK;
}

/* Adds a character, id -1 if it is unknown. Unknown ones wait until a known one comes, since several
   of them may be one token. */
static dpo_status add_char(const tokenizer_bpe *bpe, int32_t id, bool *unk_waits,
                           dpo_buffer *symbols)
{
    if (*unk_waits && (id >= 0 || !bpe->fuse_unk)) DPO_TRY(add_symbol(symbols, bpe->unk));
    *unk_waits = id < 0 && bpe->unk >= 0;
    return id >= 0 ? add_symbol(symbols, id) : DPO_OK;
}

/* Bytes of the character at the beginning of a valid text. */
static int64_t char_length(const char *text)
{
    unsigned char lead = (unsigned char)*text;

    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

static int32_t find_char(const tokenizer_bpe *bpe, const char *text, int64_t length)
{
    unsigned char lead = (unsigned char)text[0];
    int c = length == 1 ? lead : (lead & 0x1F) << 6 | ((unsigned char)text[length - 1] & 0x3F);

    if (length <= 2 && c < TOKENIZER_N_LOW) return bpe->low[c];
    return tokenizer_vocab_find(&bpe->vocab, text, length);
}

/* Characters as bytes do not end the wait of unknown ones. */
static dpo_status find_symbols(const tokenizer_bpe *bpe, const char *text, int64_t n_bytes,
                               dpo_buffer *symbols)
{
    bool unk_waits = false;
    int64_t length;

    for (int64_t at = 0; at < n_bytes; at += length) {
        length = char_length(text + at);
        int32_t id = find_char(bpe, text + at, length);

        DPO_TRY(id < 0 && has_bytes(bpe, text + at, length)
                    ? add_bytes(bpe, text + at, length, symbols)
                    : add_char(bpe, id, &unk_waits, symbols));
    }
    return unk_waits ? add_symbol(symbols, bpe->unk) : DPO_OK;
}

static bool is_before(const candidate *a, const candidate *b)
{
    if (a->rank_plus_1 != b->rank_plus_1) return a->rank_plus_1 < b->rank_plus_1;
    return a->at < b->at;
}

/* The queue is a binary heap: no item is before its parent. */
static dpo_status push(dpo_buffer *queue, candidate item)
{
    int64_t at = queue->size_bytes / (int64_t)sizeof item;

    DPO_TRY(dpo_buffer_append(queue, &item, sizeof item));
    candidate *heap = queue->data;

    for (int64_t parent = (at - 1) / 2; at > 0 && is_before(&item, &heap[parent]);
         at = parent, parent = (at - 1) / 2)
        heap[at] = heap[parent];
    heap[at] = item;
    return DPO_OK;
}

static candidate pop(dpo_buffer *queue)
{
    candidate *heap = queue->data;
    candidate first = heap[0];

    queue->size_bytes -= (int64_t)sizeof first;
    int64_t n = queue->size_bytes / (int64_t)sizeof first;
    candidate last = heap[n];
    int64_t at = 0;

    for (int64_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child])) child++;
        if (!is_before(&heap[child], &last)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return first;
}

/* Queues the merge of the symbol at `left` and its successor, if there is one. */
static dpo_status queue_merge(const tokenizer_bpe *bpe, const symbol *symbols, int64_t left,
                              dpo_buffer *queue)
{
    if (left < 0 || symbols[left].next < 0) return DPO_OK;
    const tokenizer_merge *merge =
        tokenizer_bpe_merge(bpe, symbols[left].id, symbols[symbols[left].next].id);

    if (merge == NULL) return DPO_OK;
    return push(queue, (candidate){left, merge->rank_plus_1, merge->id});
}

/* Does a merge unless its symbols have changed since it was queued. */
static dpo_status run_merge(const tokenizer_bpe *bpe, symbol *symbols, candidate c,
                            dpo_buffer *queue)
{
    symbol *left = &symbols[c.at];

    if (left->id < 0 || left->next < 0) return DPO_OK;
    symbol *right = &symbols[left->next];
    const tokenizer_merge *merge = tokenizer_bpe_merge(bpe, left->id, right->id);

    if (merge == NULL || merge->id != c.id) return DPO_OK;
    left->id = c.id;
    left->next = right->next;
    if (right->next >= 0) symbols[right->next].previous = c.at;
    right->id = -1;
    DPO_TRY(queue_merge(bpe, symbols, left->previous, queue));
    return queue_merge(bpe, symbols, c.at, queue);
}

static dpo_status encode_word(const tokenizer_bpe *bpe, tokenizer_bpe_scratch *scratch,
                              const char *text, int64_t n_bytes, dpo_buffer *ids)
{
    int32_t whole = tokenizer_vocab_find(&bpe->vocab, text, n_bytes);

    if (whole >= 0 && (bpe->ignore_merges || bpe->is_whole[whole]))
        return dpo_buffer_append(ids, &whole, sizeof whole);
    dpo_buffer_clear(&scratch->symbols);
    dpo_buffer_clear(&scratch->queue);
    DPO_TRY(find_symbols(bpe, text, n_bytes, &scratch->symbols));
    symbol *symbols = scratch->symbols.data;
    int64_t n = scratch->symbols.size_bytes / (int64_t)sizeof *symbols;

    if (n == 0) return DPO_OK;
    symbols[n - 1].next = -1;
    for (int64_t i = 0; i + 1 < n; i++)
        DPO_TRY(queue_merge(bpe, symbols, i, &scratch->queue));
    while (scratch->queue.size_bytes > 0)
        DPO_TRY(run_merge(bpe, symbols, pop(&scratch->queue), &scratch->queue));
    for (int64_t i = 0; i >= 0; i = symbols[i].next)
        DPO_TRY(dpo_buffer_append(ids, &symbols[i].id, sizeof symbols[i].id));
    return DPO_OK;
}

static dpo_status find_word(const tokenizer_bpe *bpe, tokenizer_bpe_scratch *scratch,
                            const char *text, int64_t n_bytes, dpo_buffer *ids)
{
    tokenizer_word *word = tokenizer_words_slot(&scratch->words, text, n_bytes);
    int64_t before = ids->size_bytes;

    if (word != NULL && tokenizer_word_is(word, text, n_bytes))
        return dpo_buffer_append(ids, word->ids, word->n_ids * (int64_t)sizeof *word->ids);
    DPO_TRY(encode_word(bpe, scratch, text, n_bytes, ids));
    if (word != NULL)
        tokenizer_word_set(word, text, n_bytes,
                           (const int32_t *)ids->data + before / (int64_t)sizeof *word->ids,
                           (ids->size_bytes - before) / (int64_t)sizeof *word->ids);
    return DPO_OK;
}

/* End of the word that begins at `at`: in front of a space marker that follows another character. */
static int64_t end_of_word(const char *text, int64_t n_bytes, int64_t at)
{
    const int64_t n_space = (int64_t)strlen(tokenizer_space);

    while (at + n_space <= n_bytes && memcmp(text + at, tokenizer_space, (size_t)n_space) == 0)
        at += n_space;
    while (at < n_bytes) {
        const char *lead =
            memchr(text + at, (unsigned char)tokenizer_space[0], (size_t)(n_bytes - at));

        if (lead == NULL) break;
        at = lead - text;
        if (at + n_space <= n_bytes && memcmp(lead, tokenizer_space, (size_t)n_space) == 0)
            return at;
        at++;
    }
    return n_bytes;
}

dpo_status tokenizer_bpe_encode(const tokenizer_bpe *bpe, tokenizer_bpe_scratch *scratch,
                                const char *text, int64_t n_bytes, dpo_buffer *ids)
{
    if (!bpe->cuts_words) return find_word(bpe, scratch, text, n_bytes, ids);
    for (int64_t at = 0; at < n_bytes;) {
        int64_t end = end_of_word(text, n_bytes, at);

        DPO_TRY(find_word(bpe, scratch, text + at, end - at, ids));
        at = end;
    }
    return DPO_OK;
}

void tokenizer_bpe_scratch_destroy(tokenizer_bpe_scratch *scratch)
{
    dpo_buffer_destroy(&scratch->symbols);
    dpo_buffer_destroy(&scratch->queue);
    tokenizer_words_destroy(&scratch->words);
}
