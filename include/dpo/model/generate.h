// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_GENERATE_H
#define DPO_MODEL_GENERATE_H

/**
 * \file
 * Continuing a text, greedily or by sampling, with a key-value cache.
 *
 * A token is drawn from softmax(logits / temperature), cut to the top_k most likely tokens and
 * then to the fewest most likely ones whose probabilities sum to at least top_p (Holtzman et al.
 * 2020), in the order that transformers cuts. Random numbers depend on (seed, sequence, index of
 * the new token) only.
 */

#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/model/model.h"

/** How tokens are chosen. */
typedef struct {
    double temperature;     /**< >= 0; 0 takes the most likely token (the lowest id among equals) */
    int64_t top_k;          /**< >= 0; 0 = all */
    double top_p;           /**< (0, 1]; 1 = all */
    uint64_t seed;          /**< of the run */
    uint32_t sequence;      /**< number of the text within the run */
    int64_t max_new_tokens; /**< >= 0 */
    int64_t n_stops;        /**< >= 0 */
    const int32_t
        *stop; /**< [n_stops] tokens that end the text; the one that did is part of the result */
} dpo_sampling;

/** A model's decoder with room for one sequence; opaque. */
typedef struct dpo_generator dpo_generator;

/**
 * Makes a decoder.
 *
 * \local
 * \param[in]  model       Borrowed for the decoder's life; a pass of the decoder is a pass of the
 *                         model.
 * \param[in]  max_length  Tokens of the longest sequence, prompt and text, in (0,
 *                         limits.max_positions].
 * \param[out] generator   Owned by the caller, for dpo_generator_destroy(); NULL on error.
 * \errors{DPO_EUSAGE if max_length is more than the model's positions; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_generator_create(dpo_model *model, int64_t max_length,
                                               dpo_generator **generator);

/** Destroys a decoder and sets the pointer to NULL; NULL is left alone. \local */
void dpo_generator_destroy(dpo_generator **generator);

/**
 * Continues a prompt. Ends at a stop token, after max_new_tokens, or when max_length is reached.
 *
 * \collective{the tensor-parallel ranks, which give the same prompt and get the same tokens}
 * \param[in,out] generator  The decoder.
 * \param[in]     n_prompt   > 0, at most max_length.
 * \param[in]     prompt     [n_prompt] token ids in [0, V).
 * \param[in]     sampling   How.
 * \param[out]    token      [sampling->max_new_tokens] the new tokens.
 * \return Number of new tokens.
 */
int64_t dpo_generator_run(dpo_generator *generator, int64_t n_prompt, const int32_t *prompt,
                          const dpo_sampling *sampling, int32_t *token);

#endif
