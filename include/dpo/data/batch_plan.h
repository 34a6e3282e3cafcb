// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_BATCH_PLAN_H
#define DPO_DATA_BATCH_PLAN_H

/**
 * \file
 * Which examples a step takes, and which data-parallel rank computes them in which micro-batch of
 * which shard.
 *
 * The order of an epoch is a permutation that depends on seed and epoch only (or the file's order).
 * Global batch k of an epoch is slice [k B, min((k + 1) B, n)) of it; the last one may be short.
 * Examples of it with the same prompt stay together, as many as a micro-batch has room for and as leave every shard
 * something to do. They, and the others, are dealt to shards so that these cost the same, the most expensive first,
 * each to the shard with the least to do (Graham 1969); then the shard with most gives some away, or exchanges
 * them for cheaper ones, as long as that lowers its load. Those of a shard are packed into micro-batches under a
 * budget of tokens and rows, the longest first, each into the first that has room. An example longer
 * than the budget is alone in its micro-batch. With k shards a rank, rank r has shards [r k, (r + 1) k).
 *
 * Everything follows from the options and the costs, so every rank computes the plan of all ranks,
 * and needs to ask nobody.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/status.h"

/** What an example asks of the machine. */
typedef struct {
    int64_t tokens;    /**< > 0, tokens in a micro-batch (a shared prompt once): linear layers */
    int64_t rows;      /**< >= 0, rows that meet the vocabulary */
    double pairs;      /**< >= 0, visible (query, key) pairs: attention */
    dpo_digest prompt; /**< of its one prompt; zero if nothing is shared with other examples */
    int64_t prompt_tokens; /**< of tokens, what examples of that prompt share in a micro-batch */
    double prompt_pairs;   /**< of pairs, likewise */
} dpo_example_cost;

/** Whether two examples have their prompt in common and share it in a micro-batch. \local */
bool dpo_example_shares_prompt(const dpo_example_cost *a, const dpo_example_cost *b);

/** Everything that fixes all plans. */
typedef struct {
    int64_t n_examples;     /**< n >= 0 */
    int64_t batch_examples; /**< B > 0, examples per optimizer step, all ranks together */
    int64_t budget_tokens;  /**< > 0, tokens per micro-batch */
    int64_t budget_rows;    /**< > 0, rows per micro-batch */
    uint64_t seed;          /**< of the run */
    bool shuffle;           /**< false: the file's order in every epoch */
    int data_size;          /**< > 0, data-parallel ranks */
    int rank_shards;        /**< > 0, shards of each rank */
    double cost_of_token;   /**< >= 0; cost of an example = tokens * cost_of_token */
    double cost_of_row;     /**< >= 0;                    + rows * cost_of_row */
    double cost_of_pair;    /**< >= 0;                    + pairs * cost_of_pair */
} dpo_batch_plan_options;

/** Plans of steps, one at a time; opaque. */
typedef struct dpo_batch_plan dpo_batch_plan;

/**
 * Makes room for the largest plan. There is none before dpo_batch_plan_run().
 *
 * \local
 * \param[in]  options  Copied.
 * \param[in]  costs    [n]; borrowed for the life of the plan.
 * \param[out] plan     Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_batch_plan_create(const dpo_batch_plan_options *options,
                                                const dpo_example_cost *costs,
                                                dpo_batch_plan **plan);

/** Destroys a plan and sets the pointer to NULL; NULL is left alone. \local */
void dpo_batch_plan_destroy(dpo_batch_plan **plan);

/** Steps of one epoch: n / B, rounded up. \local */
int64_t dpo_batch_plan_steps_per_epoch(const dpo_batch_plan *plan);

/**
 * Plans a step. Cannot fail; what the functions below return changes.
 *
 * \local
 * \param[in,out] plan  The plan, of at least one example.
 * \param[in]     step  >= 0, counted over all epochs: epoch = step / steps per epoch.
 */
void dpo_batch_plan_run(dpo_batch_plan *plan, int64_t step);

/**
 * Examples of the step's global batch in the order of the epoch: [*n], borrowed until the next
 * run. \local
 */
const int64_t *dpo_batch_plan_examples(const dpo_batch_plan *plan, int64_t *n);

/**
 * Number of micro-batches of a shard in this step; 0 if there are too few examples.
 * \local
 */
int64_t dpo_batch_plan_n_micro_batches(const dpo_batch_plan *plan, int shard);

/**
 * Examples of one micro-batch.
 *
 * \local
 * \param[in]  plan       The plan.
 * \param[in]  shard      [0, data_size * rank_shards).
 * \param[in]  i          [0, n_micro_batches of the shard).
 * \param[out] n          > 0.
 * \return [*n] ascending, borrowed until the next run.
 */
const int64_t *dpo_batch_plan_micro_batch(const dpo_batch_plan *plan, int shard, int64_t i,
                                          int64_t *n);

/**
 * Cost of the most loaded rank over the mean of all ranks, >= 1; 1 if nothing costs anything.
 * \local
 */
double dpo_batch_plan_imbalance(const dpo_batch_plan *plan);

#endif
