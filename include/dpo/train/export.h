// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_EXPORT_H
#define DPO_TRAIN_EXPORT_H

/**
 * \file
 * From weights or a checkpoint to a Hugging Face folder.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/model.h"
#include "dpo/train/run_config.h"

/**
 * Writes a model in the format that export.dtype names.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid           The grid.
 * \param[in] model          The model.
 * \param[in] source_folder  Hugging Face folder it came from.
 * \param[in] folder         The new folder.
 * \param[in] run            For export.dtype.
 * \errors{as dpo_model_export()}
 */
DPO_MUST_CHECK dpo_status dpo_export_model(const dpo_grid *grid, const dpo_model *model,
                                           const char *source_folder, const char *folder,
                                           const dpo_run_config *run);

/**
 * Writes the folder of a checkpoint.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid        The grid.
 * \param[in] checkpoint  The checkpoint.
 * \param[in] run         out: the new folder; model: folder for configuration and tokenizer in place of the
 *                        checkpoint's own, may be NULL; export.dtype.
 * \errors{DPO_EUSAGE, DPO_EDATA, DPO_EIO, DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_export_checkpoint(const dpo_grid *grid, const char *checkpoint,
                                                const dpo_run_config *run);

#endif
