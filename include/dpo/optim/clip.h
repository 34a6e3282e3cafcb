// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_CLIP_H
#define DPO_OPTIM_CLIP_H

/**
 * \file
 * Clipping by the global norm, as torch.nn.utils.clip_grad_norm_.
 *
 * The gradient lies in slices on the data-parallel ranks. Each sums the squares of its slice; the
 * sums are added over the ranks in rank order:
 *
 *     norm = sqrt(sum of squares),    coefficient = min(1, clip / (norm + 1e-6))
 */

#include <stdint.h>

#include "dpo/comm/grid.h"

/**
 * Sum of squares in f64 in an order that depends on n only.
 *
 * \local
 * \param[in] n         >= 0.
 * \param[in] gradient  f32 [n].
 * \return The sum; NaN or infinite if an item is.
 */
double dpo_clip_sum_of_squares(int64_t n, const float *gradient);

/**
 * Norm of a vector that lies in slices.
 *
 * \collective{the axis}
 * \param[in] grid            The grid.
 * \param[in] axis            Ranks whose slices together are the vector, each item once.
 * \param[in] sum_of_squares  Of this rank's slice.
 * \return The norm, the same bits on every rank of the axis.
 */
double dpo_clip_norm(const dpo_grid *grid, dpo_axis axis, double sum_of_squares);

/**
 * What the gradient is multiplied by.
 *
 * \local
 * \param[in] norm  Global norm.
 * \param[in] clip  Largest norm, > 0; 0 = no clipping.
 * \return (0, 1]; unless clip is 0: NaN if the norm is NaN, 0 if it is infinite.
 */
double dpo_clip_coefficient(double norm, double clip);

#endif
