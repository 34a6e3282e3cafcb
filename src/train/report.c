// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/report.h"

#include <math.h>
#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/train/metrics_log.h"

static dpo_status open_stream(dpo_report *report, int64_t step)
{
    const char *out = report->run->out;
    int64_t n_bytes = (int64_t)strlen(out) + 32;

    DPO_TRY(DPO_NEW(report->path, n_bytes));
    (void)snprintf(report->path, (size_t)n_bytes, "%s/metrics.jsonl", out);
    if (dpo_grid_rank(report->grid, DPO_WORLD) != 0) return DPO_OK;
    return dpo_metrics_log_open(report->path, step, &report->stream);
}

dpo_status dpo_report_begin(const dpo_grid *grid, const dpo_run_config *run, int64_t step,
                            int64_t n_steps, int64_t steps_per_epoch, double peak_flops_per_s,
                            dpo_report *report)
{
    *report = (dpo_report){.grid = grid,
                           .run = run,
                           .first_step = step,
                           .n_steps = n_steps,
                           .steps_per_epoch = steps_per_epoch,
                           .peak_flops_per_s = peak_flops_per_s,
                           .begin_s = dpo_clock_s()};
    return dpo_agree(grid, open_stream(report, step));
}

static dpo_status put_metrics(const dpo_metric_sums *sums, dpo_json *record)
{
    int n;
    const dpo_metric *table = dpo_metric_table(&n);

    for (int i = 0; i < n; i++) {
        double value = dpo_metric_value(&table[i], sums);

        if (!isnan(value)) DPO_TRY(dpo_json_put_number(record, table[i].name, value));
    }
    return DPO_OK;
}

/* Model FLOP utilisation of a step: what it had to compute over what the machine could have. */
static double mfu_of(const dpo_report *report, const dpo_step_numbers *numbers)
{
    return numbers->flops / (numbers->step_s * report->peak_flops_per_s);
}

static dpo_status put_noise(const dpo_noise *noise, const dpo_noise_average *average,
                            dpo_json *record)
{
    double scale = dpo_noise_scale(average);

    if (!noise->exists) return DPO_OK;
    DPO_TRY(dpo_json_put_number(record, "gradient_noise/trace", noise->trace));
    DPO_TRY(dpo_json_put_number(record, "gradient_noise/norm2", noise->norm2));
    return isnan(scale) ? DPO_OK : dpo_json_put_number(record, "gradient_noise_scale", scale);
}

static dpo_status put_step(const dpo_report *report, const dpo_checkpoint_state *state, double lr,
                           const dpo_step_numbers *numbers, dpo_json *record)
{
    double n_edges = numbers->sums.sum[DPO_SUM_EDGES];

    DPO_TRY(dpo_json_put_int(record, "step", state->step));
    DPO_TRY(dpo_json_put_number(record, "epoch",
                                (double)state->step / (double)report->steps_per_epoch));
    DPO_TRY(dpo_json_put_number(record, "loss", numbers->loss));
    DPO_TRY(dpo_json_put_number(record, "grad_norm", numbers->grad_norm));
    DPO_TRY(dpo_json_put_number(record, "learning_rate", lr));
    DPO_TRY(dpo_json_put_int(record, "num_tokens", state->n_tokens));
    DPO_TRY(put_metrics(&numbers->sums, record));
    DPO_TRY(put_noise(&numbers->noise, &state->noise, record));
    DPO_TRY(dpo_json_put_number(record, "imbalance", numbers->imbalance));
    DPO_TRY(dpo_json_put_number(record, "time/step_s", numbers->step_s));
    DPO_TRY(dpo_json_put_number(record, "time/comm_s", numbers->comm_s));
    DPO_TRY(dpo_json_put_number(record, "tokens_per_s", numbers->n_tokens / numbers->step_s));
    DPO_TRY(dpo_json_put_number(record, "pairs_per_s", n_edges / numbers->step_s));
    DPO_TRY(dpo_json_put_number(record, "flops", numbers->flops));
    if (report->peak_flops_per_s > 0.0)
        DPO_TRY(dpo_json_put_number(record, "mfu", mfu_of(report, numbers)));
    return dpo_json_put_number(record, "rss_bytes", numbers->rss_bytes);
}

static double metric_named(const char *name, const dpo_metric_sums *sums)
{
    int n;
    const dpo_metric *table = dpo_metric_table(&n);
    int i = 0;

    while (i < n - 1 && strcmp(table[i].name, name) != 0)
        i++;
    return dpo_metric_value(&table[i], sums);
}

static void describe_time(double seconds, char text[32])
{
    long long s = (long long)(seconds + 0.5);

    (void)snprintf(text, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

/* A live line has to fit into 80 columns; a job log has room for what a reader wants later. */
static void say_step(const dpo_report *report, const dpo_checkpoint_state *state, double lr,
                     const dpo_step_numbers *numbers)
{
    double pairs_per_s = numbers->sums.sum[DPO_SUM_EDGES] / numbers->step_s;
    double accuracy = metric_named("rewards/accuracies", &numbers->sums);
    double margin = metric_named("rewards/margins", &numbers->sums);
    double per_step_s =
        (dpo_clock_s() - report->begin_s) / (double)(state->step - report->first_step);
    bool is_end = state->step == report->n_steps;
    char left[32];
    char mfu[32] = "";

    if (report->peak_flops_per_s > 0.0)
        (void)snprintf(mfu, sizeof mfu, "mfu %.2f ", mfu_of(report, numbers));
    describe_time(per_step_s * (double)(report->n_steps - state->step), left);
    if (dpo_log_is_live() && !is_end)
        dpo_log_live("%lld/%lld loss %.4f acc %.2f margin %.2f %s%.3g pairs/s eta %s",
                     (long long)state->step, (long long)report->n_steps, numbers->loss, accuracy,
                     margin, mfu, pairs_per_s, left);
    else if (is_end || state->step % report->run->log.every == 0)
        dpo_log_info("step %lld/%lld  loss %.4f  accuracy %.3f  margin %.4f  grad norm %.3g  "
                     "lr %.3g  %s%.2f pairs/s  %s left",
                     (long long)state->step, (long long)report->n_steps, numbers->loss, accuracy,
                     margin, numbers->grad_norm, lr, mfu, pairs_per_s, left);
}

static dpo_status write_step(dpo_report *report, const dpo_checkpoint_state *state, double lr,
                             const dpo_step_numbers *numbers)
{
    dpo_json *record;

    if (report->stream == NULL) return DPO_OK;
    DPO_TRY(dpo_json_new_object(&record));
    dpo_status status = put_step(report, state, lr, numbers, record);

    if (status == DPO_OK) status = dpo_metrics_log_write(report->stream, report->path, record);
    dpo_json_destroy(&record);
    return status;
}

dpo_status dpo_report_step(dpo_report *report, const dpo_checkpoint_state *state, double lr,
                           const dpo_step_numbers *numbers)
{
    if (report->peak_flops_per_s > 0.0)
        report->peak_flops_per_s = fmax(report->peak_flops_per_s, numbers->best_flops_per_s);
    say_step(report, state, lr, numbers);
    return dpo_agree(report->grid, write_step(report, state, lr, numbers));
}

static dpo_status write_evaluation(dpo_report *report, int64_t step, double epoch,
                                   const dpo_evaluation *evaluation)
{
    dpo_json *record;

    if (report->stream == NULL) return DPO_OK;
    DPO_TRY(dpo_json_new_object(&record));
    dpo_status status = dpo_json_put_int(record, "step", step);

    if (status == DPO_OK) status = dpo_json_put_number(record, "epoch", epoch);
    if (status == DPO_OK) status = dpo_evaluation_put(evaluation, record);
    if (status == DPO_OK) status = dpo_metrics_log_write(report->stream, report->path, record);
    dpo_json_destroy(&record);
    return status;
}

dpo_status dpo_report_evaluation(dpo_report *report, int64_t step, double epoch,
                                 const dpo_evaluation *evaluation)
{
    dpo_evaluation_log(evaluation);
    return dpo_agree(report->grid, write_evaluation(report, step, epoch, evaluation));
}

void dpo_report_end(const dpo_report *report, const char *folder)
{
    dpo_log_info("trained model: %s", folder);
    dpo_log_info("  transformers: AutoModelForCausalLM.from_pretrained(\"%s\")", folder);
    dpo_log_info("  vLLM:         vllm serve %s", folder);
    dpo_log_info("  llama.cpp:    convert_hf_to_gguf.py %s", folder);
    dpo_log_info("metrics of every step: %s", report->path);
}

void dpo_report_close(dpo_report *report)
{
    if (report->stream != NULL) (void)fclose(report->stream);
    dpo_free(report->path);
    *report = (dpo_report){0};
}
