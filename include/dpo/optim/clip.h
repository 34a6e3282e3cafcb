// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_CLIP_H
#define DPO_OPTIM_CLIP_H

/**
 * \file
 * Clipping by the global norm, as torch.nn.utils.clip_grad_norm_.
 *
 * The summed gradient lies in shards on the data-parallel ranks, and tensor-parallel ranks hold different parts
 * of it (or the same: then one of them counts it). Squares are added in f64 inside blocks of
 * DPO_SHARD_BLOCK items, and blocks exactly, over all ranks:
 *
 *     norm = sqrt(sum of squares),    coefficient = min(1, clip / (norm + 1e-6))
 *
 * so that the norm has the same bits for every number of data-parallel ranks.
 */

#include <stdint.h>

#include "dpo/base/exact_sum.h"
#include "dpo/base/shard.h"
#include "dpo/comm/grid.h"
#include "dpo/model/parameters.h"

/**
 * Adds the squares of what this rank counts of a gradient.
 *
 * \local
 * \param[in]     parameters  The tensors of the flat vector.
 * \param[in]     shard       Parts of the flat vector; others are not read.
 * \param[in]     gradients   f32 [n_elements] flat.
 * \param[in,out] sum         Of squares; NaN or infinite if an item is.
 */
void dpo_clip_add_squares(const dpo_parameters *parameters, const dpo_shard *shard,
                          const float *gradients, dpo_exact_sum *sum);

/**
 * Norm of the whole gradient.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid  The grid.
 * \param[in] sum   Squares that this rank counts.
 * \return The norm, the same bits on every rank.
 */
double dpo_clip_norm(const dpo_grid *grid, const dpo_exact_sum *sum);

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
