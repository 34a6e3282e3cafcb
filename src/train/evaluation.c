// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/evaluation.h"

#include <math.h>
#include <stdio.h>

#include "dpo/base/clock.h"
#include "dpo/base/log.h"
#include "dpo/comm/collective.h"

static void run_shard(dpo_session *session, const dpo_data_set *data, const dpo_batch_plan *plan,
                      int shard, const dpo_objective *objective, const dpo_objective_params *params,
                      dpo_evaluation *evaluation)
{
    double n_edges = (double)dpo_token_store_n_edges(data->store);

    for (int64_t i = 0; i < dpo_batch_plan_n_micro_batches(plan, shard); i++) {
        int64_t n;
        const int64_t *examples = dpo_batch_plan_micro_batch(plan, shard, i, &n);

        dpo_pass_forward(&session->pass, data->store, n, examples);
        dpo_objective_batch batch =
            dpo_pass_objective_batch(&session->pass, data->reference_logp, n_edges);

        evaluation->loss += dpo_objective_run(objective, params, &batch, session->pass.slope);
        dpo_metric_sums_add(&batch, params->beta, &evaluation->sums);
    }
}

/* This rank's part of all. */
static void run_plan(dpo_session *session, const dpo_data_set *data, dpo_batch_plan *plan,
                     const dpo_objective *objective, const dpo_objective_params *params,
                     dpo_evaluation *evaluation)
{
    int64_t n_steps = dpo_batch_plan_steps_per_epoch(plan);
    dpo_range shards = dpo_session_shards(session);

    for (int64_t step = 0; step < n_steps; step++) {
        dpo_batch_plan_run(plan, step);
        for (int64_t s = shards.begin; s < shards.end; s++)
            run_shard(session, data, plan, (int)s, objective, params, evaluation);
        dpo_log_live("evaluation %lld/%lld", (long long)(step + 1), (long long)n_steps);
    }
}

dpo_status dpo_evaluation_run(dpo_session *session, dpo_set set, const dpo_objective *objective,
                              const dpo_objective_params *params, dpo_evaluation *evaluation)
{
    const dpo_data_set *data = &session->set[set];
    double begin_s = dpo_clock_s();
    dpo_batch_plan *plan;

    *evaluation = (dpo_evaluation){0};
    dpo_status status = dpo_agree(session->grid, dpo_session_plan(session, set, &plan));

    if (status == DPO_OK) run_plan(session, data, plan, objective, params, evaluation);
    dpo_batch_plan_destroy(&plan);
    DPO_TRY(status);
    dpo_sum_f64(session->grid, DPO_DATA, 1, &evaluation->loss);
    dpo_sum_f64(session->grid, DPO_DATA, DPO_SUM_COUNT, evaluation->sums.sum);
    evaluation->time_s = dpo_clock_s() - begin_s;
    return DPO_OK;
}

void dpo_evaluation_log(const dpo_evaluation *evaluation)
{
    int n;
    const dpo_metric *table = dpo_metric_table(&n);

    dpo_log_info("evaluation of %.0f comparisons in %.1f s", evaluation->sums.sum[DPO_SUM_EDGES],
                 evaluation->time_s);
    dpo_log_info("  %-24s %.6f", "eval_loss", evaluation->loss);
    for (int i = 0; i < n; i++) {
        double value = dpo_metric_value(&table[i], &evaluation->sums);

        if (!isnan(value)) dpo_log_info("  eval_%-19s %.6g", table[i].name, value);
    }
}

dpo_status dpo_evaluation_put(const dpo_evaluation *evaluation, dpo_json *record)
{
    int n;
    const dpo_metric *table = dpo_metric_table(&n);

    DPO_TRY(dpo_json_put_number(record, "eval_loss", evaluation->loss));
    for (int i = 0; i < n; i++) {
        double value = dpo_metric_value(&table[i], &evaluation->sums);
        char name[64];

        (void)snprintf(name, sizeof name, "eval_%s", table[i].name);
        if (!isnan(value)) DPO_TRY(dpo_json_put_number(record, name, value));
    }
    return dpo_json_put_number(record, "time/eval_s", evaluation->time_s);
}
