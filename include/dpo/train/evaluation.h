// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_EVALUATION_H
#define DPO_TRAIN_EVALUATION_H

/**
 * \file
 * Loss and metrics of a model on a whole data set, without training; and texts it writes.
 */

#include "dpo/base/status.h"
#include "dpo/loss/metrics.h"
#include "dpo/train/session.h"

/** What was found; of all ranks. */
typedef struct {
    double loss;          /**< of the data set as one batch, nats */
    dpo_metric_sums sums; /**< for dpo_metric_value() */
    double time_s;        /**< wall-clock time */
} dpo_evaluation;

/**
 * Evaluates a data set.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] session     After dpo_session_load(); the model's weights are evaluated.
 * \param[in]     set         The data set.
 * \param[in]     objective   The objective.
 * \param[in]     params      Its parameters.
 * \param[out]    evaluation  The same on every rank.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_evaluation_run(dpo_session *session, dpo_set set,
                                             const dpo_objective *objective,
                                             const dpo_objective_params *params,
                                             dpo_evaluation *evaluation);

/** Prints it as a table to the log. \local */
void dpo_evaluation_log(const dpo_evaluation *evaluation);

/**
 * Appends eval_loss, eval_... to a metrics record.
 *
 * \local
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_evaluation_put(const dpo_evaluation *evaluation, dpo_json *record);

#endif
