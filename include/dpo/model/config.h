// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_CONFIG_H
#define DPO_MODEL_CONFIG_H

/**
 * \file
 * Sizes and constants of a model, from the config.json of a Hugging Face folder.
 *
 * Everything in the file that changes the mathematics is read or refused by name. Keys that
 * describe only the training of the makers, or the layout of their caches, are passed over.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/json.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/math/rotary.h"
#include "dpo/store/safetensors.h"

enum { DPO_MODEL_MAX_STOPS = 16 };

/**
 * A model of the Llama family; a plain value.
 *
 * The embedding of the padding token gets no gradient from where it is read, only from a tied head,
 * because torch leaves it out and transformers tells it to (nn.Embedding, padding_idx).
 *
 * Invariant: sizes are > 0, n_kv_heads divides n_heads, head_dim is even, rope.head_dim = head_dim,
 * rope.max_positions = max_positions, ids are in [0, n_vocab) or -1.
 */
typedef struct {
    int64_t n_layers;        /**< L, num_hidden_layers */
    int64_t d_model;         /**< D, hidden_size */
    int64_t n_heads;         /**< H, num_attention_heads */
    int64_t n_kv_heads;      /**< K, num_key_value_heads */
    int64_t head_dim;        /**< E */
    int64_t d_ff;            /**< F, intermediate_size */
    int64_t n_vocab;         /**< V, vocab_size */
    int64_t max_positions;   /**< max_position_embeddings, tokens */
    double norm_eps;         /**< rms_norm_eps */
    dpo_rotary_options rope; /**< of the whole context */
    bool tied;               /**< the output projection is the embedding */
    dpo_tensor_type type;    /**< of the weights by dtype: F32, BF16 or F16; F32 if not said */
    int32_t bos;             /**< bos_token_id, -1 = none */
    int32_t padding;         /**< pad_token_id, -1 = none; see above */
    int n_stops;             /**< [0, DPO_MODEL_MAX_STOPS] */
    int32_t stop[DPO_MODEL_MAX_STOPS]; /**< eos_token_id, of generation_config.json if it says */
} dpo_model_config;

/**
 * Reads a configuration out of a parsed config.json.
 *
 * \local
 * \param[in]  root    The object.
 * \param[in]  where   Name for messages, such as "smollm2/config.json".
 * \param[out] config  All of it; unspecified on error.
 * \errors{DPO_EDATA if a key is absent, malformed or impossible; DPO_EUSAGE if the model is of a
 *         kind that this program does not compute}
 */
DPO_MUST_CHECK dpo_status dpo_model_config_parse(const dpo_json *root, const char *where,
                                                 dpo_model_config *config);

/**
 * Reads config.json and generation_config.json (if there) of a model folder. World rank 0 reads.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid.
 * \param[in]  folder  The model folder.
 * \param[out] config  The same on every rank; unspecified on error.
 * \errors{as dpo_model_config_parse(); DPO_EIO if there is no config.json; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_model_config_read(const dpo_grid *grid, const char *folder,
                                                dpo_model_config *config);

#endif
