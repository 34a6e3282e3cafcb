// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_REPORT_H
#define DPO_TRAIN_REPORT_H

/**
 * \file
 * What a run tells while it goes: metrics.jsonl, lines of the job log, the live line of a terminal.
 */

#include <stdio.h>

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/train/checkpoint.h"
#include "dpo/train/evaluation.h"
#include "dpo/train/run_config.h"
#include "dpo/train/step.h"

/** A report; zero-initialised it is closed. */
typedef struct {
    const dpo_grid *grid;      /**< borrowed */
    const dpo_run_config *run; /**< borrowed */
    char *path;                /**< owned; metrics.jsonl */
    FILE *stream;              /**< open on world rank 0 */
    int64_t first_step;        /**< steps done before this process began */
    int64_t n_steps;           /**< of the whole run */
    int64_t steps_per_epoch;   /**< for "epoch" */
    double peak_flops_per_s;   /**< of all ranks together, the best seen so far; 0: not measured */
    double begin_s;            /**< when it began */
} dpo_report;

/**
 * Opens metrics.jsonl in the run's folder.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid             Borrowed.
 * \param[in]  run              Borrowed.
 * \param[in]  step             Steps done; later lines of an earlier process are dropped.
 * \param[in]  n_steps          Steps of the whole run.
 * \param[in]  steps_per_epoch  > 0.
 * \param[in]  peak_flops_per_s Matmul peak of all ranks together; 0 = not measured, steps have no "mfu".
 * \param[out] report           For dpo_report_close(), also after an error.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_report_begin(const dpo_grid *grid, const dpo_run_config *run,
                                           int64_t step, int64_t n_steps, int64_t steps_per_epoch,
                                           double peak_flops_per_s, dpo_report *report);

/**
 * Reports a step. Its products raise the peak if they were faster: on a machine that others use too, what was
 * measured at start can be low.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] report   The report.
 * \param[in]     state    After the step.
 * \param[in]     lr       Learning rate of the step.
 * \param[in]     numbers  Its numbers.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_report_step(dpo_report *report, const dpo_checkpoint_state *state,
                                          double lr, const dpo_step_numbers *numbers);

/** Reports an evaluation. \collective{all ranks of the grid} \errors{DPO_EIO; DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_report_evaluation(dpo_report *report, int64_t step, double epoch,
                                                const dpo_evaluation *evaluation);

/** Says where the trained model lies and how to load it. \local */
void dpo_report_end(const dpo_report *report, const char *folder);

/** Closes the file. \local */
void dpo_report_close(dpo_report *report);

#endif
