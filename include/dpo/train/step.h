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
 * 1/d of the flat vector belongs to rank r, which holds its optimizer state. Gradients go out in
 * buckets while the last micro-batch's backward pass runs and are summed into the shards, shards
 * are updated, weights are gathered.
 *
 * A reproducible run (parallel.reproducible) has k shards of the batch a rank; their gradients are summed along a
 * tree before anything goes out (gradient_tree.h).
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/comm/buckets.h"
#include "dpo/loss/metrics.h"
#include "dpo/optim/ema.h"
#include "dpo/optim/noise.h"
#include "dpo/optim/optimizer.h"
#include "dpo/train/gradient_tree.h"
#include "dpo/train/session.h"

/** What a step works with; borrowed parts live longer than it. */
typedef struct {
    dpo_session *session;           /**< borrowed; its model is trainable */
    const dpo_objective *objective; /**< the objective */
    dpo_objective_params params;    /**< its parameters */
    double clip;                    /**< largest gradient norm; 0: off */
    dpo_batch_plan *plan;           /**< borrowed */
    dpo_buckets *buckets;           /**< owned; gradient sums and the rank's shard */
    dpo_gradient_tree *tree;        /**< owned; NULL: the rank has one shard of the batch */
    dpo_optimizer *optimizer;       /**< borrowed; of the shard of buckets */
    dpo_ema *ema;                   /**< borrowed; of the same shard; NULL: none */
} dpo_step;

/** Numbers of a step; of the global batch, the same on every rank. */
typedef struct {
    double loss;           /**< before the update, nats */
    double reference_loss; /**< the same with the policy at the reference: ln 2 for sigmoid */
    double grad_norm;      /**< before clipping */
    double n_tokens; /**< prompt and response tokens of all responses, as TRL's num_tokens counts */
    dpo_metric_sums sums;    /**< for dpo_metric_value() */
    dpo_noise noise;         /**< of the gradient */
    double imbalance;        /**< most loaded rank over the mean, as planned */
    double flops;            /**< floating-point operations that it needs (scaling/flops.h) */
    double best_flops_per_s; /**< of the fastest phase of each rank, summed over the ranks */
    double step_s;           /**< wall-clock time of rank 0 */
    double comm_s;           /**< of it in communication */
    double rss_bytes;        /**< resident memory of all ranks together */
    bool is_finite;          /**< loss and gradient of every rank */
    bool must_stop;          /**< a signal asked a rank to stop */
} dpo_step_numbers;

/**
 * Plans how gradients are summed: buckets and tree.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] step  With a session; for dpo_step_close(), also after an error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_step_open(dpo_step *step);

/** Frees what dpo_step_open() made. \collective{all ranks of the grid} */
void dpo_step_close(dpo_step *step);

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
