// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_TOKENIZER_H
#define DPO_TEXT_TOKENIZER_H

/**
 * \file
 * The tokenizer of a Hugging Face model folder: text to token ids and back, id for id as the library
 * `tokenizers` does it.
 *
 * Understood are BPE models (byte-level, and SentencePiece-style with byte fallback) with the
 * components that tokenizer.json files of decoder models use. Anything else is refused while loading, by
 * its name and place in the file; nothing is skipped.
 *
 * A loaded tokenizer never changes: any number of threads may use it at once.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/digest.h"
#include "dpo/base/status.h"

/** A tokenizer; opaque. */
typedef struct dpo_tokenizer dpo_tokenizer;

/**
 * Loads tokenizer.json and, where they exist, tokenizer_config.json and special_tokens_map.json.
 *
 * The beginning-of-sequence, end-of-sequence, padding and unknown tokens are those of
 * tokenizer_config.json. As in transformers, special_tokens_map.json goes before it where it has no
 * "added_tokens_decoder", and is ignored where it has one. Every token that these files name must be one
 * of the "added_tokens" of tokenizer.json with the same properties, or it would not be found in a text.
 *
 * \local
 * \param[in]  folder     Model folder.
 * \param[out] tokenizer  Owned by the caller, for dpo_tokenizer_destroy(); NULL on error.
 * \errors{DPO_EIO if tokenizer.json cannot be read; DPO_EDATA if a file is malformed or has a component
 *         that is not understood; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_tokenizer_load(const char *folder, dpo_tokenizer **tokenizer);

/**
 * Makes a tokenizer from texts in memory.
 *
 * \local
 * \param[in]  source     Name for messages.
 * \param[in]  text       Content of a tokenizer.json [n_bytes], need not be terminated.
 * \param[in]  n_bytes    >= 0.
 * \param[in]  config     Content of a tokenizer_config.json, zero-terminated; NULL if there is none.
 * \param[out] tokenizer  Owned by the caller, for dpo_tokenizer_destroy(); NULL on error.
 * \errors{DPO_EDATA; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_tokenizer_parse(const char *source, const char *text, int64_t n_bytes,
                                              const char *config, dpo_tokenizer **tokenizer);

/** Destroys a tokenizer and sets the pointer to NULL; NULL is left alone. \local */
void dpo_tokenizer_destroy(dpo_tokenizer **tokenizer);

/**
 * Appends the token ids of a text. Added tokens ("<|im_start|>") are recognised inside the text.
 *
 * \local
 * \param[in]     tokenizer    The tokenizer.
 * \param[in]     text         UTF-8 [n_bytes].
 * \param[in]     n_bytes      >= 0.
 * \param[in]     add_special  Whether the post-processor of the file adds its tokens (such as a beginning of
 *                             sequence).
 * \param[in,out] ids          int32_t items are appended; unchanged on error.
 * \errors{DPO_EDATA if the text is not UTF-8 or its pre-tokenizer pattern gives up on it; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_tokenizer_encode(const dpo_tokenizer *tokenizer, const char *text,
                                               int64_t n_bytes, bool add_special, dpo_buffer *ids);

/**
 * Appends the text of token ids. Bytes that are not UTF-8 (a character cut in two) become U+FFFD, as in
 * `tokenizers`; ids without a token are left out.
 *
 * \local
 * \param[in]     tokenizer     The tokenizer.
 * \param[in]     ids           [n_ids].
 * \param[in]     n_ids         >= 0.
 * \param[in]     skip_special  Whether special tokens are left out.
 * \param[in,out] text          UTF-8 is appended; unchanged on error.
 * \errors{DPO_EDATA if the pattern of a Replace decoder gives up on the text; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_tokenizer_decode(const dpo_tokenizer *tokenizer, const int32_t *ids,
                                               int64_t n_ids, bool skip_special, dpo_buffer *text);

/** Id of the beginning-of-sequence token; -1 if the model has none. \local */
int32_t dpo_tokenizer_bos(const dpo_tokenizer *tokenizer);

/** Id of the end-of-sequence token; -1 if the model has none. \local */
int32_t dpo_tokenizer_eos(const dpo_tokenizer *tokenizer);

/** Id of the padding token; -1 if the model has none. \local */
int32_t dpo_tokenizer_pad(const dpo_tokenizer *tokenizer);

/** Id of the unknown token as the configuration names it; -1 if the model has none. \local */
int32_t dpo_tokenizer_unk(const dpo_tokenizer *tokenizer);

/** Text of the beginning-of-sequence token, "" if there is none; borrowed from the tokenizer. \local */
const char *dpo_tokenizer_bos_text(const dpo_tokenizer *tokenizer);

/** Text of the end-of-sequence token, "" if there is none; borrowed from the tokenizer. \local */
const char *dpo_tokenizer_eos_text(const dpo_tokenizer *tokenizer);

/** The largest token id plus one, added tokens included. \local */
int64_t dpo_tokenizer_size(const dpo_tokenizer *tokenizer);

/**
 * A token as it stands in the file (byte-level tokens in their printable alphabet).
 *
 * \local
 * \param[in] tokenizer  The tokenizer.
 * \param[in] id         Any number.
 * \return Zero-terminated, borrowed from the tokenizer; NULL if no token has this id.
 */
const char *dpo_tokenizer_token_text(const dpo_tokenizer *tokenizer, int32_t id);

/**
 * The id of a token as it stands in the file.
 *
 * \local
 * \param[in] tokenizer  The tokenizer.
 * \param[in] text       Zero-terminated.
 * \return The id; -1 if there is no such token.
 */
int32_t dpo_tokenizer_token_id(const dpo_tokenizer *tokenizer, const char *text);

/** Digest of everything that decides about ids: changes when one of the files changes. \local */
dpo_digest dpo_tokenizer_digest(const dpo_tokenizer *tokenizer);

#endif
