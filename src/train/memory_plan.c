// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/memory_plan.h"

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/train/gradient_tree.h"

dpo_status dpo_memory_plan_make(const dpo_memory_needs *needs, const dpo_model_limits *limits,
                                dpo_memory_plan *plan)
{
    dpo_model_memory model;

    *plan = (dpo_memory_plan){.program = needs->program_bytes};
    DPO_TRY(dpo_model_plan(needs->config, limits, &needs->partition, &model));
    plan->weights = model.weights;
    plan->rounded = model.rounded;
    plan->gradients = model.gradients;
    if (limits->trainable) {
        plan->optimizer = needs->n_states * (model.weights / needs->data_size);
        plan->average = needs->has_average ? model.weights / needs->data_size : 0;
        plan->shard_sums =
            dpo_gradient_tree_bytes(model.weights / (int64_t)sizeof(float), needs->rank_shards);
    }
    plan->activations = model.activations;
    plan->scratch = model.scratch + model.exchange + model.plans;
    plan->logits = model.logits;
    plan->total = plan->program + plan->optimizer + plan->average + plan->shard_sums + model.total;
    return DPO_OK;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t dpo_memory_budget_rows(const dpo_memory_wishes *wishes)
{
    int64_t rows = (int64_t)((double)wishes->budget_tokens * wishes->rows_per_token) + 1;

    return larger(rows, wishes->longest_rows);
}

static void set_room(const dpo_memory_wishes *wishes, dpo_model_limits *limits)
{
    limits->max_tokens = larger(wishes->budget_tokens, wishes->longest_tokens);
    limits->max_rows = dpo_memory_budget_rows(wishes);
}

/* One way to save memory; the ways are tried in the order of what they cost. */
typedef struct {
    int64_t part_of_budget; /* budget_tokens is at least this part of the wish: 1/1, 1/2, ... */
    bool keeps_logits;
    dpo_recompute recompute;
} saving;

static const saving savings[] = {
    {1, true, DPO_RECOMPUTE_NONE},   {2, true, DPO_RECOMPUTE_NONE},
    {2, false, DPO_RECOMPUTE_NONE},  {2, true, DPO_RECOMPUTE_MLP},
    {2, false, DPO_RECOMPUTE_MLP},   {2, true, DPO_RECOMPUTE_LAYER},
    {2, false, DPO_RECOMPUTE_LAYER}, {1 << 20, false, DPO_RECOMPUTE_LAYER},
};

enum { N_SAVINGS = sizeof savings / sizeof savings[0] };

static void save(const saving *by, const dpo_memory_wishes *wanted, const dpo_model_limits *wish,
                 dpo_memory_wishes *wishes, dpo_model_limits *limits)
{
    *wishes = *wanted;
    *limits = *wish;
    if (!wanted->is_fixed)
        wishes->budget_tokens =
            larger(wanted->budget_tokens / by->part_of_budget,
                   wanted->longest_tokens < wanted->budget_tokens ? wanted->longest_tokens
                                                                  : wanted->budget_tokens);
    if (!by->keeps_logits) limits->logits_bytes = 0;
    if (!wanted->recompute_is_fixed && wish->trainable) limits->recompute = by->recompute;
    set_room(wishes, limits);
}

static dpo_status does_not_fit(int64_t least_bytes, int64_t limit_bytes)
{
    return DPO_FAIL(DPO_ENOMEM,
                    "memory.limit: a rank has %.2f GiB, but needs at least %.2f GiB even with "
                    "everything computed again; use more ranks a model (parallel.tensor), more "
                    "nodes, shorter sequences (data.max_length) or smaller micro-batches "
                    "(batch.tokens)",
                    (double)limit_bytes / 0x1p30, (double)least_bytes / 0x1p30);
}

dpo_status dpo_memory_plan_fit(const dpo_grid *grid, const dpo_memory_needs *needs,
                               int64_t limit_bytes, dpo_memory_wishes *wishes,
                               dpo_model_limits *limits, dpo_memory_plan *plan)
{
    const dpo_memory_wishes wanted = *wishes;
    const dpo_model_limits wish = *limits;

    for (int i = 0; i < N_SAVINGS; i++) {
        save(&savings[i], &wanted, &wish, wishes, limits);
        DPO_TRY(dpo_agree(grid, dpo_memory_plan_make(needs, limits, plan)));
        int64_t n_without_room = plan->total > limit_bytes;

        dpo_max_i64(grid, DPO_WORLD, 1, &n_without_room);
        if (n_without_room == 0) return DPO_OK;
    }
    return dpo_agree(grid,
                     plan->total > limit_bytes ? does_not_fit(plan->total, limit_bytes) : DPO_OK);
}

void dpo_memory_plan_log(const dpo_memory_plan *plan, const dpo_model_limits *limits,
                         int64_t limit_bytes)
{
    static const char *const recomputed[] = {"nothing", "the MLPs", "attention", "whole layers"};
    const struct {
        const char *name;
        int64_t bytes;
    } rows[] = {
        {"program and data", plan->program},
        {"weights", plan->weights},
        {"weights in bf16", plan->rounded},
        {"gradients", plan->gradients},
        {"optimizer states", plan->optimizer},
        {"average of weights", plan->average},
        {"sums of shards", plan->shard_sums},
        {"activations", plan->activations},
        {"scratch", plan->scratch},
        {"kept logits", plan->logits},
        {"all", plan->total},
    };

    dpo_log_info("memory of a rank, of %.0f MiB that it may use, for micro-batches of %lld tokens "
                 "and %lld predictions%s%s",
                 (double)limit_bytes / 0x1p20, (long long)limits->max_tokens,
                 (long long)limits->max_rows, limits->trainable ? "; computed again: " : "",
                 limits->trainable ? recomputed[limits->recompute] : "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].bytes > 0)
            dpo_log_info("  %-20s %9.1f MiB", rows[i].name, (double)rows[i].bytes / 0x1p20);
}
