// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/adamw.h"

#include <math.h>

#include "dpo/base/memory.h"

/*
 * Invariant: n_decays ranges, relative to the slice's first item, ascending, disjoint, none empty,
 * all inside of the slice.
 */
struct dpo_adamw {
    dpo_adamw_options options;
    int64_t n;
    int64_t n_updates;
    int64_t n_decays;
    dpo_range *decays; /* owned */
    float *m;          /* owned, f32 [n] */
    float *v;          /* owned, f32 [n] */
};

/* What one update does to every item, rounded to f32 once. */
typedef struct {
    float gradient_scale;
    float first_part;      /* 1 - beta1 */
    float second_kept;     /* beta2 */
    float second_part;     /* 1 - beta2 */
    float root_correction; /* sqrt(1 - beta2^t) */
    float eps;
    float step; /* lr / (1 - beta1^t) */
} factors;

static void keep_decays(dpo_adamw *adamw, dpo_range slice, int64_t n_decays,
                        const dpo_range *decays)
{
    int64_t end = 0;

    for (int64_t i = 0; i < n_decays; i++) {
        dpo_range inside = dpo_range_intersect(decays[i], slice);

        DPO_ASSERT(decays[i].begin >= end);
        end = decays[i].end;
        if (dpo_range_length(inside) == 0) continue;
        adamw->decays[adamw->n_decays++] =
            (dpo_range){inside.begin - slice.begin, inside.end - slice.begin};
    }
}

static dpo_status allocate(dpo_adamw *adamw, int64_t n_decays)
{
    DPO_TRY(DPO_NEW(adamw->decays, n_decays));
    DPO_TRY(DPO_NEW(adamw->m, adamw->n));
    return DPO_NEW(adamw->v, adamw->n);
}

dpo_status dpo_adamw_create(const dpo_adamw_options *options, dpo_range slice, int64_t n_decays,
                            const dpo_range *decays, dpo_adamw **adamw)
{
    DPO_TRY(DPO_NEW(*adamw, 1));
    (*adamw)->options = *options;
    (*adamw)->n = dpo_range_length(slice);
    dpo_status status = allocate(*adamw, n_decays);

    if (status == DPO_OK)
        keep_decays(*adamw, slice, n_decays, decays);
    else
        dpo_adamw_destroy(adamw);
    return status;
}

void dpo_adamw_destroy(dpo_adamw **adamw)
{
    if (*adamw == NULL) return;
    dpo_free((*adamw)->decays);
    dpo_free((*adamw)->m);
    dpo_free((*adamw)->v);
    dpo_free(*adamw);
    *adamw = NULL;
}

static void update(const factors *by, float kept, int64_t n, const float *restrict gradient,
                   float *restrict m, float *restrict v, float *restrict weight)
{
    const factors f = *by;

    for (int64_t i = 0; i < n; i++) {
        float g = gradient[i] * f.gradient_scale;

        m[i] += f.first_part * (g - m[i]);
        v[i] = v[i] * f.second_kept + f.second_part * g * g;
        weight[i] = weight[i] * kept - f.step * m[i] / (sqrtf(v[i]) / f.root_correction + f.eps);
    }
}

static void update_range(dpo_adamw *adamw, const factors *by, float kept, dpo_range range,
                         const float *gradient, float *weight)
{
    update(by, kept, dpo_range_length(range), gradient + range.begin, adamw->m + range.begin,
           adamw->v + range.begin, weight + range.begin);
}

static factors factors_of(const dpo_adamw *adamw, double lr, double gradient_scale)
{
    const dpo_adamw_options *o = &adamw->options;
    double t = (double)adamw->n_updates;

    return (factors){
        .gradient_scale = (float)gradient_scale,
        .first_part = (float)(1.0 - o->beta1),
        .second_kept = (float)o->beta2,
        .second_part = (float)(1.0 - o->beta2),
        .root_correction = (float)sqrt(1.0 - pow(o->beta2, t)),
        .eps = (float)o->eps,
        .step = (float)(lr / (1.0 - pow(o->beta1, t))),
    };
}

void dpo_adamw_run(dpo_adamw *adamw, double lr, double gradient_scale, const float *gradient,
                   float *weight)
{
    float kept = (float)(1.0 - lr * adamw->options.weight_decay);
    int64_t begin = 0;

    adamw->n_updates++;
    factors by = factors_of(adamw, lr, gradient_scale);

    for (int64_t i = 0; i < adamw->n_decays; i++) {
        dpo_range decays = adamw->decays[i];

        update_range(adamw, &by, 1.0f, (dpo_range){begin, decays.begin}, gradient, weight);
        update_range(adamw, &by, kept, decays, gradient, weight);
        begin = decays.end;
    }
    update_range(adamw, &by, 1.0f, (dpo_range){begin, adamw->n}, gradient, weight);
}

float *dpo_adamw_first_moment(dpo_adamw *adamw)
{
    return adamw->m;
}

float *dpo_adamw_second_moment(dpo_adamw *adamw)
{
    return adamw->v;
}

int64_t dpo_adamw_n_updates(const dpo_adamw *adamw)
{
    return adamw->n_updates;
}

void dpo_adamw_set_n_updates(dpo_adamw *adamw, int64_t n_updates)
{
    DPO_ASSERT(n_updates >= 0);
    adamw->n_updates = n_updates;
}
