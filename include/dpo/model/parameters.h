// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_PARAMETERS_H
#define DPO_MODEL_PARAMETERS_H

/**
 * \file
 * Where each Hugging Face tensor lies in the flat vector of all parameters.
 *
 *     embed_tokens [V, D]
 *     layer 0:  input_layernorm [D]
 *               q_proj [H E, D]  k_proj [K E, D]  v_proj [K E, D]  o_proj [D, H E]
 *               post_attention_layernorm [D]
 *               gate_proj [F, D]  up_proj [F, D]  down_proj [D, F]
 *     ...
 *     norm [D]
 *     lm_head [V, D]     only if not tied
 *
 * Invariant: rows are dense and in the order of their offsets, so that q, k and v are one matrix
 * [(H + 2K) E, D] and gate and up are one matrix [2F, D].
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/model/config.h"

enum { DPO_PARAMETER_NAME_BYTES = 96, DPO_PARAMETERS_PER_LAYER = 9 };

/** One tensor. */
typedef struct {
    char name[DPO_PARAMETER_NAME_BYTES]; /**< as in Hugging Face files */
    int n_dims;                          /**< 1 or 2 */
    int64_t dims[2];                     /**< rows, columns; dims[1] = 1 if n_dims = 1 */
    int64_t offset;                      /**< first element in the flat vector */
    int64_t count;                       /**< dims[0] * dims[1] */
    bool decays; /**< whether weight decay applies: not to norms and biases, as transformers */
} dpo_parameter;

/** The table; a plain value whose rows are owned by it. */
typedef struct {
    int64_t n_rows;     /**< tensors */
    dpo_parameter *row; /**< [n_rows], owned */
    int64_t n_elements; /**< length of the flat vector */
} dpo_parameters;

/**
 * Makes the table of a model.
 *
 * \local
 * \param[in]  config      The model.
 * \param[out] parameters  For dpo_parameters_destroy(); zero on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_parameters_create(const dpo_model_config *config,
                                                dpo_parameters *parameters);

/** Frees the rows and makes the table empty. \local */
void dpo_parameters_destroy(dpo_parameters *parameters);

/** Row of the tensor of this name; NULL if there is none. \local */
const dpo_parameter *dpo_parameters_find(const dpo_parameters *parameters, const char *name);

#endif
