// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_MEMORY_PLAN_H
#define DPO_TRAIN_MEMORY_PLAN_H

/**
 * \file
 * The memory of a rank, known before any of it is taken, and the settings that make it fit.
 *
 * Of d data-parallel ranks each has the whole weights and gradients of its tensor-parallel part, and 1/d of
 * the optimizer's states and of the average (ZeRO stage 1, Rajbhandari et al. 2020).
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/model.h"

/** What a rank's memory follows from, beside the model's limits. */
typedef struct {
    const dpo_model_config *config; /**< borrowed */
    dpo_partition partition;        /**< of this rank */
    int data_size;                  /**< data-parallel ranks, > 0 */
    int n_states;                   /**< vectors that the optimizer keeps, >= 0 */
    bool has_average;               /**< of the weights */
    int64_t rank_shards;            /**< shards of a rank whose sums run along a tree, > 0 */
    int64_t program_bytes;          /**< what is in memory before */
} dpo_memory_needs;

/** One rank's memory, bytes. */
typedef struct {
    int64_t program;     /**< program, libraries, data sets */
    int64_t weights;     /**< f32 */
    int64_t rounded;     /**< weights in bf16 */
    int64_t gradients;   /**< f32 */
    int64_t optimizer;   /**< states of this rank's shard */
    int64_t average;     /**< of the weights, this rank's shard */
    int64_t shard_sums;  /**< partial sums of a reproducible run */
    int64_t activations; /**< kept from forward to backward */
    int64_t scratch;     /**< one layer's buffers, exchange and kernels */
    int64_t logits;      /**< kept from forward to backward */
    int64_t total;       /**< the sum */
} dpo_memory_plan;

/**
 * Adds a rank's memory up.
 *
 * \local
 * \param[in]  needs   What it follows from.
 * \param[in]  limits  What the model has room for.
 * \param[out] plan    The table.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_memory_plan_make(const dpo_memory_needs *needs,
                                               const dpo_model_limits *limits,
                                               dpo_memory_plan *plan);

/** What a micro-batch needs room for, as a function of its token budget. */
typedef struct {
    int64_t longest_tokens;  /**< of one example */
    int64_t longest_rows;    /**< of one example */
    double rows_per_token;   /**< budget of rows for each token of the budget */
    int64_t budget_tokens;   /**< wanted; > 0 */
    bool is_fixed;           /**< whether budget_tokens may not be lowered */
    bool recompute_is_fixed; /**< whether limits.recompute is the user's */
} dpo_memory_wishes;

/**
 * Finds settings that fit: first the token budget falls to no less than half of what is wanted, then
 * logits are not kept, then activations are computed again, then the budget falls to the longest example.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid         All ranks get the same settings.
 * \param[in]     needs        Of this rank.
 * \param[in]     limit_bytes  What this rank may use; may differ between ranks.
 * \param[in,out] wishes       budget_tokens is lowered.
 * \param[in,out] limits       In: the wish, for logits_bytes and recompute. Out: max_tokens, max_rows,
 *                             logits_bytes and recompute that fit.
 * \param[out]    plan         Of this rank.
 * \errors{DPO_ENOMEM with the least that would do, if nothing fits}
 */
DPO_MUST_CHECK dpo_status dpo_memory_plan_fit(const dpo_grid *grid, const dpo_memory_needs *needs,
                                              int64_t limit_bytes, dpo_memory_wishes *wishes,
                                              dpo_model_limits *limits, dpo_memory_plan *plan);

/** Prints the table to the log. \local */
void dpo_memory_plan_log(const dpo_memory_plan *plan, const dpo_model_limits *limits,
                         int64_t limit_bytes);

/** Rows that micro-batches of a token budget are packed to. \local */
int64_t dpo_memory_budget_rows(const dpo_memory_wishes *wishes);

#endif
