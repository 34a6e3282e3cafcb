// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_PHASES_H
#define DPO_TRAIN_PHASES_H

/**
 * \file
 * The table at the end of a run that says where its time went (base/phase.h), in the log and in phases.json.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"

/**
 * Writes the table: mean over the ranks, the longest phase first.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid              The grid.
 * \param[in] path              phases.json, replaced.
 * \param[in] wall_s            Wall-clock time since dpo_phase_start() of this rank.
 * \param[in] peak_flops_per_s  Matmul peak of all ranks together; 0 = not measured.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_phases_report(const dpo_grid *grid, const char *path, double wall_s,
                                            double peak_flops_per_s);

#endif
