// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_LOSS_METRICS_H
#define DPO_LOSS_METRICS_H

/**
 * \file
 * What is reported of preference data, from the numbers an objective sees. Ranks and micro-batches
 * add their sums; every metric is a quotient of two of them, so it is that of the global batch.
 *
 * Notation as in objective.h; means run over edges and count each once, whatever its weight:
 *
 *     rewards/chosen, /rejected   beta h_w, beta h_l          rewards/margins     beta z
 *     rewards/accuracies          share with beta z > 0, as TRL counts
 *     logps/..., ref_logps/...    p and r, nats               lengths/...         response tokens
 *     kl/...                      sum of h over sum of tokens: movement of the policy, nats a token
 *     saturated                   share with s(beta z) > 0.99, whose slope is next to nothing
 *     chosen_logp_drop            share with p_w < r_w: the chosen response became less likely
 *
 * Without a reference r counts as 0 and ref_logps, kl and chosen_logp_drop are left out.
 */

#include "dpo/loss/objective.h"

/** What is summed; DPO_SUM_COUNT is how many there are. */
typedef enum {
    DPO_SUM_EDGES,
    DPO_SUM_REFERENCED_EDGES, /**< edges with a reference */
    DPO_SUM_LOGP_CHOSEN,
    DPO_SUM_LOGP_REJECTED,
    DPO_SUM_REF_LOGP_CHOSEN,
    DPO_SUM_REF_LOGP_REJECTED,
    DPO_SUM_REWARD_CHOSEN,
    DPO_SUM_REWARD_REJECTED,
    DPO_SUM_MARGIN,
    DPO_SUM_ACCURATE,
    DPO_SUM_LOGRATIO_CHOSEN,
    DPO_SUM_LOGRATIO_REJECTED,
    DPO_SUM_TOKENS_CHOSEN,
    DPO_SUM_TOKENS_REJECTED,
    DPO_SUM_REFERENCED_TOKENS_CHOSEN,
    DPO_SUM_REFERENCED_TOKENS_REJECTED,
    DPO_SUM_SATURATED,
    DPO_SUM_CHOSEN_DROPS,
    DPO_SUM_COUNT
} dpo_metric_sum;

/** Sums of one rank or of all; zero-initialised it is empty. Made for dpo_sum_f64(). */
typedef struct {
    double sum[DPO_SUM_COUNT]; /**< by dpo_metric_sum */
} dpo_metric_sums;

/** One metric. */
typedef struct {
    const char *name;           /**< as in metrics.jsonl, valid for ever */
    dpo_metric_sum numerator;   /**< sum above */
    dpo_metric_sum denominator; /**< sum below; where it is 0 there is no such metric */
} dpo_metric;

/**
 * Adds a batch to the sums.
 *
 * \local
 * \param[in]     batch  The batch; weights and normaliser are not used.
 * \param[in]     beta   > 0, 1/nat; factor of the rewards.
 * \param[in,out] sums   Added to.
 */
void dpo_metric_sums_add(const dpo_objective_batch *batch, double beta, dpo_metric_sums *sums);

/** The table of metrics, in the order of reporting. \local \return [*n] rows, valid for ever. */
const dpo_metric *dpo_metric_table(int *n);

/** Value of a metric; NaN if there is none (its denominator is 0). \local */
double dpo_metric_value(const dpo_metric *metric, const dpo_metric_sums *sums);

#endif
