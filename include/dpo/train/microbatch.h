// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_MICROBATCH_H
#define DPO_TRAIN_MICROBATCH_H

/**
 * \file
 * Micro-batches: examples of a token store laid one behind the other, without padding.
 *
 *     tokens    prompt | response 1 | response 2 | next prompt | ...
 *     segments  a prompt has no parent; a response's parent is its prompt
 *     rows      for each response token the token whose output predicts it: the prompt's last token for
 *               the first, then the response's own tokens
 *
 * The last token of a response is not fed to the model: nothing attends to it and its output predicts
 * nothing. With shared prompts a prompt is laid out once for the responses of its example that follow
 * each other, otherwise once for each; the numbers are the same.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/data/batch_plan.h"
#include "dpo/data/token_store.h"
#include "dpo/model/batch.h"

/** A micro-batch under construction; its arrays are sized once. */
typedef struct {
    dpo_batch batch;         /**< for the model; its arrays lie in this micro-batch */
    int64_t n_responses;     /**< responses in it */
    int64_t *response;       /**< [n_responses] number in the token store */
    int64_t *row_begin;      /**< [n_responses + 1] rows of each response */
    int64_t max_tokens;      /**< capacity */
    int64_t max_rows;        /**< capacity */
    int32_t *token;          /**< owned, [max_tokens] */
    int64_t *segment_begin;  /**< owned, [2 * max_rows + 1] */
    int64_t *segment_parent; /**< owned, [2 * max_rows] */
    int64_t *row;            /**< owned, [max_rows] */
    int32_t *target;         /**< owned, [max_rows] */
} dpo_microbatch;

/**
 * What an example asks of a micro-batch.
 *
 * \local
 * \param[in] store          The token store.
 * \param[in] example        Its number.
 * \param[in] share_prompts  Whether a prompt is laid out once.
 * \return Its cost; tokens > 0, rows > 0.
 */
dpo_example_cost dpo_microbatch_cost(const dpo_token_store *store, int64_t example,
                                     bool share_prompts);

/**
 * Makes room for micro-batches.
 *
 * \local
 * \param[in]  max_tokens  Most tokens of one, > 0.
 * \param[in]  max_rows    Most rows of one, > 0; bounds the responses too, as each has a row.
 * \param[out] microbatch  Empty; for dpo_microbatch_destroy(), also after an error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_microbatch_create(int64_t max_tokens, int64_t max_rows,
                                                dpo_microbatch *microbatch);

/** Frees the arrays and makes it zero. \local */
void dpo_microbatch_destroy(dpo_microbatch *microbatch);

/**
 * Lays out examples. Cannot fail: their costs add up to at most the capacity.
 *
 * \local
 * \param[in,out] microbatch     What it held is gone.
 * \param[in]     store          The token store.
 * \param[in]     n_examples     >= 0.
 * \param[in]     examples       [n_examples] numbers in the token store.
 * \param[in]     share_prompts  As in dpo_microbatch_cost().
 */
void dpo_microbatch_build(dpo_microbatch *microbatch, const dpo_token_store *store,
                          int64_t n_examples, const int64_t *examples, bool share_prompts);

#endif
