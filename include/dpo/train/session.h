// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_SESSION_H
#define DPO_TRAIN_SESSION_H

/**
 * \file
 * What the commands that compute have in common: the tokenized data, the model with its memory, and the
 * reference log-probs.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/data/token_store.h"
#include "dpo/model/config.h"
#include "dpo/model/model.h"
#include "dpo/text/chat_template.h"
#include "dpo/text/tokenizer.h"
#include "dpo/train/memory_plan.h"
#include "dpo/train/model_source.h"
#include "dpo/train/pass.h"
#include "dpo/train/precision.h"
#include "dpo/train/run_config.h"

/** The two data sets of a run. */
typedef enum { DPO_SET_TRAIN, DPO_SET_EVAL, DPO_N_SETS } dpo_set;

/** One data set; zero if the run has none. */
typedef struct {
    dpo_token_store *store;  /**< owned */
    dpo_example_cost *costs; /**< owned, [examples] without the common tokens */
    int64_t common_tokens;   /**< of all texts, which a micro-batch lays out once */
    double *reference_logp;  /**< owned, f64 [responses] sums of the reference, nats; NULL before;
                                  NaN of those that no step of the run takes */
} dpo_data_set;

/** A session; opening it collectively makes the parts in this order. */
typedef struct {
    const dpo_grid *grid;             /**< borrowed */
    const dpo_run_config *run;        /**< borrowed */
    dpo_model_source source;          /**< owned; where the policy comes from */
    dpo_tokenizer *tokenizer;         /**< owned */
    dpo_chat_template *chat_template; /**< owned; NULL if the model has none */
    dpo_data_set set[DPO_N_SETS];     /**< owned */
    dpo_model_config model_config;    /**< of the policy */
    dpo_precision precision;          /**< of policy and reference */
    int64_t budget_tokens;            /**< of a micro-batch; a longer example is alone in one */
    int64_t budget_rows;              /**< likewise */
    dpo_memory_plan memory;           /**< of this rank, with everything that training takes */
    dpo_model *model;                 /**< owned */
    dpo_pass pass;                    /**< owned */
    dpo_digest policy_digest;         /**< of the weights the session began with */
    dpo_digest reference_digest;      /**< of the reference's weights */
    bool stopped; /**< a signal ended the reference pass: no reference log-probs, no policy */
} dpo_session;

/**
 * Opens the run's folder, tokenizes (or finds) the data sets and opens them.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid      Borrowed for the session.
 * \param[in]  run       Borrowed for the session; model, out and a data set are given.
 * \param[in]  sets      Which data sets: set of 1 << dpo_set; those the run does not name are left out.
 * \param[out] session   For dpo_session_close(), also after an error.
 * \errors{DPO_EUSAGE, DPO_EDATA, DPO_EIO, DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_session_open(const dpo_grid *grid, const dpo_run_config *run,
                                           unsigned sets, dpo_session *session);

/**
 * Makes the model and loads the reference's weights into it, fills the reference cache and reads the
 * reference log-probs; then loads the policy's weights. One set of weights is in memory at any time. After a
 * signal the session is `stopped` and of no more use; what was computed is in the cache.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] session    After dpo_session_open().
 * \param[in]     trainable  Whether the model keeps activations and gradients.
 * \errors{DPO_EUSAGE, DPO_EDATA, DPO_EIO, DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_session_load(dpo_session *session, bool trainable);

/** Closes what is open and makes the session zero. \collective{all ranks of the grid} */
void dpo_session_close(dpo_session *session);

/**
 * Plans the passes over a data set: the training set in the batches of the run, the evaluation set in its own
 * order. The reference pass follows the same plan, so that where the reference is the policy both are
 * computed in the same micro-batches and have the same bits.
 *
 * \local
 * \param[in]  session  The session, after dpo_session_load().
 * \param[in]  set      Which data set.
 * \param[out] plan     Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_session_plan(const dpo_session *session, dpo_set set,
                                           dpo_batch_plan **plan);

/** The shards of the plans that this rank computes: its data-parallel rank's. \local */
dpo_range dpo_session_shards(const dpo_session *session);

/** A path below the run's folder, owned by the caller; NULL on error. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_session_path(const dpo_session *session, const char *name,
                                           char **path);

#endif
