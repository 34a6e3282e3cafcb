// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_SCHEDULE_H
#define DPO_OPTIM_SCHEDULE_H

/**
 * \file
 * Learning rate of every step, as the schedules of Hugging Face transformers define it.
 *
 * Steps count from 0, N of them: the update of step s uses rate(s). With a warm-up of W steps
 *
 *     s < W     lr * s / W
 *     constant  lr
 *     linear    lr * (N - s) / (N - W)
 *     cosine    min_lr + (lr - min_lr) * (1 + cos(pi (s - W) / (N - W))) / 2
 *
 * so the first update of a warm-up moves nothing, there as here. min_lr has no part in the warm-up.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"

/** Share of the peak rate in (0, 1] behind the warm-up; progress in [0, 1]. */
typedef double dpo_schedule_shape(double progress);

/** A row of the table of schedules. */
typedef struct {
    const char *name;          /**< "constant", "linear", "cosine" */
    dpo_schedule_shape *shape; /**< behind the warm-up */
    bool uses_min_lr;          /**< whether min_lr may be given */
} dpo_schedule_kind;

/** A schedule; made by dpo_schedule_make(), a plain value. */
typedef struct {
    const dpo_schedule_kind *kind; /**< its row */
    double lr;                     /**< peak */
    double min_lr;                 /**< end */
    int64_t n_warmup;              /**< W */
    int64_t n_steps;               /**< N */
} dpo_schedule;

/** The table of schedules. \local \return [*n] rows, valid for ever. */
const dpo_schedule_kind *dpo_schedule_table(int *n);

/**
 * Finds a schedule by its name.
 *
 * \local
 * \param[in]  name  For example "linear".
 * \param[out] kind  Its row, valid for ever; NULL on error.
 * \errors{DPO_EUSAGE with the nearest known name}
 */
DPO_MUST_CHECK dpo_status dpo_schedule_find(const char *name, const dpo_schedule_kind **kind);

/**
 * Makes a schedule.
 *
 * \local
 * \param[in]  kind      From dpo_schedule_find().
 * \param[in]  lr        Peak, >= 0.
 * \param[in]  min_lr    Rate at the end, [0, lr]; 0 unless kind->uses_min_lr.
 * \param[in]  warmup    Steps if 0 or >= 1 (a whole number); in (0, 1) the share of n_steps,
 *                       rounded up.
 * \param[in]  n_steps   N >= 0, steps of the whole run.
 * \param[out] schedule  The schedule; zero on error.
 * \errors{DPO_EUSAGE}
 */
DPO_MUST_CHECK dpo_status dpo_schedule_make(const dpo_schedule_kind *kind, double lr, double min_lr,
                                            double warmup, int64_t n_steps, dpo_schedule *schedule);

/**
 * Learning rate of a step.
 *
 * \local
 * \param[in] schedule  The schedule.
 * \param[in] step      >= 0, the number of updates made before; behind N as at N.
 * \return >= 0.
 */
double dpo_schedule_rate(const dpo_schedule *schedule, int64_t step);

#endif
