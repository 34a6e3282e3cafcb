// SPDX-License-Identifier: Apache-2.0
/*
 * AdamW (Loshchilov and Hutter 2019, algorithm 2), with the order of operations of torch.optim.AdamW:
 *
 *     w = w (1 - lr weight_decay)        where the tensor decays
 *     m = m + (1 - beta1) (g - m)        v = beta2 v + (1 - beta2) g^2
 *     w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * t counts updates from 1. Factors are f64, what happens to an item is f32.
 */
#include <math.h>

#include "optimizer_private.h"

/* What one update does to every item, rounded to f32 once. */
typedef struct {
    float gradient_scale;
    float kept;            /* 1 - lr weight_decay */
    float first_part;      /* 1 - beta1 */
    float second_kept;     /* beta2 */
    float second_part;     /* 1 - beta2 */
    float root_correction; /* sqrt(1 - beta2^t) */
    float eps;
    float step; /* lr / (1 - beta1^t) */
} factors;

static factors factors_of(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                          bool decays)
{
    const dpo_optimizer_options *o = &optimizer->options;
    double t = (double)optimizer->n_updates;

    return (factors){
        .gradient_scale = (float)update->gradient_scale,
        .kept = (float)(1.0 - (decays ? update->lr * o->weight_decay : 0.0)),
        .first_part = (float)(1.0 - o->betas[0]),
        .second_kept = (float)o->betas[1],
        .second_part = (float)(1.0 - o->betas[1]),
        .root_correction = (float)sqrt(1.0 - pow(o->betas[1], t)),
        .eps = (float)o->eps,
        .step = (float)(update->lr / (1.0 - pow(o->betas[0], t))),
    };
}

static void run_items(const factors *by, int64_t n, const float *restrict gradient,
                      float *restrict m, float *restrict v, float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale;

        m[i] += f.first_part * (g - m[i]);
        v[i] = v[i] * f.second_kept + f.second_part * g * g;
        weight[i] = weight[i] * f.kept - f.step * m[i] / (sqrtf(v[i]) / f.root_correction + f.eps);
    }
}

void dpo_adamw_run_piece(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                         const dpo_piece_view *view)
{
    factors by = factors_of(optimizer, update, view->decays);

    run_items(&by, view->n, view->gradient, view->state[0], view->state[1], view->weight);
}

void dpo_adamw_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);

        dpo_adamw_run_piece(optimizer, update, &view);
    }
}
