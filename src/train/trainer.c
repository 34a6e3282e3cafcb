// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/trainer.h"

#include <math.h>
#include <stdio.h>

#include "dpo/base/clock.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "dpo/base/system_memory.h"
#include "dpo/comm/collective.h"
#include "dpo/comm/runtime.h"
#include "dpo/optim/schedule.h"
#include "dpo/store/publish.h"
#include "dpo/train/checkpoint.h"
#include "dpo/train/evaluation.h"
#include "dpo/train/export.h"
#include "dpo/train/machine.h"
#include "dpo/train/manifest.h"
#include "dpo/train/phases.h"
#include "dpo/train/report.h"
#include "dpo/train/samples.h"
#include "dpo/train/session.h"
#include "dpo/train/step.h"

/* A run. Invariant: between steps, state.step steps are in the weights and the optimizer. */
typedef struct {
    const dpo_grid *grid;
    const dpo_run_config *run;
    dpo_session session;
    dpo_step step;
    dpo_batch_plan *plan;
    dpo_optimizer *optimizer;
    dpo_ema *ema; /* NULL: none */
    dpo_schedule schedule;
    int64_t n_steps;
    int64_t steps_per_epoch;
    dpo_json *config; /* resolved */
    char *checkpoint_folder;
    dpo_checkpoint_state state;
    dpo_report report;      /* metrics.jsonl and the log */
    int64_t saved_step;     /* of the newest checkpoint; -1: none */
    int64_t evaluated_step; /* of the newest evaluation; -1: none */
    bool stopped;           /* by a signal */
    double begin_s;         /* when the phases began */
} trainer;

static dpo_status make_average(trainer *t)
{
    if (t->run->optimizer.ema == 0.0) return DPO_OK;
    return dpo_ema_create(t->run->optimizer.ema, dpo_buckets_shard(t->step.buckets),
                          dpo_model_weights(t->session.model), &t->ema);
}

static dpo_status make_optimizer(trainer *t)
{
    const dpo_optimizer_options options = dpo_run_config_optimizer(t->run);
    int n;
    const dpo_optimizer_method *method = &dpo_optimizer_table(&n)[t->run->optimizer.name];

    DPO_TRY(dpo_step_open(&t->step));
    if (dpo_grid_size(t->grid, DPO_DATA) > 1)
        dpo_log_info("gradient sums: %s", dpo_buckets_describe(t->step.buckets));
    DPO_TRY(dpo_optimizer_create(t->grid, method, &options, dpo_model_parameters(t->session.model),
                                 dpo_buckets_shard(t->step.buckets), &t->optimizer));
    DPO_TRY(dpo_agree(t->grid, make_average(t)));
    t->step.optimizer = t->optimizer;
    t->step.ema = t->ema;
    return DPO_OK;
}

static dpo_checkpoint_tensors tensors_of(const trainer *t)
{
    return (dpo_checkpoint_tensors){t->session.model, t->optimizer, t->ema,
                                    dpo_buckets_shard(t->step.buckets)};
}

static dpo_status plan_run(trainer *t)
{
    const dpo_run_config *run = t->run;
    const dpo_schedule_kind *kind;
    dpo_schedule_options options;

    DPO_TRY(dpo_session_plan(&t->session, DPO_SET_TRAIN, &t->plan));
    t->steps_per_epoch = dpo_batch_plan_steps_per_epoch(t->plan);
    t->n_steps = run->train.steps > 0 ? run->train.steps : run->train.epochs * t->steps_per_epoch;
    DPO_TRY(dpo_schedule_find(run->schedule.name, &kind));
    options = dpo_run_config_schedule(run, t->n_steps);
    DPO_TRY(dpo_schedule_make(kind, &options, &t->schedule));
    DPO_TRY(dpo_objective_find(run->objective.name, &t->step.objective));
    t->step.params = dpo_run_config_objective(run);
    t->step.clip = run->optimizer.clip;
    t->step.session = &t->session;
    t->step.plan = t->plan;
    t->state = (dpo_checkpoint_state){
        .data_digest = dpo_token_store_digest(t->session.set[DPO_SET_TRAIN].store),
        .model_digest = t->session.policy_digest,
        .reference_digest = t->session.reference_digest};
    return DPO_OK;
}

static dpo_status refuse_to_mix(const trainer *t, const char *path, const char *what)
{
    return DPO_FAIL(DPO_EUSAGE,
                    "out: %s holds a run with another %s (newest checkpoint %s); choose another "
                    "folder, or move that run away",
                    t->run->out, what, path);
}

/* A continued run has to be the same run: configuration, */
static dpo_status check_same_config(const trainer *t, const char *path, const dpo_json *before)
{
    const char *key = dpo_run_config_difference(before, t->config);

    return key == NULL ? DPO_OK : refuse_to_mix(t, path, key);
}

/* data, model and reference. */
static dpo_status check_same_run(const trainer *t, const char *path,
                                 const dpo_checkpoint_state *now)
{
    if (!dpo_digest_equal(now->data_digest, t->state.data_digest))
        return refuse_to_mix(t, path, "content of the training data");
    if (!dpo_digest_equal(now->model_digest, t->state.model_digest))
        return refuse_to_mix(t, path, "model at step 0");
    if (!dpo_digest_equal(now->reference_digest, t->state.reference_digest))
        return refuse_to_mix(t, path, "reference model");
    return DPO_OK;
}

static dpo_status resume_from(trainer *t, const char *path)
{
    const dpo_checkpoint_tensors tensors = tensors_of(t);
    dpo_checkpoint_state state;
    dpo_json *before = NULL;

    if (t->run->checkpoint.resume == DPO_RESUME_NEVER)
        return DPO_FAIL(DPO_EUSAGE,
                        "checkpoint.resume: is never, but %s holds the checkpoint %s; choose "
                        "another folder or move it away",
                        t->run->out, path);
    DPO_TRY(dpo_checkpoint_describe(t->grid, path, &before, NULL));
    dpo_status status = dpo_agree(t->grid, check_same_config(t, path, before));

    dpo_json_destroy(&before);
    if (status == DPO_OK) status = dpo_checkpoint_load(t->grid, path, &tensors, &state);
    if (status == DPO_OK) status = dpo_agree(t->grid, check_same_run(t, path, &state));
    DPO_TRY(status);
    t->state = state;
    t->saved_step = state.step;
    dpo_log_info("continuing from %s: %lld of %lld steps are done", path, (long long)state.step,
                 (long long)t->n_steps);
    return DPO_OK;
}

/* World rank 0: the folder is there, without what a killed run left half-written. */
static dpo_status make_checkpoint_folder(const trainer *t)
{
    int64_t n_removed;

    if (dpo_grid_rank(t->grid, DPO_WORLD) != 0) return DPO_OK;
    DPO_TRY(dpo_folder_create(t->checkpoint_folder));
    return dpo_folder_clean(t->checkpoint_folder, &n_removed);
}

static dpo_status resume(trainer *t)
{
    char *path = NULL;

    DPO_TRY(dpo_agree(t->grid, make_checkpoint_folder(t)));
    dpo_status status = dpo_checkpoint_newest(t->grid, t->checkpoint_folder, &path);

    if (status == DPO_OK && path != NULL) status = resume_from(t, path);
    dpo_free(path);
    return status;
}

static dpo_status save(trainer *t)
{
    const dpo_checkpoint_tensors tensors = tensors_of(t);
    char *path = NULL;
    char name[64];

    if (t->saved_step == t->state.step) return DPO_OK;
    (void)snprintf(name, sizeof name, "checkpoints/step-%08lld.h5", (long long)t->state.step);
    dpo_status status = dpo_agree(t->grid, dpo_session_path(&t->session, name, &path));

    dpo_phase_begin(DPO_PHASE_CHECKPOINT);
    if (status == DPO_OK)
        status = dpo_checkpoint_save(t->grid, path, t->session.source.folder, t->config, &t->state,
                                     &tensors);

    dpo_phase_end(DPO_PHASE_CHECKPOINT);
    if (status == DPO_OK) dpo_log_info("checkpoint %s", path);
    dpo_free(path);
    DPO_TRY(status);
    t->saved_step = t->state.step;
    if (t->run->checkpoint.keep == 0) return DPO_OK;
    return dpo_checkpoint_prune(t->grid, t->checkpoint_folder, t->run->checkpoint.keep);
}

static dpo_status run_evaluation(trainer *t)
{
    dpo_evaluation evaluation;

    if (t->session.set[DPO_SET_EVAL].store != NULL) {
        DPO_TRY(dpo_evaluation_run(&t->session, DPO_SET_EVAL, t->step.objective, &t->step.params,
                                   &evaluation));
        DPO_TRY(dpo_report_evaluation(&t->report, t->state.step,
                                      (double)t->state.step / (double)t->steps_per_epoch,
                                      &evaluation));
    }
    return dpo_samples_write(&t->session, t->state.step);
}

static dpo_status evaluate(trainer *t)
{
    if (t->evaluated_step == t->state.step) return DPO_OK;
    t->evaluated_step = t->state.step;
    dpo_phase_begin(DPO_PHASE_EVALUATION);
    dpo_status status = run_evaluation(t);

    dpo_phase_end(DPO_PHASE_EVALUATION);
    return status;
}

/* Policy and reference with the same weights must give the same numbers, or the reference is worth nothing. */
static dpo_status check_start(const trainer *t, const dpo_step_numbers *numbers)
{
    /* Micro-batches of other sizes than those of a cache move roundings. */
    double tolerance = dpo_precision_rounds(&t->session.precision) ? 1e-2 : 1e-4;
    bool is_same = dpo_digest_equal(t->session.policy_digest, t->session.reference_digest);

    if (!is_same || fabs(numbers->loss - numbers->reference_loss) <= tolerance) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "step 0: the loss is %.7f, but policy and reference have the same weights, so "
                    "it must be %.7f; the reference log-probs do not fit this program or data: "
                    "remove the cache (reference.cache) and start again",
                    numbers->loss, numbers->reference_loss);
}

static dpo_status check_finite(const trainer *t, const dpo_step_numbers *numbers)
{
    if (numbers->is_finite) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "step %lld: loss %g and gradient norm %g are not finite, the run has diverged; "
                    "lower optimizer.lr or lengthen schedule.warmup and continue from the newest "
                    "checkpoint in %s",
                    (long long)(t->state.step + 1), numbers->loss, numbers->grad_norm,
                    t->checkpoint_folder);
}

static bool is_due(int64_t every, int64_t step)
{
    return every > 0 && step % every == 0;
}

static dpo_status run_step(trainer *t)
{
    double lr = dpo_schedule_rate(&t->schedule, t->state.step);
    dpo_step_numbers numbers;

    dpo_step_run(&t->step, t->state.step, lr, &numbers);
    DPO_TRY(check_finite(t, &numbers));
    if (t->state.step == 0) DPO_TRY(check_start(t, &numbers));
    t->state.step++;
    t->state.n_tokens += (int64_t)numbers.n_tokens;
    dpo_noise_average_add(&t->state.noise, &numbers.noise);
    t->stopped = numbers.must_stop;
    dpo_phase_begin(DPO_PHASE_REPORT);
    dpo_status status = dpo_report_step(&t->report, &t->state, lr, &numbers);

    dpo_phase_end(DPO_PHASE_REPORT);
    DPO_TRY(status);
    if (is_due(t->run->checkpoint.every, t->state.step) || t->stopped) DPO_TRY(save(t));
    if (is_due(t->run->evaluate.every, t->state.step) && !t->stopped) DPO_TRY(evaluate(t));
    return DPO_OK;
}

static dpo_status run_steps(trainer *t)
{
    if (t->run->evaluate.at_start && t->state.step == 0) DPO_TRY(evaluate(t));
    while (t->state.step < t->n_steps && !t->stopped)
        DPO_TRY(run_step(t));
    return DPO_OK;
}

static dpo_status export_as(const trainer *t, const char *name, char **folder)
{
    DPO_TRY(dpo_agree(t->grid, dpo_session_path(&t->session, name, folder)));
    dpo_phase_begin(DPO_PHASE_EXPORT);
    dpo_status status =
        dpo_export_model(t->grid, t->session.model, t->session.source.folder, *folder, t->run);

    dpo_phase_end(DPO_PHASE_EXPORT);
    return status;
}

static dpo_status export_weights(const trainer *t)
{
    char *folder = NULL;
    dpo_status status = export_as(t, "model", &folder);

    if (status == DPO_OK) dpo_report_end(&t->report, folder);
    dpo_free(folder);
    return status;
}

/* The average takes the place of the weights, which the run no longer needs. */
static dpo_status export_average(const trainer *t)
{
    float *weights = dpo_model_weights(t->session.model);
    char *folder = NULL;

    if (t->ema == NULL) return DPO_OK;
    dpo_ema_unpack(t->ema, weights);
    dpo_buckets_gather(t->step.buckets, weights);
    dpo_status status = export_as(t, "model-ema", &folder);

    if (status == DPO_OK) dpo_log_info("average of its weights: %s", folder);
    dpo_free(folder);
    return status;
}

/* What steps take stays in memory, so that what is there after the last one is the most there was. */
static void report_memory(const trainer *t)
{
    double bytes[2] = {(double)dpo_system_memory_resident(), (double)t->session.memory.total};

    dpo_max_f64(t->grid, DPO_WORLD, 2, bytes);
    dpo_log_info("memory of a rank: %.1f MiB in use, %.1f MiB were planned", bytes[0] / 0x1p20,
                 bytes[1] / 0x1p20);
}

static dpo_status finish(trainer *t)
{
    if (t->stopped && t->state.step < t->n_steps) {
        dpo_log_info("stopped by a signal after %lld of %lld steps; the same command continues",
                     (long long)t->state.step, (long long)t->n_steps);
        return DPO_OK;
    }
    report_memory(t);
    DPO_TRY(save(t));
    DPO_TRY(evaluate(t));
    DPO_TRY(export_weights(t));
    return export_average(t);
}

static void say_rate(const trainer *t)
{
    if (t->run->optimizer.lr_scaling == DPO_LR_AS_GIVEN) return;
    dpo_log_info("peak learning rate %g: optimizer.lr %g for batches of %lld examples, now %lld",
                 t->schedule.lr, t->run->optimizer.lr, (long long)t->run->optimizer.lr_batch,
                 (long long)t->run->batch.examples);
}

/* The yardstick of every step's speed. A machine that others use too shows its peak now and then only, so this is
   called more than once, some time apart. */
static dpo_status measure_peak(const trainer *t, double *flops_per_s)
{
    const double budget_s = 0.2;
    double found;

    if (!t->run->log.mfu) return DPO_OK;
    DPO_TRY(dpo_machine_matmul(t->grid, t->session.precision.compute, budget_s, &found));
    *flops_per_s = fmax(*flops_per_s, found);
    return DPO_OK;
}

static void say_peak(const trainer *t, double flops_per_s)
{
    if (!t->run->log.mfu) return;
    dpo_log_info("matmul peak, measured: %.1f GFLOP/s (%s, all ranks); mfu is what a step has to "
                 "compute over what that could do in its time",
                 flops_per_s / 1e9, dpo_element_name(t->session.precision.compute));
}

static dpo_status set_up(trainer *t)
{
    double peak_flops_per_s = 0.0;

    DPO_TRY(
        dpo_session_open(t->grid, t->run, 1u << DPO_SET_TRAIN | 1u << DPO_SET_EVAL, &t->session));
    if (t->session.set[DPO_SET_TRAIN].store == NULL)
        return DPO_FAIL(DPO_EUSAGE,
                        "data.train: is required; name a preference file (--data FILE)");
    if (dpo_token_store_n_examples(t->session.set[DPO_SET_TRAIN].store) == 0)
        return DPO_FAIL(DPO_EDATA,
                        "data.train: no example is left to train on (see the audit above "
                        "for what was dropped and why)");
    DPO_TRY(measure_peak(t, &peak_flops_per_s));
    DPO_TRY(dpo_session_load(&t->session, true));
    if (t->session.stopped) return DPO_OK;
    DPO_TRY(dpo_agree(t->grid, plan_run(t)));
    DPO_TRY(make_optimizer(t));
    say_rate(t);
    DPO_TRY(
        dpo_agree(t->grid, dpo_session_path(&t->session, "checkpoints", &t->checkpoint_folder)));
    DPO_TRY(resume(t));
    DPO_TRY(dpo_manifest_write(&t->session, t->config));
    DPO_TRY(measure_peak(t, &peak_flops_per_s));
    say_peak(t, peak_flops_per_s);
    return dpo_report_begin(t->grid, t->run, t->state.step, t->n_steps, t->steps_per_epoch,
                            peak_flops_per_s, &t->report);
}

static dpo_status report_phases(const trainer *t)
{
    char *path = NULL;
    dpo_status status = dpo_agree(t->grid, dpo_session_path(&t->session, "phases.json", &path));

    if (status == DPO_OK)
        status = dpo_phases_report(t->grid, path, dpo_clock_s() - t->begin_s,
                                   t->report.peak_flops_per_s);

    dpo_free(path);
    return status;
}

dpo_status dpo_train(const dpo_grid *grid, const dpo_run_config *run)
{
    trainer t = {
        .grid = grid, .run = run, .saved_step = -1, .evaluated_step = -1, .begin_s = dpo_clock_s()};
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);
    dpo_status status = dpo_agree(grid, dpo_config_to_json(fields, n_fields, run, &t.config));

    dpo_stop_on_signals();
    dpo_phase_start(dpo_comm_time_s);
    dpo_phase_begin(DPO_PHASE_START);
    if (status == DPO_OK) status = set_up(&t);
    dpo_phase_end(DPO_PHASE_START);
    if (status == DPO_OK && !t.session.stopped) status = run_steps(&t);
    if (status == DPO_OK && !t.session.stopped) status = finish(&t);
    if (status == DPO_OK) status = report_phases(&t);
    dpo_report_close(&t.report);
    dpo_optimizer_destroy(&t.optimizer);
    dpo_ema_destroy(&t.ema);
    dpo_step_close(&t.step);
    dpo_batch_plan_destroy(&t.plan);
    dpo_json_destroy(&t.config);
    dpo_free(t.checkpoint_folder);
    dpo_session_close(&t.session);
    return status;
}
