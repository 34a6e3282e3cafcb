// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_NORMALIZER_H
#define TOKENIZER_NORMALIZER_H

#include "dpo/base/json.h"

/* The normalizers of a file, in order. */
typedef struct {
    dpo_buffer steps; /* of a private type */
} tokenizer_normalizers;

/* Loads "normalizer" (NULL if it is absent); on error the list is destroyed by the caller all the
   same. */
DPO_MUST_CHECK dpo_status tokenizer_normalizers_load(const char *where, const dpo_json *node,
                                                     tokenizer_normalizers *normalizers);
void tokenizer_normalizers_destroy(tokenizer_normalizers *normalizers);

/* Replaces out by the normalized UTF-8 text [n_bytes]. */
DPO_MUST_CHECK dpo_status tokenizer_normalize(const tokenizer_normalizers *normalizers,
                                              const char *text, int64_t n_bytes, dpo_buffer *out);

#endif
