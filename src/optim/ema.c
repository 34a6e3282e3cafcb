// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/ema.h"

#include <string.h>

#include "dpo/base/memory.h"

struct dpo_ema {
    float part; /* 1 - decay */
    const dpo_shard *shard;
    float *average; /* owned, f32 packed */
};

static void take_weights(dpo_ema *ema, const float *weights)
{
    float *average = ema->average;

    for (int64_t i = 0; i < ema->shard->n_ranges; i++) {
        dpo_range range = ema->shard->range[i];

        memcpy(average, weights + range.begin, (size_t)dpo_range_length(range) * sizeof *average);
        average += dpo_range_length(range);
    }
}

dpo_status dpo_ema_create(double decay, const dpo_shard *shard, const float *weights, dpo_ema **ema)
{
    DPO_TRY(DPO_NEW(*ema, 1));
    **ema = (dpo_ema){.part = (float)(1.0 - decay), .shard = shard};
    dpo_status status = DPO_NEW((*ema)->average, shard->n_elements);

    if (status == DPO_OK)
        take_weights(*ema, weights);
    else
        dpo_ema_destroy(ema);
    return status;
}

void dpo_ema_destroy(dpo_ema **ema)
{
    if (*ema == NULL) return;
    dpo_free((*ema)->average);
    dpo_free(*ema);
    *ema = NULL;
}

static void approach(float part, int64_t n, const float *restrict weight, float *restrict average)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++)
        average[i] += part * (weight[i] - average[i]);
}

void dpo_ema_run(dpo_ema *ema, const float *weights)
{
    float *average = ema->average;

    for (int64_t i = 0; i < ema->shard->n_ranges; i++) {
        dpo_range range = ema->shard->range[i];

        approach(ema->part, dpo_range_length(range), weights + range.begin, average);
        average += dpo_range_length(range);
    }
}

float *dpo_ema_values(dpo_ema *ema)
{
    return ema->average;
}

void dpo_ema_unpack(const dpo_ema *ema, float *weights)
{
    const float *average = ema->average;

    for (int64_t i = 0; i < ema->shard->n_ranges; i++) {
        dpo_range range = ema->shard->range[i];

        memcpy(weights + range.begin, average, (size_t)dpo_range_length(range) * sizeof *average);
        average += dpo_range_length(range);
    }
}
