// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_pieces.h"

int64_t tokenizer_pieces_count(const tokenizer_pieces *pieces)
{
    return pieces->pieces.size_bytes / (int64_t)sizeof(tokenizer_piece);
}

const char *tokenizer_pieces_get(const tokenizer_pieces *pieces, int64_t i, int64_t *n_bytes)
{
    const tokenizer_piece *piece = (const tokenizer_piece *)pieces->pieces.data + i;

    *n_bytes = piece->end - piece->begin;
    return dpo_buffer_text(&pieces->text) + piece->begin;
}

dpo_status tokenizer_pieces_add(tokenizer_pieces *pieces, int64_t begin, int64_t end)
{
    const tokenizer_piece piece = {begin, end};

    return begin < end ? dpo_buffer_append(&pieces->pieces, &piece, sizeof piece) : DPO_OK;
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

dpo_status tokenizer_pieces_split(tokenizer_pieces *pieces, int64_t begin,
                                  const dpo_buffer *matches, tokenizer_behavior behavior)
{
    const tokenizer_match *match = matches->data;
    int64_t n = matches->size_bytes / (int64_t)sizeof *match;
    int64_t first = 0; /* of the piece that is growing */

    if (n > 0 && behavior == TOKENIZER_REMOVED && match[0].is_match &&
        tokenizer_pieces_count(pieces) == 0)
        pieces->at_start = false;
    for (int64_t i = 0; i < n; i++) {
        bool is_last = i + 1 == n || !joins(behavior, match[i + 1].is_match, match[i].is_match);
        bool is_removed = behavior == TOKENIZER_REMOVED && match[i].is_match;

        if (is_last && !is_removed)
            DPO_TRY(tokenizer_pieces_add(pieces, begin + match[first].begin, begin + match[i].end));
        if (is_last) first = i + 1;
    }
    return DPO_OK;
}

void tokenizer_pieces_clear(tokenizer_pieces *pieces)
{
    dpo_buffer_clear(&pieces->text);
    dpo_buffer_clear(&pieces->pieces);
}

void tokenizer_pieces_destroy(tokenizer_pieces *pieces)
{
    dpo_buffer_destroy(&pieces->text);
    dpo_buffer_destroy(&pieces->pieces);
}
