// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_PARAMETERS_H
#define DPO_MODEL_PARAMETERS_H

/**
 * \file
 * Where each Hugging Face tensor, or what a tensor-parallel rank holds of it (partition.h), lies in
 * the rank's flat vector of parameters. Of one rank that holds everything:
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
 * [(H + 2K) E, D] and gate and up are one matrix [2F, D], of the heads and columns held.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/range.h"
#include "dpo/base/status.h"
#include "dpo/model/config.h"
#include "dpo/model/partition.h"

enum { DPO_PARAMETER_NAME_BYTES = 96, DPO_PARAMETERS_PER_LAYER = 9 };

/** How the tensor-parallel ranks share a tensor. */
typedef enum {
    DPO_SPLIT_NONE,   /**< each has all of it */
    DPO_SPLIT_ROWS,   /**< each has rows: column-parallel layers, embedding, head */
    DPO_SPLIT_COLUMNS /**< each has columns: row-parallel layers */
} dpo_split;

/** One tensor. */
typedef struct {
    char name[DPO_PARAMETER_NAME_BYTES]; /**< as in Hugging Face files */
    int n_dims;                          /**< 1 or 2 */
    int64_t dims[2];   /**< rows, columns of the whole; dims[1] = 1 if n_dims = 1 */
    dpo_split split;   /**< how it is shared */
    dpo_range held;    /**< rows or columns that this rank has; all rows if not split */
    dpo_range counted; /**< of them those that this rank counts where each is counted once */
    int64_t offset;    /**< first element in the flat vector */
    int64_t count;     /**< elements held; row-major, dense */
    bool decays; /**< whether weight decay applies: not to norms and biases, as transformers */
} dpo_parameter;

/** The table; a plain value whose rows are owned by it. */
typedef struct {
    int64_t n_rows;            /**< tensors */
    dpo_parameter *row;        /**< [n_rows], owned */
    int64_t n_elements;        /**< length of this rank's flat vector */
    int64_t n_elements_global; /**< elements of the whole model */
} dpo_parameters;

/**
 * Makes the table of one rank of a model.
 *
 * \local
 * \param[in]  config      The model.
 * \param[in]  partition   The rank's share.
 * \param[out] parameters  For dpo_parameters_destroy(); zero on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_parameters_create(const dpo_model_config *config,
                                                const dpo_partition *partition,
                                                dpo_parameters *parameters);

/** Frees the rows and makes the table empty. \local */
void dpo_parameters_destroy(dpo_parameters *parameters);

/** Row of the tensor of this name; NULL if there is none. \local */
const dpo_parameter *dpo_parameters_find(const dpo_parameters *parameters, const char *name);

/** The elements that this rank counts, as a range of its flat vector. \local */
dpo_range dpo_parameter_counted(const dpo_parameter *parameter);

/** Which elements a walk visits. */
typedef enum {
    DPO_HELD,   /**< all */
    DPO_COUNTED /**< those that this rank counts: over the tensor-parallel ranks each one once */
} dpo_elements;

/**
 * Serves elements that lie one behind the other in the flat vector and in the tensor.
 *
 * \param[in] context       The caller's.
 * \param[in] row           Number of the tensor.
 * \param[in] global_begin  First element in the whole tensor, row-major.
 * \param[in] count         Elements, > 0.
 * \param[in] local_begin   First element in the flat vector.
 * \errors{what it likes; the walk ends with it}
 */
typedef dpo_status dpo_run_function(void *context, int64_t row, int64_t global_begin, int64_t count,
                                    int64_t local_begin);

/**
 * Walks over a part of the flat vector, in its order.
 *
 * \local
 * \param[in] parameters  The table.
 * \param[in] local       Part of [0, n_elements).
 * \param[in] elements    Which of them.
 * \param[in] visit       Called for each longest run.
 * \param[in] context     Passed on.
 * \errors{the first of visit}
 */
DPO_MUST_CHECK dpo_status dpo_parameters_for_each_run(const dpo_parameters *parameters,
                                                      dpo_range local, dpo_elements elements,
                                                      dpo_run_function *visit, void *context);

#endif
