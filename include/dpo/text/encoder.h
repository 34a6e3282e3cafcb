// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_ENCODER_H
#define DPO_TEXT_ENCODER_H

/**
 * \file
 * A tokenizer with working memory and a memory for words, for those who encode many texts: each frequent word is
 * looked up, not made again. The ids are those of dpo_tokenizer_encode().
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/text/tokenizer.h"

/** An encoder; opaque, for one thread at a time. */
typedef struct dpo_encoder dpo_encoder;

/**
 * Makes an encoder (about 1 MiB).
 *
 * \local
 * \param[in]  tokenizer  Borrowed for the life of the encoder; any number of encoders may share it.
 * \param[out] encoder    Owned by the caller, for dpo_encoder_destroy(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_encoder_create(const dpo_tokenizer *tokenizer, dpo_encoder **encoder);

/** Destroys an encoder and sets the pointer to NULL; NULL is left alone. \local */
void dpo_encoder_destroy(dpo_encoder **encoder);

/**
 * Appends the token ids of a text, as dpo_tokenizer_encode() does.
 *
 * \local
 * \param[in,out] encoder      The encoder.
 * \param[in]     text         UTF-8 [n_bytes].
 * \param[in]     n_bytes      >= 0.
 * \param[in]     add_special  Whether the post-processor of the file adds its tokens.
 * \param[in,out] ids          int32_t items are appended; unchanged on error.
 * \errors{DPO_EDATA if the text is not UTF-8 or its pre-tokenizer pattern gives up on it; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_encoder_run(dpo_encoder *encoder, const char *text, int64_t n_bytes,
                                          bool add_special, dpo_buffer *ids);

#endif
