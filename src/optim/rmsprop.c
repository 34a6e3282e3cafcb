// SPDX-License-Identifier: Apache-2.0
/*
 * RMSprop with the order of operations of torch.optim.RMSprop (not centered):
 *
 *     g = g + weight_decay w             where the tensor decays: part of the gradient, as in torch
 *     s = alpha s + (1 - alpha) g^2
 *     w = w - lr g / (sqrt(s) + eps)                                  without momentum
 *     b = momentum b + g / (sqrt(s) + eps)        w = w - lr b        with it
 */
#include <math.h>

#include "optimizer_private.h"

typedef struct {
    float gradient_scale, weight_decay, kept, part, eps, momentum, lr;
} factors;

static factors factors_of(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                          bool decays)
{
    const dpo_optimizer_options *o = &optimizer->options;

    return (factors){.gradient_scale = (float)update->gradient_scale,
                     .weight_decay = decays ? (float)o->weight_decay : 0.0f,
                     .kept = (float)o->alpha,
                     .part = (float)(1.0 - o->alpha),
                     .eps = (float)o->eps,
                     .momentum = (float)o->momentum,
                     .lr = (float)update->lr};
}

static void run_plain(const factors *by, int64_t n, const float *restrict gradient,
                      float *restrict square, float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale + f.weight_decay * weight[i];

        square[i] = square[i] * f.kept + f.part * g * g;
        weight[i] -= f.lr * g / (sqrtf(square[i]) + f.eps);
    }
}

static void run_with_momentum(const factors *by, int64_t n, const float *restrict gradient,
                              float *restrict square, float *restrict momentum,
                              float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale + f.weight_decay * weight[i];

        square[i] = square[i] * f.kept + f.part * g * g;
        momentum[i] = momentum[i] * f.momentum + g / (sqrtf(square[i]) + f.eps);
        weight[i] -= f.lr * momentum[i];
    }
}

void dpo_rmsprop_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);
        factors by = factors_of(optimizer, update, view.decays);

        if (view.state[1] == NULL)
            run_plain(&by, view.n, view.gradient, view.state[0], view.weight);
        else
            run_with_momentum(&by, view.n, view.gradient, view.state[0], view.state[1],
                              view.weight);
    }
}
