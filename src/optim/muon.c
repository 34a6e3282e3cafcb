// SPDX-License-Identifier: Apache-2.0
/*
 * Muon (Jordan 2024) with the order of operations of torch.optim.Muon, for the matrices of the layers:
 *
 *     b = b + (1 - momentum) (g - b)
 *     u = g + momentum (b - g)           with nesterov, else b
 *     o = orthogonal matrix near u       math/orthogonalise.h; torch computes it in bf16, here it is f32
 *     w = w (1 - lr weight_decay) - lr adjust(rows, columns) o
 *
 * All other tensors go by AdamW. A round of matrices at a time: their parts of u go to their owners, each owner
 * makes its matrix orthogonal, and the parts come back (muon_plan.h).
 */
#include <math.h>
#include <string.h>

#include "dpo/comm/all_to_all.h"
#include "dpo/math/orthogonalise.h"
#include "muon_plan.h"

static void update_momentum(float gradient_scale, float part, int64_t n,
                            const float *restrict gradient, float *restrict momentum)
{
    for (int64_t i = 0; i < n; i++)
        momentum[i] += part * (gradient[i] * gradient_scale - momentum[i]);
}

static void look_ahead(float gradient_scale, float part, int64_t n, const float *restrict gradient,
                       const float *restrict momentum, float *restrict u)
{
    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * gradient_scale;

        u[i] = g + part * (momentum[i] - g);
    }
}

static void step_items(float kept, float step, int64_t n, const float *restrict orthogonal,
                       float *restrict weight)
{
    for (int64_t i = 0; i < n; i++)
        weight[i] = weight[i] * kept - step * orthogonal[i];
}

/* Momentum of the matrices, AdamW of the rest. */
static void run_pieces(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
    float part = (float)(1.0 - optimizer->options.momentum);

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);

        if (view.state[1] == NULL)
            update_momentum((float)update->gradient_scale, part, view.n, view.gradient,
                            view.state[0]);
        else
            dpo_adamw_run_piece(optimizer, update, &view);
    }
}

/* Local runs of the round to their owners: those that this rank counts. Returns how many bytes to whom in n_send. */
static void pack_local(dpo_optimizer *optimizer, const dpo_optimizer_update *update, int64_t round)
{
    dpo_muon *muon = optimizer->muon;
    float part = optimizer->options.nesterov ? (float)optimizer->options.momentum : 1.0f;
    float *out = muon->out;

    memset(muon->n_send, 0, (size_t)muon->size * sizeof *muon->n_send);
    for (int64_t i = muon->local_begin[round]; i < muon->local_begin[round + 1]; i++) {
        const dpo_muon_local_run *local = &muon->local[i];

        if (!local->run.counted) continue;
        look_ahead((float)update->gradient_scale, part, local->run.count,
                   update->gradients + local->flat, optimizer->values[0] + local->state, out);
        out += local->run.count;
        muon->n_send[local->owner] += local->run.count * (int64_t)sizeof *out;
    }
}

/* Bytes that each rank has for this one in the round: of its counted runs, or of all. */
static void count_foreign(const dpo_muon *muon, int64_t round, bool only_counted, int64_t *n_bytes)
{
    for (int rank = 0; rank < muon->size; rank++) {
        int64_t at = round * muon->size + rank;

        n_bytes[rank] = 0;
        for (int64_t i = muon->foreign_begin[at]; i < muon->foreign_end[at]; i++)
            if (!only_counted || muon->foreign[i].counted)
                n_bytes[rank] += muon->foreign[i].count * (int64_t)sizeof(float);
    }
}

static void unpack_whole(const dpo_muon *muon, int64_t round)
{
    const float *in = muon->in;

    for (int rank = 0; rank < muon->size; rank++) {
        int64_t at = round * muon->size + rank;

        for (int64_t i = muon->foreign_begin[at]; i < muon->foreign_end[at]; i++) {
            const dpo_muon_run_of *run = &muon->foreign[i];

            if (!run->counted) continue;
            memcpy(muon->whole + run->begin, in, (size_t)run->count * sizeof *in);
            in += run->count;
        }
    }
}

static void pack_whole(const dpo_muon *muon, int64_t round)
{
    float *out = muon->out;

    for (int rank = 0; rank < muon->size; rank++) {
        int64_t at = round * muon->size + rank;

        for (int64_t i = muon->foreign_begin[at]; i < muon->foreign_end[at]; i++) {
            memcpy(out, muon->whole + muon->foreign[i].begin,
                   (size_t)muon->foreign[i].count * sizeof *out);
            out += muon->foreign[i].count;
        }
    }
}

static void count_local(dpo_muon *muon, int64_t round, int64_t *n_bytes)
{
    memset(n_bytes, 0, (size_t)muon->size * sizeof *n_bytes);
    for (int64_t i = muon->local_begin[round]; i < muon->local_begin[round + 1]; i++)
        n_bytes[muon->local[i].owner] += muon->local[i].run.count * (int64_t)sizeof(float);
}

static double adjustment(const dpo_optimizer_options *options, const dpo_parameter *row)
{
    double rows = (double)row->dims[0];
    double columns = (double)row->dims[1];

    if (options->adjust_lr == DPO_MATCH_ORIGINAL) return sqrt(fmax(1.0, rows / columns));
    return 0.2 * sqrt(fmax(rows, columns));
}

static void step_local(dpo_optimizer *optimizer, const dpo_optimizer_update *update, int64_t round)
{
    const dpo_muon *muon = optimizer->muon;
    const dpo_optimizer_options *options = &optimizer->options;
    double lr = update->lr * options->matrix_rate;
    float kept = (float)(1.0 - lr * options->weight_decay);
    const float *in = muon->in;

    for (int64_t i = muon->local_begin[round]; i < muon->local_begin[round + 1]; i++) {
        const dpo_muon_local_run *local = &muon->local[i];
        const dpo_parameter *row = &optimizer->parameters->row[local->row];

        step_items(row->decays ? kept : 1.0f, (float)(lr * adjustment(options, row)),
                   local->run.count, in, update->weights + local->flat);
        in += local->run.count;
    }
}

static void run_round(dpo_optimizer *optimizer, const dpo_optimizer_update *update, int64_t round)
{
    const dpo_grid *grid = optimizer->grid;
    dpo_muon *muon = optimizer->muon;
    int64_t mine = dpo_muon_matrix_of(muon, round, dpo_grid_rank(grid, DPO_WORLD));

    pack_local(optimizer, update, round);
    count_foreign(muon, round, true, muon->n_receive);
    dpo_all_to_all_bytes(grid, DPO_WORLD, muon->n_send, muon->out, muon->n_receive, muon->in);
    if (mine >= 0) {
        const int64_t *dims = optimizer->parameters->row[mine].dims;

        unpack_whole(muon, round);
        dpo_orthogonalise_run(dims[0], dims[1], optimizer->options.ns_steps, muon->whole,
                              muon->work);
        pack_whole(muon, round);
    }
    count_foreign(muon, round, false, muon->n_send);
    count_local(muon, round, muon->n_receive);
    dpo_all_to_all_bytes(grid, DPO_WORLD, muon->n_send, muon->out, muon->n_receive, muon->in);
    step_local(optimizer, update, round);
}

void dpo_muon_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
    run_pieces(optimizer, update);
    for (int64_t round = 0; round < optimizer->muon->n_rounds; round++)
        run_round(optimizer, update, round);
}
