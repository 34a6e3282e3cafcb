// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_STEP_H
#define DPO_TRAIN_STEP_H

/**
 * \file
 * One optimizer step: micro-batches forward and backward, the gradient of the global batch, clipping, the
 * update, and the numbers of the step. Everything is planned before; nothing in it can fail, except
 * that the numbers cease to be finite, which all ranks learn alike.
 *
 * Who holds what (data-parallel rank r of d): weights and gradients are whole on every rank; a shard of about
 * 1/d of the flat vector belongs to rank r, which holds its optimizer state. Gradients are summed
 * to the shards in buckets (comm/buckets.h), which go out while the backward pass of the last micro-batch
 * still runs; shards are updated, weights are gathered.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/comm/buckets.h"
#include "dpo/loss/metrics.h"
#include "dpo/optim/ema.h"
#include "dpo/optim/noise.h"
#include "dpo/optim/optimizer.h"
#include "dpo/train/session.h"

/** What a step works with; borrowed parts live longer than it. */
typedef struct {
    dpo_session *session;           /**< borrowed; its model is trainable */
    const dpo_objective *objective; /**< the objective */
    dpo_objective_params params;    /**< its parameters */
    double clip;                    /**< largest gradient norm; 0: off */
    dpo_batch_plan *plan;           /**< borrowed */
    dpo_buckets *buckets;           /**< borrowed; of the gradient, over the data-parallel ranks */
    dpo_optimizer *optimizer;       /**< borrowed; of the shard of buckets */
    dpo_ema *ema;                   /**< borrowed; of the shard of buckets; NULL: none */
} dpo_step;

/** Numbers of a step; of the global batch, the same on every rank. */
typedef struct {
    double loss;           /**< before the update, nats */
    double reference_loss; /**< the same with the policy at the reference: ln 2 for sigmoid */
    double grad_norm;      /**< before clipping */
    double n_tokens; /**< prompt and response tokens of all responses, as TRL's num_tokens counts */
    dpo_metric_sums sums; /**< for dpo_metric_value() */
    dpo_noise noise;      /**< of the gradient */
    double imbalance;     /**< most loaded rank over the mean, as planned */
    double flops;         /**< floating-point operations that it needs (scaling/flops.h) */
    double step_s;        /**< wall-clock time of rank 0 */
    double comm_s;        /**< of it in communication */
    double rss_bytes;     /**< resident memory of all ranks together */
    bool is_finite;       /**< loss and gradient of every rank */
    bool must_stop;       /**< a signal asked a rank to stop */
} dpo_step_numbers;

/**
 * Runs a step. If the numbers are not finite the weights stay as they were.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] step     What it works with.
 * \param[in]     number   Steps done before.
 * \param[in]     lr       Learning rate.
 * \param[out]    numbers  The same on every rank.
 */
void dpo_step_run(dpo_step *step, int64_t number, double lr, dpo_step_numbers *numbers);

#endif
