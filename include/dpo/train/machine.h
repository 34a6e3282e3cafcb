// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_MACHINE_H
#define DPO_TRAIN_MACHINE_H

/**
 * \file
 * The peaks of the whole job: all ranks measure at the same time, and what they reach is added.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/math/element.h"

/**
 * Matrix products of all ranks together (math/peak.h).
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid         The grid.
 * \param[in]  compute      Type of the operands; DPO_BF16 where dpo_engine_has_bf16().
 * \param[in]  budget_s     About how long it may take, > 0.
 * \param[out] flops_per_s  The same on every rank.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_machine_matmul(const dpo_grid *grid, dpo_element compute,
                                             double budget_s, double *flops_per_s);

/**
 * Memory bandwidth of all ranks together (math/peak.h).
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid         The grid.
 * \param[in]  budget_s     About how long it may take, > 0.
 * \param[out] bytes_per_s  The same on every rank.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_machine_memory(const dpo_grid *grid, double budget_s,
                                             double *bytes_per_s);

#endif
