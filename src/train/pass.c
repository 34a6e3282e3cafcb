// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/pass.h"

#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/phase.h"

dpo_status dpo_pass_create(dpo_model *model, int64_t max_edges, bool shares, dpo_pass *pass)
{
    const dpo_model_limits *limits = dpo_model_limits_of(model);
    int64_t max_rows = limits->max_rows;

    *pass = (dpo_pass){.model = model, .shares = shares, .max_edges = max_edges};
    DPO_TRY(dpo_microbatch_create(limits->max_tokens, max_rows, &pass->microbatch));
    DPO_TRY(DPO_NEW(pass->row_logp, max_rows));
    DPO_TRY(DPO_NEW(pass->row_coefficient, max_rows));
    DPO_TRY(DPO_NEW(pass->logp, max_rows));
    DPO_TRY(DPO_NEW(pass->reference_logp, max_rows));
    DPO_TRY(DPO_NEW(pass->slope, max_rows));
    DPO_TRY(DPO_NEW(pass->n_tokens, max_rows));
    DPO_TRY(DPO_NEW(pass->edge_chosen, max_edges));
    DPO_TRY(DPO_NEW(pass->edge_rejected, max_edges));
    return DPO_NEW(pass->edge_weight, max_edges);
}

void dpo_pass_destroy(dpo_pass *pass)
{
    dpo_microbatch_destroy(&pass->microbatch);
    dpo_free(pass->row_logp);
    dpo_free(pass->row_coefficient);
    dpo_free(pass->logp);
    dpo_free(pass->reference_logp);
    dpo_free(pass->slope);
    dpo_free(pass->n_tokens);
    dpo_free(pass->edge_chosen);
    dpo_free(pass->edge_rejected);
    dpo_free(pass->edge_weight);
    *pass = (dpo_pass){0};
}

/* Responses of an example are one behind the other in the store and in the micro-batch's list. */
static void add_edges(dpo_pass *pass, const dpo_token_store *store, int64_t example,
                      int64_t first_response)
{
    dpo_range edges = dpo_token_store_edges(store, example);
    int64_t shift = first_response - dpo_token_store_responses(store, example).begin;

    DPO_ASSERT(pass->n_edges + dpo_range_length(edges) <= pass->max_edges);
    for (int64_t e = edges.begin; e < edges.end; e++) {
        int64_t i = pass->n_edges++;

        dpo_token_store_edge(store, e, &pass->edge_chosen[i], &pass->edge_rejected[i],
                             &pass->edge_weight[i]);
        pass->edge_chosen[i] += shift;
        pass->edge_rejected[i] += shift;
    }
}

void dpo_pass_forward(dpo_pass *pass, const dpo_token_store *store, int64_t n_examples,
                      const int64_t *examples)
{
    dpo_microbatch *m = &pass->microbatch;
    int64_t n_responses = 0;

    dpo_phase_begin(DPO_PHASE_PLAN);
    dpo_microbatch_build(m, store, n_examples, examples, pass->shares);
    pass->n_edges = 0;
    for (int64_t i = 0; i < n_examples; i++) {
        add_edges(pass, store, examples[i], n_responses);
        n_responses += dpo_range_length(dpo_token_store_responses(store, examples[i]));
    }
    dpo_phase_end(DPO_PHASE_PLAN);
    dpo_model_forward(pass->model, &m->batch, pass->row_logp);
    for (int64_t r = 0; r < m->n_responses; r++) {
        double sum = 0.0;

        for (int64_t t = m->rows[r].begin; t < m->rows[r].end; t++)
            sum += (double)pass->row_logp[t];
        pass->logp[r] = sum;
        pass->n_tokens[r] = dpo_range_length(m->rows[r]);
    }
}

dpo_objective_batch dpo_pass_objective_batch(dpo_pass *pass, const double *reference_logp,
                                             double normaliser)
{
    const dpo_microbatch *m = &pass->microbatch;

    for (int64_t r = 0; r < m->n_responses; r++) {
        pass->slope[r] = 0.0;
        if (reference_logp != NULL) pass->reference_logp[r] = reference_logp[m->response[r]];
    }
    return (dpo_objective_batch){.n_responses = m->n_responses,
                                 .logp = pass->logp,
                                 .reference_logp = reference_logp ? pass->reference_logp : NULL,
                                 .n_tokens = pass->n_tokens,
                                 .n_edges = pass->n_edges,
                                 .edge_chosen = pass->edge_chosen,
                                 .edge_rejected = pass->edge_rejected,
                                 .edge_weight = pass->edge_weight,
                                 .normaliser = normaliser};
}

void dpo_pass_backward(dpo_pass *pass, const dpo_gradient_sink *last)
{
    const dpo_microbatch *m = &pass->microbatch;

    memset(pass->row_coefficient, 0, (size_t)m->batch.n_rows * sizeof *pass->row_coefficient);
    for (int64_t r = 0; r < m->n_responses; r++)
        for (int64_t t = m->rows[r].begin; t < m->rows[r].end; t++)
            pass->row_coefficient[t] += (float)pass->slope[r];
    dpo_model_backward(pass->model, &m->batch, pass->row_coefficient, last);
}
