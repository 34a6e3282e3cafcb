// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_TRAINER_H
#define DPO_TRAIN_TRAINER_H

/**
 * \file
 * The training run: what is missing is made, then steps, evaluations and checkpoints, and at the end the
 * trained model's folder. A run that was stopped goes on where its newest checkpoint was written.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/train/run_config.h"

/**
 * Trains.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid  The grid.
 * \param[in] run   The configuration.
 * \errors{DPO_EUSAGE, DPO_EDATA, DPO_EIO, DPO_ENOMEM; DPO_OK also after an orderly stop by a signal}
 */
DPO_MUST_CHECK dpo_status dpo_train(const dpo_grid *grid, const dpo_run_config *run);

#endif
