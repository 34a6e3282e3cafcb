// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/phase.h"

#include <stdio.h>
#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/status.h"

enum { MAX_DEPTH = 16 };

/* Rows that are not named here are named by dpo_phase_named(). */
static dpo_phase_row table[DPO_MAX_PHASES] = {
    [DPO_PHASE_OTHER] = {.name = "other"},
    [DPO_PHASE_COMMUNICATION] = {.name = "communication"},
    [DPO_PHASE_ATTENTION_FORWARD] = {.name = "attention forward"},
    [DPO_PHASE_ATTENTION_BACKWARD] = {.name = "attention backward"},
    [DPO_PHASE_VOCABULARY_FORWARD] = {.name = "vocabulary forward"},
    [DPO_PHASE_VOCABULARY_BACKWARD] = {.name = "vocabulary backward"},
    [DPO_PHASE_NORM] = {.name = "norms"},
    [DPO_PHASE_ROTARY] = {.name = "rotary embedding"},
    [DPO_PHASE_ACTIVATION] = {.name = "activation"},
    [DPO_PHASE_EMBEDDING] = {.name = "embedding and rows"},
    [DPO_PHASE_OBJECTIVE] = {.name = "objective"},
    [DPO_PHASE_OPTIMIZER] = {.name = "optimizer"},
    [DPO_PHASE_PLAN] = {.name = "batch plan"},
    [DPO_PHASE_START] = {.name = "start"},
    [DPO_PHASE_REFERENCE] = {.name = "reference pass"},
    [DPO_PHASE_EVALUATION] = {.name = "evaluation"},
    [DPO_PHASE_CHECKPOINT] = {.name = "checkpoints"},
    [DPO_PHASE_EXPORT] = {.name = "export"},
    [DPO_PHASE_REPORT] = {.name = "metrics and log"},
};

static const char is_closed[DPO_MAX_PHASES] = {[DPO_PHASE_REFERENCE] = 1,
                                               [DPO_PHASE_EVALUATION] = 1,
                                               [DPO_PHASE_CHECKPOINT] = 1,
                                               [DPO_PHASE_EXPORT] = 1};

/*
 * stack[0] is DPO_PHASE_OTHER, stack[depth] runs. Only the top of the stack may be closed; n_hidden phases began
 * inside it and have not ended.
 */
static struct {
    int stack[MAX_DEPTH];
    int depth;
    int n_hidden;
    double since_s;        /* up to here the time is in the table */
    double communicated_s; /* what the other clock showed then */
    double (*communication_s)(void);
} run;

static double read_communication(void)
{
    return run.communication_s != NULL ? run.communication_s() : 0.0;
}

/* The time since the last change goes to the phase that runs. */
static void charge(void)
{
    int phase = run.stack[run.depth];
    double now_s = dpo_clock_s();
    double communicated_s = read_communication();
    double elsewhere_s = is_closed[phase] ? 0.0 : communicated_s - run.communicated_s;

    table[phase].time_s += now_s - run.since_s - elsewhere_s;
    table[DPO_PHASE_COMMUNICATION].time_s += elsewhere_s;
    run.since_s = now_s;
    run.communicated_s = communicated_s;
}

void dpo_phase_start(double (*communication_s)(void))
{
    for (int i = 0; i < DPO_MAX_PHASES; i++)
        table[i].time_s = table[i].flops = 0.0;
    run.depth = run.n_hidden = 0;
    run.communication_s = communication_s;
    run.communicated_s = read_communication();
    run.since_s = dpo_clock_s();
}

int dpo_phase_named(const char *name)
{
    char cut[DPO_PHASE_NAME_BYTES];

    (void)snprintf(cut, sizeof cut, "%s", name);
    for (int i = 0; i < DPO_MAX_PHASES; i++) {
        if (table[i].name[0] == '\0') memcpy(table[i].name, cut, sizeof cut);
        if (strcmp(table[i].name, cut) == 0) return i;
    }
    return DPO_PHASE_OTHER;
}

void dpo_phase_begin(int phase)
{
    if (is_closed[run.stack[run.depth]]) {
        run.n_hidden++;
        return;
    }
    charge();
    DPO_ASSERT(run.depth + 1 < MAX_DEPTH);
    run.stack[++run.depth] = phase;
}

void dpo_phase_end(int phase)
{
    if (run.n_hidden > 0) {
        run.n_hidden--;
        return;
    }
    DPO_ASSERT(run.depth > 0 && run.stack[run.depth] == phase);
    charge();
    run.depth--;
}

void dpo_phase_add_flops(int phase, double flops)
{
    if (!is_closed[run.stack[run.depth]]) table[phase].flops += flops;
}

void dpo_phase_read(dpo_phase_row *rows)
{
    charge();
    memcpy(rows, table, sizeof table);
}
