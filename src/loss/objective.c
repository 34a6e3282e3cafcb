// SPDX-License-Identifier: Apache-2.0
#include "dpo/loss/objective.h"

#include <math.h>
#include <string.h>

#include "dpo/base/nearest.h"

static double sigmoid(double x)
{
    return x >= 0.0 ? 1.0 / (1.0 + exp(-x)) : exp(x) / (1.0 + exp(x));
}

/* -log(s(x)) = log(1 + exp(-x)), without overflow for any finite x. */
static double minus_log_sigmoid(double x)
{
    return fmax(-x, 0.0) + log1p(exp(-fabs(x)));
}

/* One comparison as most objectives see it. */
typedef struct {
    double chosen;   /* h_w */
    double rejected; /* h_l */
} edge_view;

typedef struct {
    double loss;
    double chosen;   /* dL/dh_w */
    double rejected; /* dL/dh_l */
} edge_loss;

typedef edge_loss edge_function(const dpo_objective_params *params, const edge_view *edge);

static double logratio(const dpo_objective_batch *batch, int64_t response)
{
    double reference = batch->reference_logp != NULL ? batch->reference_logp[response] : 0.0;

    return batch->logp[response] - reference;
}

/* Objectives whose loss is a sum over edges. */
static double sum_over_edges(edge_function *function, const dpo_objective_params *params,
                             const dpo_objective_batch *batch, double *slope)
{
    double sum = 0.0;

    for (int64_t e = 0; e < batch->n_edges; e++) {
        int64_t chosen = batch->edge_chosen[e];
        int64_t rejected = batch->edge_rejected[e];
        double weight = batch->edge_weight != NULL ? (double)batch->edge_weight[e] : 1.0;
        edge_view seen = {logratio(batch, chosen), logratio(batch, rejected)};
        edge_loss of = function(params, &seen);

        sum += weight * of.loss;
        slope[chosen] += weight * of.chosen / batch->normaliser;
        slope[rejected] += weight * of.rejected / batch->normaliser;
    }
    return sum / batch->normaliser;
}

/*
 * Rafailov et al. 2023, eq. 7, with the smoothing of Mitchell 2023 (cDPO), e = label_smoothing:
 *     L = -(1 - e) log s(beta z) - e log s(-beta z)
 *     dL/dz = beta (-(1 - e) s(-beta z) + e s(beta z))
 */
static edge_loss sigmoid_edge(const dpo_objective_params *params, const edge_view *edge)
{
    double e = params->label_smoothing;
    double x = params->beta * (edge->chosen - edge->rejected);
    double slope = params->beta * (e * sigmoid(x) - (1.0 - e) * sigmoid(-x));

    return (edge_loss){(1.0 - e) * minus_log_sigmoid(x) + e * minus_log_sigmoid(-x), slope, -slope};
}

static double run_sigmoid(const dpo_objective_params *params, const dpo_objective_batch *batch,
                          double *slope)
{
    return sum_over_edges(sigmoid_edge, params, batch, slope);
}

static const dpo_objective objective_table[] = {
    {"sigmoid", run_sigmoid, DPO_USES_BETA | DPO_USES_LABEL_SMOOTHING, false, true,
     "DPO (Rafailov et al. 2023); with label_smoothing conservative DPO"},
};

enum { N_OBJECTIVES = sizeof objective_table / sizeof objective_table[0] };

#define PARAMETER(member, bit) #member, bit, offsetof(dpo_objective_params, member)
static const dpo_objective_parameter parameter_table[] = {
    {PARAMETER(beta, DPO_USES_BETA), 0.0, false, INFINITY, "a number > 0",
     "strength of the pull towards the reference, 1/nat"},
    {PARAMETER(label_smoothing, DPO_USES_LABEL_SMOOTHING), 0.0, true, 0.5,
     "a number >= 0 and < 0.5", "probability that a comparison is the wrong way round"},
};
#undef PARAMETER

enum { N_PARAMETERS = sizeof parameter_table / sizeof parameter_table[0] };

const dpo_objective *dpo_objective_table(int *n)
{
    *n = N_OBJECTIVES;
    return objective_table;
}

const dpo_objective_parameter *dpo_objective_parameter_table(int *n)
{
    *n = N_PARAMETERS;
    return parameter_table;
}

dpo_status dpo_objective_find(const char *name, const dpo_objective **objective)
{
    const char *names[N_OBJECTIVES];

    *objective = NULL;
    for (int i = 0; i < N_OBJECTIVES; i++) {
        names[i] = objective_table[i].name;
        if (strcmp(names[i], name) == 0) *objective = &objective_table[i];
    }
    if (*objective != NULL) return DPO_OK;
    return dpo_unknown_name("objective.name", "objective", name, names, N_OBJECTIVES);
}

static double value_of(const dpo_objective_params *params, const dpo_objective_parameter *row)
{
    double value;

    memcpy(&value, (const char *)params + row->offset, sizeof value);
    return value;
}

static dpo_status check_parameter(const dpo_objective *objective,
                                  const dpo_objective_params *params, bool given,
                                  const dpo_objective_parameter *row)
{
    double value = value_of(params, row);
    bool used = (objective->uses & row->bit) != 0;
    bool above = row->min_allowed ? value >= row->min : value > row->min;

    if (given && !used)
        return DPO_FAIL(DPO_EUSAGE, "objective.%s: given, but %s does not use it; remove it",
                        row->key, objective->name);
    if (used && !(above && value < row->max))
        return DPO_FAIL(DPO_EUSAGE, "objective.%s: %g, expected %s", row->key, value, row->range);
    return DPO_OK;
}

dpo_status dpo_objective_check(const dpo_objective *objective, const dpo_objective_params *params,
                               uint32_t given)
{
    for (int i = 0; i < N_PARAMETERS; i++)
        DPO_TRY(check_parameter(objective, params, (given & parameter_table[i].bit) != 0,
                                &parameter_table[i]));
    return DPO_OK;
}

double dpo_objective_run(const dpo_objective *objective, const dpo_objective_params *params,
                         const dpo_objective_batch *batch, double *slope)
{
    DPO_ASSERT(batch->normaliser > 0.0);
    DPO_ASSERT(!objective->needs_reference || batch->reference_logp != NULL);
    return objective->run(params, batch, slope);
}
