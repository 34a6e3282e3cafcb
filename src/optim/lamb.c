// SPDX-License-Identifier: Apache-2.0
/*
 * LAMB (You et al. 2020, "Large batch optimization for deep learning: training BERT in 76 minutes",
 * algorithm 2), with bias correction and phi(x) = x:
 *
 *     m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
 *     r = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay w      a tensor's update
 *     w = w - lr |w| / |r| r             the ratio is 1 where a norm is 0
 *
 * |.| are norms of whole tensors. The update is computed twice, for its norm and for the step, so that no
 * memory is needed for it.
 */
#include <math.h>

#include "dpo/comm/collective.h"
#include "tensor_norms.h"

typedef struct {
    float gradient_scale;
    float first_part, second_kept, second_part; /* 1 - beta1, beta2, 1 - beta2 */
    float first_correction, root_correction;    /* 1 - beta1^t, sqrt(1 - beta2^t) */
    float eps, weight_decay;
} factors;

static factors factors_of(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                          bool decays)
{
    const dpo_optimizer_options *o = &optimizer->options;
    double t = (double)optimizer->n_updates;

    return (factors){.gradient_scale = (float)update->gradient_scale,
                     .first_part = (float)(1.0 - o->betas[0]),
                     .second_kept = (float)o->betas[1],
                     .second_part = (float)(1.0 - o->betas[1]),
                     .first_correction = (float)(1.0 - pow(o->betas[0], t)),
                     .root_correction = (float)sqrt(1.0 - pow(o->betas[1], t)),
                     .eps = (float)o->eps,
                     .weight_decay = decays ? (float)o->weight_decay : 0.0f};
}

dpo_status dpo_lamb_plan(dpo_optimizer *optimizer)
{
    return dpo_tensor_norms_create(optimizer->grid, optimizer->parameters->n_rows,
                                   &optimizer->norms);
}

static void update_moments(const factors *by, int64_t n, const float *restrict gradient,
                           float *restrict m, float *restrict v)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale;

        m[i] += f.first_part * (g - m[i]);
        v[i] = v[i] * f.second_kept + f.second_part * g * g;
    }
}

static void compute_update(const factors *by, int64_t n, const float *restrict m,
                           const float *restrict v, const float *restrict weight, float *restrict r)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++)
        r[i] = m[i] / f.first_correction / (sqrtf(v[i]) / f.root_correction + f.eps) +
               f.weight_decay * weight[i];
}

static int64_t end_of_block(int64_t at, int64_t end)
{
    int64_t next = (at / DPO_SHARD_BLOCK + 1) * DPO_SHARD_BLOCK;

    return next < end ? next : end;
}

static void measure_piece(dpo_optimizer *optimizer, const factors *by, const dpo_piece *piece,
                          const dpo_piece_view *view)
{
    const dpo_parameter *row = &optimizer->parameters->row[piece->row];
    float r[DPO_SHARD_BLOCK];
    dpo_norm_pair pair = {0};

    for (int64_t at = piece->range.begin; at < piece->range.end;) {
        dpo_range block = {at, end_of_block(at, piece->range.end)};
        int64_t i = at - piece->range.begin;

        compute_update(by, dpo_range_length(block), view->state[0] + i, view->state[1] + i,
                       view->weight + i, r);
        dpo_norm_pair_add(row, DPO_NORM_OF_WEIGHT, block, view->weight + i, &pair);
        dpo_norm_pair_add(row, DPO_NORM_OF_UPDATE, block, r, &pair);
        at = block.end;
    }
    dpo_tensor_norms_add(optimizer->norms, piece->row, &pair);
}

static void step_piece(const factors *by, float step, const dpo_piece_view *view)
{
    float r[DPO_SHARD_BLOCK];

    for (int64_t at = 0; at < view->n; at += DPO_SHARD_BLOCK) {
        int64_t n = view->n - at < DPO_SHARD_BLOCK ? view->n - at : DPO_SHARD_BLOCK;

        compute_update(by, n, view->state[0] + at, view->state[1] + at, view->weight + at, r);
        for (int64_t i = 0; i < n; i++)
            view->weight[at + i] -= step * r[i];
    }
}

static double ratio_of(const dpo_tensor_norms *norms, int64_t row)
{
    double weight = dpo_tensor_norms_of(norms, row, DPO_NORM_OF_WEIGHT);
    double update = dpo_tensor_norms_of(norms, row, DPO_NORM_OF_UPDATE);

    return weight > 0.0 && update > 0.0 ? weight / update : 1.0;
}

void dpo_lamb_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
    dpo_tensor_norms *norms = optimizer->norms;

    dpo_tensor_norms_begin(norms);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);
        factors by = factors_of(optimizer, update, view.decays);

        update_moments(&by, view.n, view.gradient, view.state[0], view.state[1]);
        measure_piece(optimizer, &by, &optimizer->pieces.piece[i], &view);
    }
    dpo_tensor_norms_end(norms, optimizer->grid);
    for (int64_t row = 0; row < norms->n_rows; row++)
        norms->ratio[row] = ratio_of(norms, row);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);
        factors by = factors_of(optimizer, update, view.decays);
        double ratio = norms->ratio[optimizer->pieces.piece[i].row];

        step_piece(&by, (float)(update->lr * ratio), &view);
    }
}
