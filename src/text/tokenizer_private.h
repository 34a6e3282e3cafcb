// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_PRIVATE_H
#define TOKENIZER_PRIVATE_H

#include "dpo/text/tokenizer.h"
#include "tokenizer_added.h"
#include "tokenizer_bpe.h"
#include "tokenizer_decoder.h"
#include "tokenizer_normalizer.h"
#include "tokenizer_postprocessor.h"
#include "tokenizer_pretokenizer.h"

/* The tokens that the configuration gives a role. */
typedef enum {
    TOKENIZER_BOS,
    TOKENIZER_EOS,
    TOKENIZER_PAD,
    TOKENIZER_UNK,
    TOKENIZER_N_ROLES
} tokenizer_role;

/* In the order in which a text passes through. */
struct dpo_tokenizer {
    tokenizer_added added;
    tokenizer_normalizers normalizers;
    tokenizer_pretokenizers pretokenizers;
    tokenizer_bpe bpe;
    tokenizer_postprocessor postprocessor;
    tokenizer_decoders decoders;
    int32_t role[TOKENIZER_N_ROLES]; /* -1: none */
    dpo_digest digest;
};

/* A file with names of tokens. */
typedef struct {
    const char *where;
    const dpo_json *root; /* NULL if there is no such file */
} tokenizer_config;

/* Sets the roles from a tokenizer_config.json and a special_tokens_map.json, and checks that every
   token that they name is an added one. */
DPO_MUST_CHECK dpo_status tokenizer_config_apply(const tokenizer_config *config,
                                                 const tokenizer_config *map,
                                                 dpo_tokenizer *tokenizer);

#endif
