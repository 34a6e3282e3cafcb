// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_CHECKPOINT_H
#define DPO_TRAIN_CHECKPOINT_H

/**
 * \file
 * Checkpoints: one HDF5 file of global tensors a step, written by all ranks, each its own part.
 *
 *     weights/NAME       f32, as in the Hugging Face folder
 *     optimizer/m/NAME   f32, first moment
 *     optimizer/v/NAME   f32, second moment
 *     texts              "kind", "state" (JSON: step, tokens, digests, model folder), "config" (JSON)
 *
 * The file does not depend on the grid that wrote it. It appears whole or not at all and carries
 * checksums.
 */

#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/json.h"
#include "dpo/base/range.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/model.h"
#include "dpo/optim/adamw.h"

/** What a run continues from, beside tensors. */
typedef struct {
    int64_t step;                /**< optimizer steps done */
    int64_t n_tokens;            /**< tokens seen, as metric num_tokens counts them */
    dpo_digest data_digest;      /**< of the training data */
    dpo_digest model_digest;     /**< of the weights at step 0 */
    dpo_digest reference_digest; /**< of the reference's weights */
} dpo_checkpoint_state;

/**
 * Writes a checkpoint.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid          The grid.
 * \param[in] path          Final name.
 * \param[in] model_folder  Hugging Face folder that the model came from.
 * \param[in] config        Resolved configuration.
 * \param[in] state         The same on every rank.
 * \param[in] model         Its weights are written.
 * \param[in] slice         Part of the flat vector whose moments this rank holds.
 * \param[in] adamw         These moments.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_save(const dpo_grid *grid, const char *path,
                                              const char *model_folder, const dpo_json *config,
                                              const dpo_checkpoint_state *state, dpo_model *model,
                                              dpo_range slice, dpo_adamw *adamw);

/**
 * Reads a checkpoint, whatever grid wrote it.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid    The grid.
 * \param[in]     path    The file; its checksums are verified.
 * \param[in,out] model   Gets the weights; unspecified on error.
 * \param[in]     slice   Part of the flat vector whose moments this rank holds; ignored if adamw is NULL.
 * \param[in,out] adamw   Gets moments and the number of updates; NULL: only weights are read.
 * \param[out]    state   What the run continues from; may be NULL.
 * \errors{DPO_EDATA if it is no checkpoint, damaged, or of another model; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_load(const dpo_grid *grid, const char *path,
                                              dpo_model *model, dpo_range slice, dpo_adamw *adamw,
                                              dpo_checkpoint_state *state);

/**
 * The configuration and the model folder of a checkpoint.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid          The grid.
 * \param[in]  path          The file.
 * \param[out] config        Owned by the caller; NULL on error, or may be NULL.
 * \param[out] model_folder  Owned by the caller; NULL on error, or may be NULL.
 * \errors{DPO_EDATA if it is no checkpoint; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_describe(const dpo_grid *grid, const char *path,
                                                  dpo_json **config, char **model_folder);

/**
 * Path of the checkpoint of the highest step in a folder.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid.
 * \param[in]  folder  Folder of checkpoints; may be absent.
 * \param[out] path    Owned by the caller; NULL on error, and if there is none.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_newest(const dpo_grid *grid, const char *folder,
                                                char **path);

/**
 * Removes all but the newest checkpoints of a folder.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid    The grid.
 * \param[in] folder  Folder of checkpoints.
 * \param[in] n_keep  > 0.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_prune(const dpo_grid *grid, const char *folder,
                                               int64_t n_keep);

#endif
