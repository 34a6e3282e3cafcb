// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_ADAMW_H
#define DPO_OPTIM_ADAMW_H

/**
 * \file
 * AdamW on this rank's slice of the flat parameter vector (Loshchilov and Hutter 2019, algorithm
 * 2), with the order of operations of torch.optim.AdamW:
 *
 *     w = w (1 - lr weight_decay)        where the parameter decays
 *     m = m + (1 - beta1) (g - m)        v = beta2 v + (1 - beta2) g^2
 *     w = w - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * t counts updates from 1. Factors are f64, what happens to an item is f32. Items do not see each
 * other, so the slicing changes no bits.
 */

#include <stdint.h>

#include "dpo/base/range.h"
#include "dpo/base/status.h"

/** Numbers of the method. */
typedef struct {
    double beta1;        /**< [0, 1); torch: 0.9 */
    double beta2;        /**< [0, 1); torch: 0.999 */
    double eps;          /**< > 0; torch: 1e-8 */
    double weight_decay; /**< >= 0; torch: 0.01 */
} dpo_adamw_options;

/** The optimizer's state of one slice; opaque. */
typedef struct dpo_adamw dpo_adamw;

/**
 * Makes the state, zero, before the first update.
 *
 * \local
 * \param[in]  options    In their ranges; copied.
 * \param[in]  slice      [begin, end) of the flat vector: with ZeRO stage 1
 *                        dpo_range_of_part(n, data_size, data_rank).
 * \param[in]  n_decays   >= 0.
 * \param[in]  decays     [n_decays] parts of the flat vector that decay, ascending, disjoint; they
 *                        may lie outside of the slice; not kept.
 * \param[out] adamw      Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_adamw_create(const dpo_adamw_options *options, dpo_range slice,
                                           int64_t n_decays, const dpo_range *decays,
                                           dpo_adamw **adamw);

/** Destroys a state and sets the pointer to NULL; NULL is left alone. \local */
void dpo_adamw_destroy(dpo_adamw **adamw);

/**
 * Makes one update. Cannot fail and allocates nothing.
 *
 * \local
 * \param[in,out] adamw           State; t counts up.
 * \param[in]     lr              Learning rate, >= 0.
 * \param[in]     gradient_scale  Factor of the gradient: dpo_clip_coefficient().
 * \param[in]     gradient        f32 [slice] the slice's first item first; unchanged.
 * \param[in,out] weight          f32 [slice] likewise; must not overlap gradient.
 */
void dpo_adamw_run(dpo_adamw *adamw, double lr, double gradient_scale, const float *gradient,
                   float *weight);

/** First moment m, f32 [slice], borrowed; for checkpoints. \local */
float *dpo_adamw_first_moment(dpo_adamw *adamw);

/** Second moment v, likewise. \local */
float *dpo_adamw_second_moment(dpo_adamw *adamw);

/** Number of updates made. \local */
int64_t dpo_adamw_n_updates(const dpo_adamw *adamw);

/** Sets the number of updates made, >= 0; for checkpoints. \local */
void dpo_adamw_set_n_updates(dpo_adamw *adamw, int64_t n_updates);

#endif
