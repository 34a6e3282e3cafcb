// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_PARTITION_H
#define DPO_MODEL_PARTITION_H

/**
 * \file
 * How the tensor-parallel ranks split a model, as Megatron-LM does with sequence parallelism
 * (Shoeybi et al. 2019, Korthikanti et al. 2022), but in ranges that need not be even:
 *
 *                    rank 0            rank 1           example: H = 9, K = 3, two ranks
 *     query heads    [0, 5)            [5, 9)           rows of q_proj, columns of o_proj
 *     kv heads       [0, 2)            [1, 3)           rows of k_proj, v_proj; head 1 is on both
 *     MLP columns    [0, F/2)          [F/2, F)         rows of gate_proj, up_proj, columns of down_proj
 *     vocabulary     [0, V/2)          [V/2, V)         rows of embed_tokens, lm_head
 *     tokens         [0, N/2)          [N/2, N)         residual stream and norms of a batch
 *     norm weights   all               all              gradient summed over both
 *
 * A rank has the key-value heads that its query heads use, so a head may be on several ranks; its
 * gradient is summed over them, and the first of them counts it where something is counted once.
 */

#include <stdint.h>

#include "dpo/base/range.h"
#include "dpo/base/status.h"
#include "dpo/model/config.h"

/** One rank's share of a model; a plain value. */
typedef struct {
    int size;             /**< tensor-parallel ranks, > 0 */
    int rank;             /**< [0, size) */
    dpo_range heads;      /**< query heads, not empty */
    dpo_range kv_heads;   /**< those that its query heads use, not empty */
    dpo_range counted_kv; /**< of them those that no rank before it has */
    dpo_range ff;         /**< columns of the MLP, not empty */
    dpo_range vocabulary; /**< token ids, not empty */
} dpo_partition;

/**
 * Splits a model.
 *
 * \local
 * \param[in]  config     The model.
 * \param[in]  size       Tensor-parallel ranks, > 0.
 * \param[in]  rank       [0, size).
 * \param[out] partition  The rank's share; unspecified on error.
 * \errors{DPO_EUSAGE if there are more ranks than query heads, MLP columns or tokens}
 */
DPO_MUST_CHECK dpo_status dpo_partition_make(const dpo_model_config *config, int size, int rank,
                                             dpo_partition *partition);

/** The tokens (or rows) of n that a rank owns between the layers. \local */
dpo_range dpo_partition_tokens(const dpo_partition *partition, int64_t n);

/** Number of key-value heads that more than one rank has. \local */
int64_t dpo_partition_n_shared_kv(const dpo_model_config *config, int size);

/**
 * The key-value heads that more than one rank has.
 *
 * \local
 * \param[in]  config  The model.
 * \param[in]  size    Tensor-parallel ranks.
 * \param[out] head    [dpo_partition_n_shared_kv()] ascending.
 */
void dpo_partition_shared_kv(const dpo_model_config *config, int size, int64_t *head);

/**
 * Multiply-adds a token of the rank with the most work over the mean of all ranks, >= 1; of the
 * layers, without attention's products.
 *
 * \local
 */
double dpo_partition_imbalance(const dpo_model_config *config, int size);

#endif
