// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H

#include "dpo/base/json.h"
#include "tokenizer_vocab.h"
#include "tokenizer_words.h"

/* Two neighbouring tokens become one; the smaller rank goes first. */
typedef struct {
    uint32_t left;
    uint32_t right;
    int32_t rank_plus_1; /* 0: a free slot */
    int32_t id;          /* of the new token */
} tokenizer_merge;

/* The alphabet of byte-level models ends below this character. */
enum { TOKENIZER_N_LOW = 0x180 };

/* Byte-pair encoding (Sennrich et al. 2016) with its vocabulary.
   Invariant: every merge is in one slot, at or behind the place of its hash; n_slots is a power of
   two and at least half of it is free. */
typedef struct {
    tokenizer_vocab vocab;
    int64_t n_slots;
    tokenizer_merge *slot;        /* [n_slots] */
    int32_t low[TOKENIZER_N_LOW]; /* tokens of the characters from U+0000 on, -1: none */
    int32_t byte[256];            /* the tokens <0x00> ... <0xFF>, -1 for those that do not exist */
    int32_t unk;                  /* for characters without a token; -1: they are left out */
    bool fuse_unk;                /* neighbouring unknown characters are one unknown token */
    bool byte_fallback;           /* characters without a token become their bytes' tokens */
    bool ignore_merges; /* a text that is a token is that token, whatever the merges say */
    bool cuts_words;    /* no merge joins what ends without a space marker with one that follows */
    bool *is_whole; /* [vocab.n_ids] the merges make the token of its text: no need to do them */
} tokenizer_bpe;

/* Working memory of tokenizer_bpe_encode(); zero-initialised. */
typedef struct {
    dpo_buffer symbols;
    dpo_buffer queue;
    tokenizer_words words;
} tokenizer_bpe_scratch;

void tokenizer_bpe_scratch_destroy(tokenizer_bpe_scratch *scratch);

/* U+2581, which SentencePiece writes for a space. */
extern const char tokenizer_space[];

/* Loads "model"; on error it may be half made and is destroyed all the same. */
DPO_MUST_CHECK dpo_status tokenizer_bpe_load(const char *where, const dpo_json *model,
                                             tokenizer_bpe *bpe);
void tokenizer_bpe_destroy(tokenizer_bpe *bpe);

/* Appends the int32_t ids of a piece [n_bytes]. */
DPO_MUST_CHECK dpo_status tokenizer_bpe_encode(const tokenizer_bpe *bpe,
                                               tokenizer_bpe_scratch *scratch, const char *text,
                                               int64_t n_bytes, dpo_buffer *ids);

/* The merge of two ids; NULL if there is none. */
const tokenizer_merge *tokenizer_bpe_merge(const tokenizer_bpe *bpe, int32_t left, int32_t right);

#endif
