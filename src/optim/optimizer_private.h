// SPDX-License-Identifier: Apache-2.0
#ifndef OPTIMIZER_PRIVATE_H
#define OPTIMIZER_PRIVATE_H

#include "dpo/optim/optimizer.h"
#include "pieces.h"

typedef struct dpo_tensor_norms dpo_tensor_norms;
typedef struct dpo_muon dpo_muon;

/*
 * Invariants: pieces are ascending and cover the shard once; piece i of state s lies at
 * state_offset[s][i] of values[s], or nowhere (-1) if its tensor does not have the state.
 */
struct dpo_optimizer {
    const dpo_grid *grid;
    const dpo_optimizer_method *method;
    dpo_optimizer_options options;
    const dpo_parameters *parameters;
    int64_t n_updates;
    dpo_piece_list pieces; /* owned */
    int n_states;
    int64_t *state_offset[DPO_OPTIMIZER_MAX_STATES]; /* owned, [pieces] */
    dpo_shard state_shard[DPO_OPTIMIZER_MAX_STATES]; /* owned */
    float *values[DPO_OPTIMIZER_MAX_STATES];         /* owned, f32 packed */
    dpo_tensor_norms *norms;                         /* owned; NULL unless planned */
    dpo_muon *muon;                                  /* owned; NULL unless planned */
};

/* One piece of an update: what a method's inner loop sees. */
typedef struct {
    int64_t n;
    bool decays;
    const float *gradient;                  /* [n] */
    float *weight;                          /* [n] */
    float *state[DPO_OPTIMIZER_MAX_STATES]; /* [n], NULL if there is none */
} dpo_piece_view;

dpo_piece_view dpo_piece_view_of(dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                                 int64_t piece);

/* Whether Muon makes a tensor orthogonal: the matrices of the layers, not embedding and head. */
bool dpo_muon_takes(const dpo_parameter *row);

dpo_optimizer_run_function dpo_adamw_run, dpo_lamb_run, dpo_lars_run, dpo_rmsprop_run, dpo_sgd_run,
    dpo_lion_run, dpo_muon_run;
dpo_optimizer_plan_function dpo_lamb_plan, dpo_lars_plan, dpo_muon_plan;

/* AdamW of the tensors that Muon leaves to it. */
void dpo_adamw_run_piece(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                         const dpo_piece_view *view);

void dpo_muon_destroy(dpo_muon **muon);

#endif
