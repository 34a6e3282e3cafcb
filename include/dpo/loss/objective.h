// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_LOSS_OBJECTIVE_H
#define DPO_LOSS_OBJECTIVE_H

/**
 * \file
 * The objectives: functions from the log-probs of responses to a loss and its slopes. An objective
 * is a row of a constant table, named as in TRL's loss_type.
 *
 *     loss = 1/normaliser * sum over edges of weight * L(edge),    slope[r] = d loss / d logp[r]
 *
 * Notation of the formulas: p_w, p_l are the policy's log-probs of the chosen and the rejected
 * response of an edge, r_w, r_l the reference's; h = p - r; z = h_w - h_l; s(x) = 1 / (1 +
 * exp(-x)). A response in several edges gets the sum of their slopes.
 *
 * The way in for another objective: write a function of type dpo_objective_run_function and add its
 * row in src/loss/objective.c; a new parameter is one member of dpo_objective_params and one row of
 * the parameter table; what else it needs of a response (scores, labels) or of an example (where
 * its responses begin) is one more array of dpo_objective_batch. It sees everything its caller has
 * gathered, so listwise and unpaired objectives and those that couple the whole global batch
 * (couples_batch) have the same form. A term with another normaliser, such as the NLL of the chosen
 * response, is an objective of its own that is added to the first: dpo_objective_run() adds.
 * Weights of tokens (LD-DPO, temporal decay) belong in front: the caller sums weight * logp over
 * the tokens of policy and reference alike, and multiplies the slope by the same weight on its way
 * back.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dpo/base/status.h"

/** Parameters of all objectives; those that an objective does not use may not be given. */
typedef struct {
    double beta;            /**< > 0, 1/nat; strength of the pull towards the reference */
    double label_smoothing; /**< [0, 0.5); probability that a comparison is the wrong way round */
} dpo_objective_params;

/** Bits of sets of parameters, in the order of the parameter table. */
enum { DPO_USES_BETA = 1 << 0, DPO_USES_LABEL_SMOOTHING = 1 << 1 };

/** A row of the parameter table: allowed are values above min (or min itself) and below max. */
typedef struct {
    const char *key;   /**< its name in the configuration, below "objective." */
    uint32_t bit;      /**< DPO_USES_... */
    size_t offset;     /**< of the double in dpo_objective_params */
    double min;        /**< lower end */
    bool min_allowed;  /**< whether min itself is allowed */
    double max;        /**< upper end, not allowed itself; may be infinite */
    const char *range; /**< the same in words */
    const char *help;  /**< one line: unit and meaning */
} dpo_objective_parameter;

/**
 * What an objective sees; all arrays are borrowed. R = n_responses, C = n_edges.
 *
 * For an objective that couples the batch these are all responses and edges of the global batch,
 * gathered in the same order on every rank; for the others any part of it will do, for example one
 * micro-batch.
 */
typedef struct {
    int64_t n_responses; /**< R >= 0 */
    const double *logp;  /**< f64 [R] sum over the response's tokens under the policy, nats */
    const double
        *reference_logp;        /**< f64 [R] the same under the reference; NULL if there is none */
    const int64_t *n_tokens;    /**< i64 [R] tokens of the response, > 0 */
    int64_t n_edges;            /**< C >= 0 */
    const int64_t *edge_chosen; /**< i64 [C] the better response of a comparison, [0, R) */
    const int64_t *edge_rejected; /**< i64 [C] the other one, [0, R) */
    const float *edge_weight;     /**< f32 [C] > 0; NULL: all are 1 */
    double normaliser; /**< > 0: number of edges of the global batch; divided by its weight if
                                       the objective is one term of several */
} dpo_objective_batch;

/**
 * Computes one objective.
 *
 * \param[in]     params  Parameters in their ranges.
 * \param[in]     batch   The batch.
 * \param[in,out] slope   f64 [R]; slopes are added, 1/nat.
 * \return The loss of this part of the global batch, nats.
 */
typedef double dpo_objective_run_function(const dpo_objective_params *params,
                                          const dpo_objective_batch *batch, double *slope);

/** A row of the table of objectives. */
typedef struct {
    const char *name;                /**< as in TRL's loss_type */
    dpo_objective_run_function *run; /**< use dpo_objective_run() */
    uint32_t uses;                   /**< set of DPO_USES_... */
    bool couples_batch;              /**< needs the whole global batch at once */
    bool needs_reference;            /**< reference_logp may not be NULL */
    const char *help;                /**< one line, with its source */
} dpo_objective;

/** The table of objectives. \local \return [*n] rows, valid for ever. */
const dpo_objective *dpo_objective_table(int *n);

/** The table of parameters. \local \return [*n] rows, valid for ever. */
const dpo_objective_parameter *dpo_objective_parameter_table(int *n);

/**
 * Finds an objective by its name.
 *
 * \local
 * \param[in]  name       For example "sigmoid".
 * \param[out] objective  Its row, valid for ever; NULL on error.
 * \errors{DPO_EUSAGE with the nearest known name}
 */
DPO_MUST_CHECK dpo_status dpo_objective_find(const char *name, const dpo_objective **objective);

/**
 * Refuses parameters that the objective would ignore, and values out of range.
 *
 * \local
 * \param[in] objective  The objective.
 * \param[in] params     Its parameters.
 * \param[in] given      Set of DPO_USES_...: those the user has set.
 * \errors{DPO_EUSAGE}
 */
DPO_MUST_CHECK dpo_status dpo_objective_check(const dpo_objective *objective,
                                              const dpo_objective_params *params, uint32_t given);

/**
 * Computes the loss and adds its slopes. Cannot fail; finite for any finite log-probs.
 *
 * \local
 * \param[in]     objective  From dpo_objective_find().
 * \param[in]     params     Accepted by dpo_objective_check().
 * \param[in]     batch      The whole global batch if objective->couples_batch, else any part of
 *                           it.
 * \param[in,out] slope      f64 [R], d loss / d logp is added, 1/nat.
 * \return The loss of this part, nats; the parts' sum is the loss of the global batch.
 */
double dpo_objective_run(const dpo_objective *objective, const dpo_objective_params *params,
                         const dpo_objective_batch *batch, double *slope);

#endif
