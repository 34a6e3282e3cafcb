// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/schedule.h"

#include <math.h>
#include <string.h>

#include "dpo/base/nearest.h"

static double constant(double progress)
{
    (void)progress;
    return 1.0;
}

static double linear(double progress)
{
    return 1.0 - progress;
}

static double cosine(double progress)
{
    const double pi = 3.141592653589793;

    return 0.5 * (1.0 + cos(pi * progress));
}

static const dpo_schedule_kind schedule_table[] = {
    {"constant", constant, false},
    {"linear", linear, false},
    {"cosine", cosine, true},
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

dpo_status dpo_schedule_make(const dpo_schedule_kind *kind, double lr, double min_lr, double warmup,
                             int64_t n_steps, dpo_schedule *schedule)
{
    const double max_steps = 0x1p53;

    *schedule = (dpo_schedule){0};
    DPO_ASSERT(n_steps >= 0);
    if (!(lr >= 0.0 && lr < (double)INFINITY))
        return DPO_FAIL(DPO_EUSAGE, "optimizer.lr: %g, expected a number >= 0", lr);
    if (!(warmup >= 0.0 && warmup <= max_steps) || (warmup >= 1.0 && warmup != floor(warmup)))
        return DPO_FAIL(DPO_EUSAGE,
                        "schedule.warmup: %g, expected a whole number of steps, or a share of all "
                        "steps above 0 and below 1",
                        warmup);
    if (min_lr != 0.0 && !kind->uses_min_lr)
        return DPO_FAIL(DPO_EUSAGE, "schedule.min_lr: given, but %s does not use it; remove it",
                        kind->name);
    if (!(min_lr >= 0.0 && min_lr <= lr))
        return DPO_FAIL(DPO_EUSAGE,
                        "schedule.min_lr: %g, expected a number from 0 to optimizer.lr (%g)",
                        min_lr, lr);
    *schedule = (dpo_schedule){.kind = kind, .lr = lr, .min_lr = min_lr, .n_steps = n_steps};
    schedule->n_warmup = (int64_t)(warmup < 1.0 ? ceil((double)n_steps * warmup) : warmup);
    return DPO_OK;
}

double dpo_schedule_rate(const dpo_schedule *schedule, int64_t step)
{
    int64_t n_behind = schedule->n_steps - schedule->n_warmup;

    DPO_ASSERT(step >= 0);
    if (step < schedule->n_warmup)
        return schedule->lr * ((double)step / (double)schedule->n_warmup);
    if (step > schedule->n_steps) step = schedule->n_steps;
    double progress = n_behind > 0 ? (double)(step - schedule->n_warmup) / (double)n_behind : 1.0;

    return schedule->min_lr + (schedule->lr - schedule->min_lr) * schedule->kind->shape(progress);
}
