// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_PIECES_H
#define TOKENIZER_PIECES_H

#include "tokenizer_pattern.h"

/* A text cut into pieces.
   Invariant: end[i] (int64_t) ascends strictly, the last one is text.size_bytes: no piece is empty.
   */
typedef struct {
    dpo_buffer text;
    dpo_buffer end;
    bool at_start; /* piece 0 begins where the whole text does, seen in the normalized text */
} tokenizer_pieces;

/* What becomes of the matches when a text is split at them. */
typedef enum {
    TOKENIZER_REMOVED,
    TOKENIZER_ISOLATED,
    TOKENIZER_MERGED_WITH_PREVIOUS,
    TOKENIZER_MERGED_WITH_NEXT,
    TOKENIZER_CONTIGUOUS /* isolated, neighbouring matches together */
} tokenizer_behavior;

int64_t tokenizer_pieces_count(const tokenizer_pieces *pieces);

/* Piece i, its length in n_bytes. */
const char *tokenizer_pieces_get(const tokenizer_pieces *pieces, int64_t i, int64_t *n_bytes);

/* Ends a piece behind what was appended to text since the last end; does nothing if that is
   nothing. */
DPO_MUST_CHECK dpo_status tokenizer_pieces_cut(tokenizer_pieces *pieces);

/* Appends the pieces of one text, cut at the matches that cover it. */
DPO_MUST_CHECK dpo_status tokenizer_pieces_split(tokenizer_pieces *pieces, const char *text,
                                                 const dpo_buffer *matches,
                                                 tokenizer_behavior behavior);

void tokenizer_pieces_clear(tokenizer_pieces *pieces);
void tokenizer_pieces_destroy(tokenizer_pieces *pieces);

#endif
