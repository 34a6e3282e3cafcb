// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_pieces.h"

int64_t tokenizer_pieces_count(const tokenizer_pieces *pieces)
{
    return pieces->end.size_bytes / (int64_t)sizeof(int64_t);
}

const char *tokenizer_pieces_get(const tokenizer_pieces *pieces, int64_t i, int64_t *n_bytes)
{
    const int64_t *end = pieces->end.data;
    int64_t begin = i > 0 ? end[i - 1] : 0;

    *n_bytes = end[i] - begin;
    return dpo_buffer_text(&pieces->text) + begin;
}

dpo_status tokenizer_pieces_cut(tokenizer_pieces *pieces)
{
    const int64_t *end = pieces->end.data;
    int64_t n = tokenizer_pieces_count(pieces);
    int64_t last = n > 0 ? end[n - 1] : 0;

    if (pieces->text.size_bytes == last) return DPO_OK;
    return dpo_buffer_append(&pieces->end, &pieces->text.size_bytes,
                             sizeof pieces->text.size_bytes);
}

/* Whether a match (or what is between two) joins the one before it. */
static bool joins(tokenizer_behavior behavior, bool is_match, bool previous)
{
    switch (behavior) {
    case TOKENIZER_CONTIGUOUS:
        return is_match == previous;
    case TOKENIZER_MERGED_WITH_PREVIOUS:
        return is_match && !previous;
    case TOKENIZER_MERGED_WITH_NEXT:
        return previous && !is_match;
    default:
        return false;
    }
}

dpo_status tokenizer_pieces_split(tokenizer_pieces *pieces, const char *text,
                                  const dpo_buffer *matches, tokenizer_behavior behavior)
{
    const tokenizer_match *match = matches->data;
    int64_t n = matches->size_bytes / (int64_t)sizeof *match;

    if (n > 0 && behavior == TOKENIZER_REMOVED && match[0].is_match &&
        tokenizer_pieces_count(pieces) == 0)
        pieces->at_start = false;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && !joins(behavior, match[i].is_match, match[i - 1].is_match))
            DPO_TRY(tokenizer_pieces_cut(pieces));
        if (behavior == TOKENIZER_REMOVED && match[i].is_match) continue;
        DPO_TRY(
            dpo_buffer_append(&pieces->text, text + match[i].begin, match[i].end - match[i].begin));
    }
    return tokenizer_pieces_cut(pieces);
}

void tokenizer_pieces_clear(tokenizer_pieces *pieces)
{
    dpo_buffer_clear(&pieces->text);
    dpo_buffer_clear(&pieces->end);
}

void tokenizer_pieces_destroy(tokenizer_pieces *pieces)
{
    dpo_buffer_destroy(&pieces->text);
    dpo_buffer_destroy(&pieces->end);
}
