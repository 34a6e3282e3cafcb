// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_PASS_H
#define DPO_TRAIN_PASS_H

/**
 * \file
 * One micro-batch through the model: forward to the log-probs of its responses, and backward from their
 * slopes. Training, evaluation and the reference pass all go through here, so that policy and reference
 * are computed alike.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/data/batch_plan.h"
#include "dpo/loss/objective.h"
#include "dpo/model/model.h"
#include "dpo/train/microbatch.h"

/** A model with room for a micro-batch and its numbers; R = rows, each response has at least one. */
typedef struct {
    dpo_model *model;          /**< borrowed */
    bool shares;               /**< lay out once what texts begin with alike */
    dpo_microbatch microbatch; /**< the current one */
    float *row_logp;           /**< owned, f32 [R] log-prob of each predicted token, nats */
    float *row_coefficient;    /**< owned, f32 [R] dL/dlogp of each */
    double *logp;              /**< owned, f64 [responses] sums over the response's rows */
    double *reference_logp;    /**< owned, f64 [responses] */
    double *slope;             /**< owned, f64 [responses] dL/dlogp */
    int64_t *n_tokens;         /**< owned, [responses] */
    int64_t *edge_chosen;      /**< owned, [edges] index among the micro-batch's responses */
    int64_t *edge_rejected;    /**< owned, [edges] */
    float *edge_weight;        /**< owned, [edges] */
    int64_t n_edges;           /**< of the current micro-batch */
    int64_t max_edges;         /**< capacity */
} dpo_pass;

/**
 * Makes room for passes.
 *
 * \local
 * \param[in]  model          Its limits are those of the micro-batches; borrowed.
 * \param[in]  max_edges      Most comparisons of a micro-batch, >= 0.
 * \param[in]  shares         Lay out once what texts of a micro-batch begin with alike.
 * \param[out] pass           For dpo_pass_destroy(), also after an error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_pass_create(dpo_model *model, int64_t max_edges, bool shares,
                                          dpo_pass *pass);

/** Frees the arrays and makes it zero. \local */
void dpo_pass_destroy(dpo_pass *pass);

/**
 * Lays out examples and computes row_logp and logp. Cannot fail.
 *
 * \collective{the tensor-parallel ranks, with the same examples}
 * \param[in,out] pass        The pass.
 * \param[in]     store       The token store.
 * \param[in]     n_examples  >= 0.
 * \param[in]     examples    [n_examples] within the capacity.
 */
void dpo_pass_forward(dpo_pass *pass, const dpo_token_store *store, int64_t n_examples,
                      const int64_t *examples);

/**
 * What an objective sees of the current micro-batch.
 *
 * \local
 * \param[in,out] pass            After dpo_pass_forward(); slope is set to zero.
 * \param[in]     reference_logp  f64 [responses of the token store], nats; NULL if there is no reference.
 * \param[in]     normaliser      Comparisons of the global batch.
 * \return Borrowed arrays of the pass, valid until the next pass.
 */
dpo_objective_batch dpo_pass_objective_batch(dpo_pass *pass, const double *reference_logp,
                                             double normaliser);

/**
 * Adds the gradient that follows from pass->slope to the model's gradients. Cannot fail.
 *
 * \collective{the tensor-parallel ranks}
 * \param[in,out] pass  After dpo_pass_forward().
 * \param[in]     last  As in dpo_model_backward().
 */
void dpo_pass_backward(dpo_pass *pass, const dpo_gradient_sink *last);

#endif
