// SPDX-License-Identifier: Apache-2.0
/*
 * LARS (You, Gitman and Ginsburg 2017, "Large batch training of convolutional networks", algorithm 1):
 *
 *     rate = trust_coefficient |w| / (|g| + weight_decay |w|)     of a tensor; 1 where a norm is 0
 *     b = momentum b + lr rate (g + weight_decay w)
 *     w = w - b
 *
 * |.| are norms of whole tensors; weight_decay is 0 for tensors that do not decay.
 */
#include "tensor_norms.h"

typedef struct {
    float gradient_scale, weight_decay, momentum, step;
} factors;

dpo_status dpo_lars_plan(dpo_optimizer *optimizer)
{
    return dpo_tensor_norms_create(optimizer->grid, optimizer->parameters->n_rows,
                                   &optimizer->norms);
}

static double decay_of(const dpo_optimizer *optimizer, int64_t row)
{
    return optimizer->parameters->row[row].decays ? optimizer->options.weight_decay : 0.0;
}

static double rate_of(const dpo_optimizer *optimizer, int64_t row, double gradient_scale)
{
    double weight = dpo_tensor_norms_of(optimizer->norms, row, DPO_NORM_OF_WEIGHT);
    double gradient =
        gradient_scale * dpo_tensor_norms_of(optimizer->norms, row, DPO_NORM_OF_UPDATE);

    if (!(weight > 0.0 && gradient > 0.0)) return 1.0;
    return optimizer->options.trust_coefficient * weight /
           (gradient + decay_of(optimizer, row) * weight);
}

static void measure(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
    dpo_tensor_norms *norms = optimizer->norms;

    dpo_tensor_norms_begin(norms);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        const dpo_piece *piece = &optimizer->pieces.piece[i];
        const dpo_parameter *row = &optimizer->parameters->row[piece->row];
        dpo_norm_pair pair = {0};

        dpo_norm_pair_add(row, DPO_NORM_OF_WEIGHT, piece->range,
                          update->weights + piece->range.begin, &pair);
        dpo_norm_pair_add(row, DPO_NORM_OF_UPDATE, piece->range,
                          update->gradients + piece->range.begin, &pair);
        dpo_tensor_norms_add(norms, piece->row, &pair);
    }
    dpo_tensor_norms_end(norms, optimizer->grid);
    for (int64_t row = 0; row < norms->n_rows; row++)
        norms->ratio[row] = rate_of(optimizer, row, update->gradient_scale);
}

static void run_items(const factors *by, int64_t n, const float *restrict gradient,
                      float *restrict momentum, float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale + f.weight_decay * weight[i];

        momentum[i] = momentum[i] * f.momentum + f.step * g;
        weight[i] -= momentum[i];
    }
}

void dpo_lars_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
    measure(optimizer, update);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);
        int64_t row = optimizer->pieces.piece[i].row;
        factors by = {.gradient_scale = (float)update->gradient_scale,
                      .weight_decay = (float)decay_of(optimizer, row),
                      .momentum = (float)optimizer->options.momentum,
                      .step = (float)(update->lr * optimizer->norms->ratio[row])};

        run_items(&by, view.n, view.gradient, view.state[0], view.weight);
    }
}
