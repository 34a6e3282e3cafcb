// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_MODEL_SOURCE_H
#define DPO_TRAIN_MODEL_SOURCE_H

/**
 * \file
 * Where a model comes from: a Hugging Face folder, or a checkpoint, whose configuration and tokenizer are
 * those of the folder it was made from.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/model.h"
#include "dpo/text/chat_template.h"

/** Where weights, configuration and tokenizer lie; zero-initialised it is empty. */
typedef struct {
    char *folder;     /**< owned; Hugging Face folder */
    char *checkpoint; /**< owned; file with the weights, NULL: they are the folder's */
} dpo_model_source;

/**
 * Finds out what a path is.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid.
 * \param[in]  key     Configuration key or option, for messages.
 * \param[in]  path    Folder or checkpoint; NULL: a message that the key is required.
 * \param[out] source  For dpo_model_source_destroy(); empty on error.
 * \errors{DPO_EUSAGE if path is NULL; DPO_EIO if there is nothing; DPO_EDATA if it is no checkpoint}
 */
DPO_MUST_CHECK dpo_status dpo_model_source_find(const dpo_grid *grid, const char *key,
                                                const char *path, dpo_model_source *source);

/** Reads the weights. \collective{all ranks of the grid} \errors{as dpo_model_load()} */
DPO_MUST_CHECK dpo_status dpo_model_source_load(const dpo_grid *grid,
                                                const dpo_model_source *source, dpo_model *model);

/**
 * The chat template of a source.
 *
 * \local
 * \param[in]  source         Where the model comes from.
 * \param[in]  path           File with a template that is taken instead; NULL: the model's own.
 * \param[out] chat_template  Owned by the caller; NULL on error, and if the model has none.
 * \errors{as dpo_chat_template_load()}
 */
DPO_MUST_CHECK dpo_status dpo_model_source_template(const dpo_model_source *source,
                                                    const char *path,
                                                    dpo_chat_template **chat_template);

/** Frees the texts and makes it empty. \local */
void dpo_model_source_destroy(dpo_model_source *source);

#endif
