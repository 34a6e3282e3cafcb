// SPDX-License-Identifier: Apache-2.0
/*
 * Lion (Chen et al. 2023, program 1):
 *
 *     w = w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w)        decay where the tensor decays
 *     m = beta2 m + (1 - beta2) g
 */
#include "optimizer_private.h"

typedef struct {
    float gradient_scale, weight_decay, lr;
    float look_kept, look_part; /* beta1, 1 - beta1 */
    float kept, part;           /* beta2, 1 - beta2 */
} factors;

static factors factors_of(const dpo_optimizer *optimizer, const dpo_optimizer_update *update,
                          bool decays)
{
    const dpo_optimizer_options *o = &optimizer->options;

    return (factors){.gradient_scale = (float)update->gradient_scale,
                     .weight_decay = decays ? (float)o->weight_decay : 0.0f,
                     .lr = (float)update->lr,
                     .look_kept = (float)o->betas[0],
                     .look_part = (float)(1.0 - o->betas[0]),
                     .kept = (float)o->betas[1],
                     .part = (float)(1.0 - o->betas[1])};
}

static void run_items(const factors *by, int64_t n, const float *restrict gradient,
                      float *restrict m, float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale;
        float look = f.look_kept * m[i] + f.look_part * g;
        float sign = (float)(look > 0.0f) - (float)(look < 0.0f);

        weight[i] -= f.lr * (sign + f.weight_decay * weight[i]);
        m[i] = f.kept * m[i] + f.part * g;
    }
}

void dpo_lion_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < optimizer->pieces.n; i++) {
        dpo_piece_view view = dpo_piece_view_of(optimizer, update, i);
        factors by = factors_of(optimizer, update, view.decays);

        run_items(&by, view.n, view.gradient, view.state[0], view.weight);
    }
}
