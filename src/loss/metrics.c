// SPDX-License-Identifier: Apache-2.0
#include "dpo/loss/metrics.h"

#include <math.h>

/* s(x) > 0.99 without computing s: x > log(0.99 / 0.01). */
static const double saturated_from = 4.59511985013459;

static const dpo_metric metric_table[] = {
    {"rewards/chosen", DPO_SUM_REWARD_CHOSEN, DPO_SUM_EDGES},
    {"rewards/rejected", DPO_SUM_REWARD_REJECTED, DPO_SUM_EDGES},
    {"rewards/margins", DPO_SUM_MARGIN, DPO_SUM_EDGES},
    {"rewards/accuracies", DPO_SUM_ACCURATE, DPO_SUM_EDGES},
    {"logps/chosen", DPO_SUM_LOGP_CHOSEN, DPO_SUM_EDGES},
    {"logps/rejected", DPO_SUM_LOGP_REJECTED, DPO_SUM_EDGES},
    {"ref_logps/chosen", DPO_SUM_REF_LOGP_CHOSEN, DPO_SUM_REFERENCED_EDGES},
    {"ref_logps/rejected", DPO_SUM_REF_LOGP_REJECTED, DPO_SUM_REFERENCED_EDGES},
    {"kl/chosen", DPO_SUM_LOGRATIO_CHOSEN, DPO_SUM_REFERENCED_TOKENS_CHOSEN},
    {"kl/rejected", DPO_SUM_LOGRATIO_REJECTED, DPO_SUM_REFERENCED_TOKENS_REJECTED},
    {"lengths/chosen", DPO_SUM_TOKENS_CHOSEN, DPO_SUM_EDGES},
    {"lengths/rejected", DPO_SUM_TOKENS_REJECTED, DPO_SUM_EDGES},
    {"saturated", DPO_SUM_SATURATED, DPO_SUM_EDGES},
    {"chosen_logp_drop", DPO_SUM_CHOSEN_DROPS, DPO_SUM_REFERENCED_EDGES},
};

enum { N_METRICS = sizeof metric_table / sizeof metric_table[0] };

static void add_edge(const dpo_objective_batch *batch, double beta, int64_t w, int64_t l,
                     double *sum)
{
    bool referenced = batch->reference_logp != NULL;
    double ref_w = referenced ? batch->reference_logp[w] : 0.0;
    double ref_l = referenced ? batch->reference_logp[l] : 0.0;
    double ratio_w = batch->logp[w] - ref_w;
    double ratio_l = batch->logp[l] - ref_l;
    double margin = beta * (ratio_w - ratio_l);

    sum[DPO_SUM_EDGES] += 1.0;
    sum[DPO_SUM_LOGP_CHOSEN] += batch->logp[w];
    sum[DPO_SUM_LOGP_REJECTED] += batch->logp[l];
    sum[DPO_SUM_REWARD_CHOSEN] += beta * ratio_w;
    sum[DPO_SUM_REWARD_REJECTED] += beta * ratio_l;
    sum[DPO_SUM_MARGIN] += margin;
    sum[DPO_SUM_ACCURATE] += margin > 0.0;
    sum[DPO_SUM_TOKENS_CHOSEN] += (double)batch->n_tokens[w];
    sum[DPO_SUM_TOKENS_REJECTED] += (double)batch->n_tokens[l];
    sum[DPO_SUM_SATURATED] += margin > saturated_from;
    if (!referenced) return;
    sum[DPO_SUM_REFERENCED_EDGES] += 1.0;
    sum[DPO_SUM_REF_LOGP_CHOSEN] += ref_w;
    sum[DPO_SUM_REF_LOGP_REJECTED] += ref_l;
    sum[DPO_SUM_LOGRATIO_CHOSEN] += ratio_w;
    sum[DPO_SUM_LOGRATIO_REJECTED] += ratio_l;
    sum[DPO_SUM_REFERENCED_TOKENS_CHOSEN] += (double)batch->n_tokens[w];
    sum[DPO_SUM_REFERENCED_TOKENS_REJECTED] += (double)batch->n_tokens[l];
    sum[DPO_SUM_CHOSEN_DROPS] += ratio_w < 0.0;
}

void dpo_metric_sums_add(const dpo_objective_batch *batch, double beta, dpo_metric_sums *sums)
{
    for (int64_t e = 0; e < batch->n_edges; e++)
        add_edge(batch, beta, batch->edge_chosen[e], batch->edge_rejected[e], sums->sum);
}

const dpo_metric *dpo_metric_table(int *n)
{
    *n = N_METRICS;
    return metric_table;
}

double dpo_metric_value(const dpo_metric *metric, const dpo_metric_sums *sums)
{
    double count = sums->sum[metric->denominator];

    return count > 0.0 ? sums->sum[metric->numerator] / count : (double)NAN;
}
