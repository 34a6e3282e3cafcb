// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/optimizer.h"

#include <string.h>

#include "dpo/base/memory.h"
#include "optimizer_private.h"
#include "tensor_norms.h"

enum {
    ADAM = DPO_OPTIMIZER_BETAS | DPO_OPTIMIZER_EPS,
    MOMENTUM = DPO_OPTIMIZER_MOMENTUM,
    NESTEROV = DPO_OPTIMIZER_MOMENTUM | DPO_OPTIMIZER_NESTEROV
};

static const dpo_optimizer_method method_table[] = {
    {"adamw",
     ADAM,
     {.betas = {0.9, 0.999}, .eps = 1e-8},
     {"m", "v"},
     -1,
     dpo_adamw_run,
     NULL,
     "AdamW, as torch.optim.AdamW (Loshchilov and Hutter 2019)"},
    {"lamb",
     ADAM,
     {.betas = {0.9, 0.999}, .eps = 1e-6},
     {"m", "v"},
     -1,
     dpo_lamb_run,
     dpo_lamb_plan,
     "AdamW with a trust ratio for each tensor (You et al. 2020, algorithm 2)"},
    {"lars",
     DPO_OPTIMIZER_TRUST | MOMENTUM,
     {.momentum = 0.9, .trust_coefficient = 0.001},
     {"momentum"},
     -1,
     dpo_lars_run,
     dpo_lars_plan,
     "SGD with a rate for each tensor (You et al. 2017)"},
    {"rmsprop",
     DPO_OPTIMIZER_ALPHA | DPO_OPTIMIZER_EPS | MOMENTUM,
     {.alpha = 0.99, .eps = 1e-8},
     {"square", "momentum"},
     1,
     dpo_rmsprop_run,
     NULL,
     "RMSprop, as torch.optim.RMSprop: what the original DPO used"},
    {"sgd",
     NESTEROV,
     {.momentum = 0.9},
     {"momentum"},
     0,
     dpo_sgd_run,
     NULL,
     "gradient descent with momentum, as torch.optim.SGD"},
    {"lion",
     DPO_OPTIMIZER_BETAS,
     {.betas = {0.9, 0.99}},
     {"m"},
     -1,
     dpo_lion_run,
     NULL,
     "sign of the momentum (Chen et al. 2023)"},
    {"muon",
     ADAM | NESTEROV | DPO_OPTIMIZER_MATRICES,
     {.betas = {0.9, 0.999},
      .eps = 1e-8,
      .momentum = 0.95,
      .nesterov = true,
      .ns_steps = 5,
      .adjust_lr = DPO_MATCH_RMS_ADAMW,
      .matrix_rate = 1.0},
     {"m", "v"},
     -1,
     dpo_muon_run,
     dpo_muon_plan,
     "orthogonal momentum for the layers' matrices, as torch.optim.Muon; AdamW for the rest"},
};

enum { N_METHODS = sizeof method_table / sizeof method_table[0] };

const dpo_optimizer_method *dpo_optimizer_table(int *n)
{
    *n = N_METHODS;
    return method_table;
}

int dpo_optimizer_count_states(const dpo_optimizer_method *method,
                               const dpo_optimizer_options *options)
{
    int n = 0;

    while (n < DPO_OPTIMIZER_MAX_STATES && method->state[n] != NULL)
        n++;
    return method->momentum_state == n - 1 && options->momentum == 0.0 ? n - 1 : n;
}

bool dpo_optimizer_state_covers(const dpo_optimizer *optimizer, int state, int64_t row)
{
    bool is_muon = optimizer->method->run == dpo_muon_run;

    return !(is_muon && state == 1 && dpo_muon_takes(&optimizer->parameters->row[row]));
}

/* Lays a state's pieces one behind the other; ranges that touch become one. */
static dpo_status plan_state(dpo_optimizer *optimizer, int s)
{
    const dpo_piece_list *pieces = &optimizer->pieces;
    dpo_shard *shard = &optimizer->state_shard[s];

    DPO_TRY(DPO_NEW(optimizer->state_offset[s], pieces->n));
    DPO_TRY(DPO_NEW(shard->range, pieces->n));
    for (int64_t i = 0; i < pieces->n; i++) {
        dpo_range range = pieces->piece[i].range;

        optimizer->state_offset[s][i] = -1;
        if (!dpo_optimizer_state_covers(optimizer, s, pieces->piece[i].row)) continue;
        optimizer->state_offset[s][i] = shard->n_elements;
        shard->n_elements += dpo_range_length(range);
        if (shard->n_ranges > 0 && shard->range[shard->n_ranges - 1].end == range.begin)
            shard->range[shard->n_ranges - 1].end = range.end;
        else
            shard->range[shard->n_ranges++] = range;
    }
    return DPO_NEW(optimizer->values[s], shard->n_elements);
}

static dpo_status plan_states(dpo_optimizer *optimizer, const dpo_shard *shard)
{
    DPO_TRY(dpo_pieces_create(optimizer->parameters, shard, &optimizer->pieces));
    optimizer->n_states = dpo_optimizer_count_states(optimizer->method, &optimizer->options);
    for (int s = 0; s < optimizer->n_states; s++)
        DPO_TRY(plan_state(optimizer, s));
    return DPO_OK;
}

/* The states' pages come to be here and not in the first step: near the thread that updates them. */
static void touch_states(dpo_optimizer *optimizer)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        size_t n = (size_t)dpo_range_length(optimizer->pieces.piece[i].range);

        for (int s = 0; s < optimizer->n_states; s++)
            if (optimizer->state_offset[s][i] >= 0)
                memset(optimizer->values[s] + optimizer->state_offset[s][i], 0, n * sizeof(float));
    }
}

dpo_status dpo_optimizer_create(const dpo_grid *grid, const dpo_optimizer_method *method,
                                const dpo_optimizer_options *options,
                                const dpo_parameters *parameters, const dpo_shard *shard,
                                dpo_optimizer **optimizer)
{
    dpo_status status = DPO_NEW(*optimizer, 1);

    if (status == DPO_OK) {
        **optimizer = (dpo_optimizer){
            .grid = grid, .method = method, .options = *options, .parameters = parameters};
        status = plan_states(*optimizer, shard);
        if (status == DPO_OK) touch_states(*optimizer);
    }
    status = dpo_agree(grid, status);
    if (status == DPO_OK && method->plan != NULL) status = method->plan(*optimizer);
    if (status != DPO_OK) dpo_optimizer_destroy(optimizer);
    return status;
}

void dpo_optimizer_destroy(dpo_optimizer **optimizer)
{
    dpo_optimizer *o = *optimizer;

    if (o == NULL) return;
    for (int s = 0; s < DPO_OPTIMIZER_MAX_STATES; s++) {
        dpo_free(o->state_offset[s]);
        dpo_free(o->state_shard[s].range);
        dpo_free(o->values[s]);
    }
    dpo_pieces_destroy(&o->pieces);
    dpo_tensor_norms_destroy(&o->norms);
    dpo_muon_destroy(&o->muon);
    dpo_free(o);
    *optimizer = NULL;
}

void dpo_optimizer_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
    optimizer->n_updates++;
    optimizer->method->run(optimizer, update);
}

dpo_piece_view dpo_piece_view_of(dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                                 int64_t piece)
{
    const dpo_piece *p = &optimizer->pieces.piece[piece];
    dpo_piece_view view = {.n = dpo_range_length(p->range),
                           .decays = optimizer->parameters->row[p->row].decays,
                           .gradient = update->gradients + p->range.begin,
                           .weight = update->weights + p->range.begin};

    for (int s = 0; s < optimizer->n_states; s++)
        if (optimizer->state_offset[s][piece] >= 0)
            view.state[s] = optimizer->values[s] + optimizer->state_offset[s][piece];
    return view;
}

int dpo_optimizer_n_states(const dpo_optimizer *optimizer)
{
    return optimizer->n_states;
}

const char *dpo_optimizer_state_name(const dpo_optimizer *optimizer, int state)
{
    return optimizer->method->state[state];
}

const dpo_shard *dpo_optimizer_state_shard(const dpo_optimizer *optimizer, int state)
{
    return &optimizer->state_shard[state];
}

float *dpo_optimizer_state(dpo_optimizer *optimizer, int state)
{
    return optimizer->values[state];
}

int64_t dpo_optimizer_n_updates(const dpo_optimizer *optimizer)
{
    return optimizer->n_updates;
}

void dpo_optimizer_set_n_updates(dpo_optimizer *optimizer, int64_t n_updates)
{
    DPO_ASSERT(n_updates >= 0);
    optimizer->n_updates = n_updates;
}
