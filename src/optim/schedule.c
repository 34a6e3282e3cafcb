// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/schedule.h"

#include <math.h>
#include <string.h>

#include "dpo/base/nearest.h"

static const double pi = 3.141592653589793;

/* x: how much of the way from the warm-up to the end is done. */
static double progress(const dpo_schedule *schedule, double step)
{
    double n_behind = (double)(schedule->n_steps - schedule->n_warmup);

    return n_behind > 0.0 ? (step - (double)schedule->n_warmup) / n_behind : 1.0;
}

/* From the peak at share 1 to min_lr at share 0. */
static double between(const dpo_schedule *schedule, double share)
{
    return schedule->min_lr + (schedule->lr - schedule->min_lr) * share;
}

static double constant(const dpo_schedule *schedule, double step)
{
    (void)step;
    return schedule->lr;
}

static double linear(const dpo_schedule *schedule, double step)
{
    return schedule->lr * (1.0 - progress(schedule, step));
}

static double cosine(const dpo_schedule *schedule, double step)
{
    return between(schedule, 0.5 * (1.0 + cos(pi * progress(schedule, step))));
}

static double polynomial(const dpo_schedule *schedule, double step)
{
    return between(schedule, pow(1.0 - progress(schedule, step), schedule->power));
}

static double inverse_sqrt(const dpo_schedule *schedule, double step)
{
    double shift = schedule->timescale - (double)schedule->n_warmup;

    return schedule->lr / sqrt((step + shift) / schedule->timescale);
}

static double cosine_decay(double x)
{
    return 0.5 * (1.0 + cos(pi * x));
}

static double linear_decay(double x)
{
    return 1.0 - x;
}

static double one_minus_sqrt_decay(double x)
{
    return 1.0 - sqrt(x);
}

static double stable_decay(const dpo_schedule *schedule, double step)
{
    static double (*const shapes[])(double) = {cosine_decay, linear_decay, one_minus_sqrt_decay};
    double behind = step - (double)(schedule->n_steps - schedule->n_decay);

    if (behind < 0.0) return schedule->lr;
    return between(schedule, shapes[schedule->decay_type](behind / (double)schedule->n_decay));
}

static const dpo_schedule_kind schedule_table[] = {
    {"constant", constant, 0},
    {"linear", linear, 0},
    {"cosine", cosine, DPO_SCHEDULE_MIN_LR},
    {"inverse_sqrt", inverse_sqrt, DPO_SCHEDULE_TIMESCALE},
    {"polynomial", polynomial, DPO_SCHEDULE_MIN_LR | DPO_SCHEDULE_POWER},
    {"warmup_stable_decay", stable_decay, DPO_SCHEDULE_MIN_LR | DPO_SCHEDULE_DECAY},
};

enum { N_SCHEDULES = sizeof schedule_table / sizeof schedule_table[0] };

const dpo_schedule_kind *dpo_schedule_table(int *n)
{
    *n = N_SCHEDULES;
    return schedule_table;
}

dpo_status dpo_schedule_find(const char *name, const dpo_schedule_kind **kind)
{
    const char *names[N_SCHEDULES];

    *kind = NULL;
    for (int i = 0; i < N_SCHEDULES; i++) {
        names[i] = schedule_table[i].name;
        if (strcmp(names[i], name) == 0) *kind = &schedule_table[i];
    }
    if (*kind != NULL) return DPO_OK;
    return dpo_unknown_name("schedule.name", "schedule", name, names, N_SCHEDULES);
}

/* A number of steps, or below 1 a share of all steps, rounded up. */
static dpo_status steps_of(const char *key, double value, int64_t n_steps, int64_t *n)
{
    const double max_steps = 0x1p53;

    if (!(value >= 0.0 && value <= max_steps) || (value >= 1.0 && value != floor(value)))
        return DPO_FAIL(DPO_EUSAGE,
                        "schedule.%s: %g, expected a whole number of steps, or a share of all "
                        "steps above 0 and below 1",
                        key, value);
    *n = (int64_t)(value < 1.0 ? ceil((double)n_steps * value) : value);
    return DPO_OK;
}

static dpo_status check(const dpo_schedule_kind *kind, const dpo_schedule_options *o)
{
    double min_lr = kind->uses & DPO_SCHEDULE_MIN_LR ? o->min_lr : 0.0;

    if (!(o->lr >= 0.0 && o->lr < (double)INFINITY))
        return DPO_FAIL(DPO_EUSAGE, "optimizer.lr: %g, expected a number >= 0", o->lr);
    if (!(min_lr >= 0.0 && min_lr <= o->lr))
        return DPO_FAIL(DPO_EUSAGE,
                        "schedule.min_lr: %g, expected a number from 0 to the peak rate (%g)",
                        min_lr, o->lr);
    if (kind->uses & DPO_SCHEDULE_POWER && !(o->power > 0.0 && o->power < (double)INFINITY))
        return DPO_FAIL(DPO_EUSAGE, "schedule.power: %g, expected a number > 0", o->power);
    if (kind->uses & DPO_SCHEDULE_DECAY && !(o->decay > 0.0))
        return DPO_FAIL(DPO_EUSAGE,
                        "schedule.decay: %g, expected steps, or a share of all steps, above 0",
                        o->decay);
    return DPO_OK;
}

dpo_status dpo_schedule_make(const dpo_schedule_kind *kind, const dpo_schedule_options *options,
                             dpo_schedule *schedule)
{
    const double usual_timescale = 10000.0;
    dpo_schedule s = {.kind = kind,
                      .lr = options->lr,
                      .min_lr = kind->uses & DPO_SCHEDULE_MIN_LR ? options->min_lr : 0.0,
                      .power = options->power,
                      .n_steps = options->n_steps,
                      .decay_type = options->decay_type};

    *schedule = (dpo_schedule){0};
    DPO_ASSERT(options->n_steps >= 0 && options->timescale >= 0);
    DPO_TRY(check(kind, options));
    DPO_TRY(steps_of("warmup", options->warmup, options->n_steps, &s.n_warmup));
    if (kind->uses & DPO_SCHEDULE_DECAY)
        DPO_TRY(steps_of("decay", options->decay, options->n_steps, &s.n_decay));
    s.timescale = (double)(options->timescale > 0 ? options->timescale : s.n_warmup);
    if (s.timescale == 0.0) s.timescale = usual_timescale;
    *schedule = s;
    return DPO_OK;
}

double dpo_schedule_rate(const dpo_schedule *schedule, int64_t step)
{
    DPO_ASSERT(step >= 0);
    if (step < schedule->n_warmup) {
        double share = (double)step / (double)schedule->n_warmup;

        return schedule->kind->uses & DPO_SCHEDULE_DECAY ? between(schedule, share)
                                                         : schedule->lr * share;
    }
    if (step > schedule->n_steps) step = schedule->n_steps;
    return schedule->kind->shape(schedule, (double)step);
}
