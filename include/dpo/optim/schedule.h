// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_SCHEDULE_H
#define DPO_OPTIM_SCHEDULE_H

/**
 * \file
 * Learning rate of every step, as the schedules of Hugging Face transformers define it.
 *
 * Steps count from 0, N of them: the update of step s uses rate(s). With a warm-up of W steps, peak lr, end
 * e = min_lr, D = decay steps and x = (s - W) / (N - W)
 *
 *     s < W                  lr s / W
 *     constant               lr
 *     linear                 lr (1 - x)
 *     cosine                 e + (lr - e) (1 + cos(pi x)) / 2
 *     polynomial             e + (lr - e) (1 - x)^power
 *     inverse_sqrt           lr / sqrt((s - W + timescale) / timescale)
 *     warmup_stable_decay    lr until D steps before the end, then e + (lr - e) shape((s - (N - D)) / D)
 *
 * with the shapes cosine (1 + cos(pi x)) / 2, linear 1 - x and 1-sqrt 1 - sqrt(x). The first update of a
 * warm-up moves nothing, there as here. min_lr has no part in the warm-up, but for
 * warmup_stable_decay, which warms up from it: e + (lr - e) s / W.
 */

#include <stdint.h>

#include "dpo/base/status.h"

/** Bits of sets of options. */
enum {
    DPO_SCHEDULE_MIN_LR = 1 << 0,
    DPO_SCHEDULE_POWER = 1 << 1,
    DPO_SCHEDULE_DECAY = 1 << 2, /**< decay and decay_type */
    DPO_SCHEDULE_TIMESCALE = 1 << 3
};

/** Shape of the decay of warmup_stable_decay, by transformers' names. */
typedef enum { DPO_DECAY_COSINE, DPO_DECAY_LINEAR, DPO_DECAY_ONE_MINUS_SQRT } dpo_decay_type;

/** What a schedule is made of; what a kind does not use is ignored. */
typedef struct {
    double lr;     /**< peak, >= 0 */
    double min_lr; /**< rate at the end, [0, lr] */
    double warmup; /**< steps if 0 or >= 1 (a whole number); in (0, 1) a share of all, rounded up */
    double power;  /**< > 0, polynomial */
    double decay;  /**< steps at the end, or a share, as warmup; > 0 */
    int decay_type;    /**< dpo_decay_type */
    int64_t timescale; /**< steps, inverse_sqrt; 0: the warm-up, or 10000 without one */
    int64_t n_steps;   /**< N >= 0, steps of the whole run */
} dpo_schedule_options;

/** A schedule. */
typedef struct dpo_schedule dpo_schedule;

/** Rate behind the warm-up, s in [W, N]. */
typedef double dpo_schedule_shape(const dpo_schedule *schedule, double step);

/** A row of the table of schedules. */
typedef struct {
    const char *name;          /**< as in transformers' SchedulerType */
    dpo_schedule_shape *shape; /**< use dpo_schedule_rate() */
    uint32_t uses;             /**< set of DPO_SCHEDULE_... */
} dpo_schedule_kind;

/** Made by dpo_schedule_make(), a plain value. */
struct dpo_schedule {
    const dpo_schedule_kind *kind; /**< its row */
    double lr;                     /**< peak */
    double min_lr;                 /**< end */
    double power;                  /**< of polynomial */
    double timescale;              /**< of inverse_sqrt, > 0 */
    int64_t n_warmup;              /**< W */
    int64_t n_decay;               /**< D */
    int64_t n_steps;               /**< N */
    int decay_type;                /**< dpo_decay_type */
};

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
 * \param[in]  options   Numbers, checked here.
 * \param[out] schedule  The schedule; zero on error.
 * \errors{DPO_EUSAGE naming the key}
 */
DPO_MUST_CHECK dpo_status dpo_schedule_make(const dpo_schedule_kind *kind,
                                            const dpo_schedule_options *options,
                                            dpo_schedule *schedule);

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
