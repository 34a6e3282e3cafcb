// SPDX-License-Identifier: Apache-2.0
/*
 * Gradient descent with the order of operations of torch.optim.SGD (dampening 0):
 *
 *     g = g + weight_decay w             where the tensor decays: part of the gradient, as in torch
 *     b = momentum b + g
 *     w = w - lr b                       or, with nesterov, w - lr (g + momentum b)
 */
#include "optimizer_private.h"

typedef struct {
    float gradient_scale, weight_decay, momentum, lr;
    float gradient_part, momentum_part; /* of the direction */
} factors;

static factors factors_of(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                          bool decays)
{
    const dpo_optimizer_options *o = &optimizer->options;

    return (factors){.gradient_scale = (float)update->gradient_scale,
                     .weight_decay = decays ? (float)o->weight_decay : 0.0f,
                     .momentum = (float)o->momentum,
                     .lr = (float)update->lr,
                     .gradient_part = o->nesterov ? 1.0f : 0.0f,
                     .momentum_part = o->nesterov ? (float)o->momentum : 1.0f};
}

static void run_plain(const factors *by, int64_t n, const float *restrict gradient,
                      float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++)
        weight[i] -= f.lr * (gradient[i] * f.gradient_scale + f.weight_decay * weight[i]);
}

static void run_with_momentum(const factors *by, int64_t n, const float *restrict gradient,
                              float *restrict momentum, float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale + f.weight_decay * weight[i];

        momentum[i] = momentum[i] * f.momentum + g;
        weight[i] -= f.lr * (f.gradient_part * g + f.momentum_part * momentum[i]);
    }
}

void dpo_sgd_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);
        factors by = factors_of(optimizer, update, view.decays);

        if (view.state[0] == NULL)
            run_plain(&by, view.n, view.gradient, view.weight);
        else
            run_with_momentum(&by, view.n, view.gradient, view.state[0], view.weight);
    }
}
