// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_EMA_H
#define DPO_OPTIM_EMA_H

/**
 * \file
 * Exponential moving average of the weights over this rank's shard:
 *
 *     average = average + (1 - decay) (w - average)        after every update
 *
 * It begins with the weights before the first update, as torch.optim.swa_utils with get_ema_avg_fn.
 */

#include <stdint.h>

#include "dpo/base/shard.h"
#include "dpo/base/status.h"

/** An average; opaque. */
typedef struct dpo_ema dpo_ema;

/**
 * Makes an average of the weights as they are.
 *
 * \local
 * \param[in]  decay    (0, 1).
 * \param[in]  shard    This rank's part; borrowed.
 * \param[in]  weights  f32 [n_elements] flat.
 * \param[out] ema      Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_ema_create(double decay, const dpo_shard *shard, const float *weights,
                                         dpo_ema **ema);

/** Destroys an average and sets the pointer to NULL; NULL is left alone. \local */
void dpo_ema_destroy(dpo_ema **ema);

/** Takes the weights, f32 [n_elements] flat, into the average. \local */
void dpo_ema_run(dpo_ema *ema, const float *weights);

/** The average, f32 packed over the shard, borrowed; for checkpoints. \local */
float *dpo_ema_values(dpo_ema *ema);

/** Writes the average over the shard's items of the weights, f32 [n_elements] flat. \local */
void dpo_ema_unpack(const dpo_ema *ema, float *weights);

#endif
