// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_PIECES_H
#define TOKENIZER_PIECES_H

#include "tokenizer_pattern.h"

/* [begin, end) of a text. */
typedef struct {
    int64_t begin;
    int64_t end;
} tokenizer_piece;

/* A text cut into pieces.
   Invariant: pieces (tokenizer_piece) ascend, do not overlap, and none is empty. */
typedef struct {
    dpo_buffer text;
    dpo_buffer pieces;
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

/* Appends the piece [begin, end) of the text unless it is empty. */
DPO_MUST_CHECK dpo_status tokenizer_pieces_add(tokenizer_pieces *pieces, int64_t begin,
                                               int64_t end);

/* Appends the pieces of the text from begin on, cut at the matches that cover it. */
DPO_MUST_CHECK dpo_status tokenizer_pieces_split(tokenizer_pieces *pieces, int64_t begin,
                                                 const dpo_buffer *matches,
                                                 tokenizer_behavior behavior);

void tokenizer_pieces_clear(tokenizer_pieces *pieces);
void tokenizer_pieces_destroy(tokenizer_pieces *pieces);

#endif
