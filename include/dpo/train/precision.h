// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_PRECISION_H
#define DPO_TRAIN_PRECISION_H

/**
 * \file
 * Number formats of a run: what the user asks for and what the job's CPUs have.
 *
 * Weights, gradients, optimizer states, residual stream, statistics and sums are f32 in every precision.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/math/element.h"
#include "dpo/train/run_config.h"

/** The formats of a run; the same on every rank. */
typedef struct {
    dpo_element compute;     /**< operands of linear layers and vocabulary */
    dpo_element activations; /**< what a layer keeps in memory */
} dpo_precision;

/**
 * Resolves the keys precision and memory.activations. precision: auto is bf16 if every rank's CPU multiplies
 * bf16 itself, else f32; memory.activations: auto is what precision is.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid       The grid.
 * \param[in]  run        The configuration.
 * \param[out] precision  Not written on error.
 * \errors{DPO_EUSAGE if precision is bf16 and a rank's CPU does not multiply it}
 */
DPO_MUST_CHECK dpo_status dpo_precision_choose(const dpo_grid *grid, const dpo_run_config *run,
                                               dpo_precision *precision);

/** Whether anything is rounded to bf16. Then sums in another order, as on another number of tensor-parallel ranks,
 * are not only different in their last bits. \local */
bool dpo_precision_rounds(const dpo_precision *precision);

/** Room for dpo_precision_text(). */
enum { DPO_PRECISION_TEXT_BYTES = 80 };

/**
 * What log-probabilities depend on beside weights and tokens, in words: "f32", or formats and grid.
 *
 * \local
 * \param[in]  precision    The formats.
 * \param[in]  tensor_size  Tensor-parallel ranks, > 0; counts where something is rounded.
 * \param[out] text         The words.
 */
void dpo_precision_text(const dpo_precision *precision, int tensor_size,
                        char text[DPO_PRECISION_TEXT_BYTES]);

/** "f32" or "bf16"; valid for ever. \local */
const char *dpo_element_name(dpo_element element);

#endif
