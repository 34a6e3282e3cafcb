// SPDX-License-Identifier: Apache-2.0
#include "run_config_optimizer.h"

#include <math.h>
#include <string.h>

static const dpo_optimizer_method *method_of(const dpo_run_config *run)
{
    int n;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n);

    DPO_ASSERT(run->optimizer.name >= 0 && run->optimizer.name < n);
    return &table[run->optimizer.name];
}

/* Keys that belong to some methods only. */
static const struct {
    const char *path;
    uint32_t bit;
} method_keys[] = {
    {"optimizer.betas", DPO_OPTIMIZER_BETAS},
    {"optimizer.eps", DPO_OPTIMIZER_EPS},
    {"optimizer.momentum", DPO_OPTIMIZER_MOMENTUM},
    {"optimizer.nesterov", DPO_OPTIMIZER_NESTEROV},
    {"optimizer.alpha", DPO_OPTIMIZER_ALPHA},
    {"optimizer.trust_coefficient", DPO_OPTIMIZER_TRUST},
    {"optimizer.ns_steps", DPO_OPTIMIZER_MATRICES},
    {"optimizer.adjust_lr", DPO_OPTIMIZER_MATRICES},
    {"optimizer.matrix_lr", DPO_OPTIMIZER_MATRICES},
};

static dpo_status refuse_unused(const dpo_config *config, const dpo_optimizer_method *method)
{
    for (size_t i = 0; i < sizeof method_keys / sizeof method_keys[0]; i++)
        if (!(method->uses & method_keys[i].bit) &&
            dpo_config_is_given(config, method_keys[i].path))
            return DPO_FAIL(DPO_EUSAGE,
                            "%s: given, but the optimizer %s does not use it; leave it out",
                            method_keys[i].path, method->name);
    return DPO_OK;
}

/* A number that was not given is NaN; so is one that is not used. */
static void complete(double *value, const dpo_optimizer_method *method, uint32_t bit,
                     double initial)
{
    if (isnan(*value) && method->uses & bit) *value = initial;
}

static dpo_status check_scaling(const dpo_config *config, const dpo_run_config *run)
{
    bool is_scaled = run->optimizer.lr_scaling != DPO_LR_AS_GIVEN;

    if (is_scaled && run->optimizer.lr_batch == 0)
        return DPO_FAIL(DPO_EUSAGE, "optimizer.lr_batch: is required with optimizer.lr_scaling; "
                                    "give the number of examples for which optimizer.lr was "
                                    "chosen");
    if (!is_scaled && dpo_config_is_given(config, "optimizer.lr_batch"))
        return DPO_FAIL(DPO_EUSAGE, "optimizer.lr_batch: has no effect without "
                                    "optimizer.lr_scaling; set it to sqrt or linear, or leave "
                                    "lr_batch out");
    return DPO_OK;
}

static dpo_status check_numbers(const dpo_run_config *run)
{
    if (run->optimizer.nesterov && run->optimizer.momentum == 0.0)
        return DPO_FAIL(DPO_EUSAGE, "optimizer.nesterov: has no effect at optimizer.momentum 0; "
                                    "leave one of them out");
    if (run->optimizer.lr == 0.0 && run->optimizer.matrix_lr > 0.0)
        return DPO_FAIL(DPO_EUSAGE,
                        "optimizer.matrix_lr: %g at optimizer.lr 0; both follow one schedule, so "
                        "optimizer.lr must be above 0",
                        run->optimizer.matrix_lr);
    return DPO_OK;
}

dpo_status dpo_run_config_complete_optimizer(const dpo_config *config, dpo_run_config *run)
{
    const dpo_optimizer_method *method = method_of(run);
    const dpo_optimizer_options *initial = &method->initial;

    DPO_TRY(refuse_unused(config, method));
    DPO_TRY(check_scaling(config, run));
    for (int i = 0; i < 2; i++)
        complete(&run->optimizer.betas[i], method, DPO_OPTIMIZER_BETAS, initial->betas[i]);
    complete(&run->optimizer.eps, method, DPO_OPTIMIZER_EPS, initial->eps);
    complete(&run->optimizer.momentum, method, DPO_OPTIMIZER_MOMENTUM, initial->momentum);
    complete(&run->optimizer.alpha, method, DPO_OPTIMIZER_ALPHA, initial->alpha);
    complete(&run->optimizer.trust_coefficient, method, DPO_OPTIMIZER_TRUST,
             initial->trust_coefficient);
    complete(&run->optimizer.matrix_lr, method, DPO_OPTIMIZER_MATRICES, run->optimizer.lr);
    if (!dpo_config_is_given(config, "optimizer.nesterov"))
        run->optimizer.nesterov = initial->nesterov;
    return check_numbers(run);
}

dpo_optimizer_options dpo_run_config_optimizer(const dpo_run_config *run)
{
    double lr = run->optimizer.lr;

    return (dpo_optimizer_options){
        .betas = {run->optimizer.betas[0], run->optimizer.betas[1]},
        .eps = run->optimizer.eps,
        .weight_decay = run->optimizer.weight_decay,
        .momentum = run->optimizer.momentum,
        .nesterov = run->optimizer.nesterov,
        .alpha = run->optimizer.alpha,
        .trust_coefficient = run->optimizer.trust_coefficient,
        .ns_steps = run->optimizer.ns_steps,
        .adjust_lr = run->optimizer.adjust_lr,
        .matrix_rate = lr > 0.0 ? run->optimizer.matrix_lr / lr : 1.0,
    };
}

double dpo_run_config_peak_lr(const dpo_run_config *run)
{
    double growth = run->optimizer.lr_batch > 0
                        ? (double)run->batch.examples / (double)run->optimizer.lr_batch
                        : 1.0;
    const double factors[] = {1.0, sqrt(growth), growth}; /* order of dpo_lr_scaling */

    return run->optimizer.lr * factors[run->optimizer.lr_scaling];
}

dpo_schedule_options dpo_run_config_schedule(const dpo_run_config *run, int64_t n_steps)
{
    return (dpo_schedule_options){.lr = dpo_run_config_peak_lr(run),
                                  .min_lr = run->schedule.min_lr,
                                  .warmup = run->schedule.warmup,
                                  .power = run->schedule.power,
                                  .decay = run->schedule.decay,
                                  .decay_type = run->schedule.decay_type,
                                  .timescale = run->schedule.timescale,
                                  .n_steps = n_steps};
}

/* Keys that belong to some schedules only. */
static const struct {
    const char *path;
    uint32_t bit;
} schedule_keys[] = {
    {"schedule.min_lr", DPO_SCHEDULE_MIN_LR},       {"schedule.power", DPO_SCHEDULE_POWER},
    {"schedule.decay", DPO_SCHEDULE_DECAY},         {"schedule.decay_type", DPO_SCHEDULE_DECAY},
    {"schedule.timescale", DPO_SCHEDULE_TIMESCALE},
};

dpo_status dpo_run_config_check_schedule(const dpo_config *config, const dpo_run_config *run)
{
    const dpo_schedule_kind *kind;
    const dpo_schedule_options options = dpo_run_config_schedule(run, 1);
    dpo_schedule schedule;

    DPO_TRY(dpo_schedule_find(run->schedule.name, &kind));
    for (size_t i = 0; i < sizeof schedule_keys / sizeof schedule_keys[0]; i++)
        if (!(kind->uses & schedule_keys[i].bit) &&
            dpo_config_is_given(config, schedule_keys[i].path))
            return DPO_FAIL(DPO_EUSAGE, "%s: the schedule \"%s\" does not use it; leave it out",
                            schedule_keys[i].path, run->schedule.name);
    return dpo_schedule_make(kind, &options, &schedule);
}
