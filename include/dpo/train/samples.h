// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_SAMPLES_H
#define DPO_TRAIN_SAMPLES_H

/**
 * \file
 * Texts that a model writes: for the command `generate`, and at each evaluation of a run, so that its
 * effect can be read.
 */

#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/status.h"
#include "dpo/train/session.h"

/** What writes texts; all borrowed. */
typedef struct {
    const dpo_grid *grid;                   /**< the prompts are dealt to its ranks in turn */
    dpo_model *model;                       /**< with its weights */
    const dpo_tokenizer *tokenizer;         /**< of the model */
    const dpo_chat_template *chat_template; /**< NULL if the model has none */
    const dpo_run_config *run;              /**< for generate.* and seed */
} dpo_sampler;

/**
 * Continues prompts.
 *
 * \collective{all ranks of the grid}
 * \param[in]  sampler    What writes.
 * \param[in]  n_prompts  >= 0.
 * \param[in]  prompts    [n_prompts] texts; user messages if generate.chat.
 * \param[out] texts      [n_prompts] buffers, empty before; the continuations, without special tokens, on
 *                        every rank.
 * \errors{DPO_EUSAGE if chat is asked for without a template or a prompt fills the context; DPO_EDATA;
 *         DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_sampler_run(const dpo_sampler *sampler, int64_t n_prompts,
                                          const char *const *prompts, dpo_buffer *texts);

/**
 * Continues evaluate.prompts, logs the texts and appends them to samples.jsonl.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] session  After dpo_session_load(); nothing happens if there are no prompts.
 * \param[in]     step     Steps done.
 * \errors{as dpo_sampler_run(); DPO_EIO}
 */
DPO_MUST_CHECK dpo_status dpo_samples_write(dpo_session *session, int64_t step);

#endif
