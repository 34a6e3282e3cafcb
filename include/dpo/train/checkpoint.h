// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_CHECKPOINT_H
#define DPO_TRAIN_CHECKPOINT_H

/**
 * \file
 * Checkpoints: one HDF5 file of global tensors a step, written by all ranks, each its own part.
 *
 *     weights/NAME            f32, as in the Hugging Face folder
 *     optimizer/STATE/NAME    f32, a state of the optimizer, such as "m" (optim/optimizer.h)
 *     ema/NAME                f32, average of the weights, if the run keeps one
 *     texts                   "kind", "state" (JSON: step, tokens, digests, model folder, averages of
 *                             the gradient noise), "config" (JSON)
 *
 * The file does not depend on the grid that wrote it. It appears whole or not at all and carries
 * checksums.
 */

#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/json.h"
#include "dpo/base/shard.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/model.h"
#include "dpo/optim/ema.h"
#include "dpo/optim/noise.h"
#include "dpo/optim/optimizer.h"

/** What a run continues from, beside tensors. */
typedef struct {
    int64_t step;                /**< optimizer steps done */
    int64_t n_tokens;            /**< tokens seen, as metric num_tokens counts them */
    dpo_digest data_digest;      /**< of the training data */
    dpo_digest model_digest;     /**< of the weights at step 0 */
    dpo_digest reference_digest; /**< of the reference's weights */
    dpo_noise_average noise;     /**< of the gradient */
} dpo_checkpoint_state;

/** The tensors of a checkpoint; all borrowed. */
typedef struct {
    dpo_model *model;         /**< whole on each data-parallel rank */
    dpo_optimizer *optimizer; /**< NULL: only weights are read */
    dpo_ema *ema;             /**< NULL: the run keeps no average */
    const dpo_shard *shard;   /**< of the optimizer and the average; NULL without an optimizer */
} dpo_checkpoint_tensors;

/**
 * Writes a checkpoint.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid          The grid.
 * \param[in] path          Final name.
 * \param[in] model_folder  Hugging Face folder that the model came from.
 * \param[in] config        Resolved configuration.
 * \param[in] state         The same on every rank.
 * \param[in] tensors       With an optimizer.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_save(const dpo_grid *grid, const char *path,
                                              const char *model_folder, const dpo_json *config,
                                              const dpo_checkpoint_state *state,
                                              const dpo_checkpoint_tensors *tensors);

/**
 * Reads a checkpoint, whatever grid wrote it.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid     The grid.
 * \param[in]  path     The file; its checksums are verified.
 * \param[in]  tensors  Get their values, the optimizer also the number of updates; unspecified on error.
 * \param[out] state    What the run continues from; may be NULL.
 * \errors{DPO_EDATA if it is no checkpoint, damaged, of another model or another optimizer; DPO_EIO;
 *         DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_checkpoint_load(const dpo_grid *grid, const char *path,
                                              const dpo_checkpoint_tensors *tensors,
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
