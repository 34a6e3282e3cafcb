// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_MICROBATCH_H
#define DPO_TRAIN_MICROBATCH_H

/**
 * \file
 * Micro-batches: examples of a token store laid out as a forest of segments, without padding.
 *
 * A text is a prompt and one of its responses. What texts of a micro-batch begin with alike is laid out once: the
 * system message of a chat template, turns of a conversation, the prompt of an example, a beginning that responses
 * have in common.
 *
 *     texts     system question1 answer1,  system question1 answer2,  system question2 answer3
 *     tokens    system | question1 | answer1 | answer2 | question2 answer3
 *     segments  a text's tokens are those of a segment and of its ancestors; a segment ends where texts part
 *     rows      for each response token the token whose output predicts it: the prompt's last token for
 *               the first, then the response's own tokens
 *
 * The last token of a response is not fed to the model: nothing attends to it and its output predicts
 * nothing. Texts that occur twice are computed once, rows included. Nothing is shared if so asked: then each
 * text is one segment; the numbers are the same.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/range.h"
#include "dpo/base/status.h"
#include "dpo/data/batch_plan.h"
#include "dpo/data/token_store.h"
#include "dpo/model/batch.h"

/** Room for the texts of a micro-batch while it is laid out; opaque. */
typedef struct dpo_microbatch_texts dpo_microbatch_texts;

/** A micro-batch under construction; its arrays are sized once. */
typedef struct {
    dpo_batch batch;     /**< for the model; its arrays lie in this micro-batch */
    int64_t n_responses; /**< responses in it, in the order of the examples */
    int64_t *response;   /**< owned, [n_responses] number in the token store */
    dpo_range *rows; /**< owned, [n_responses] rows of each response; the same for the same text */
    int64_t max_tokens;          /**< capacity */
    int64_t max_rows;            /**< capacity */
    int32_t *token;              /**< owned, [max_tokens] */
    int64_t *segment_begin;      /**< owned, [2 * max_rows + 1] */
    int64_t *segment_parent;     /**< owned, [2 * max_rows] */
    int64_t *row;                /**< owned, [max_rows] */
    int32_t *target;             /**< owned, [max_rows] */
    dpo_microbatch_texts *texts; /**< owned */
} dpo_microbatch;

/**
 * How many tokens all prompts of a token store begin with: what each micro-batch lays out once.
 *
 * \local
 * \param[in] store  The token store.
 * \return Less than the shortest prompt has; 0 if it is too little to be shared.
 */
int64_t dpo_microbatch_common_tokens(const dpo_token_store *store);

/**
 * What an example adds to a micro-batch of examples of the same token store, at most.
 *
 * \local
 * \param[in] store          The token store.
 * \param[in] example        Its number.
 * \param[in] shares         Whether what texts begin with alike is laid out once.
 * \param[in] common_tokens  Tokens that the micro-batch has anyway: dpo_microbatch_common_tokens(), or 0.
 * \return Its cost; tokens > 0, rows > 0.
 */
dpo_example_cost dpo_microbatch_cost(const dpo_token_store *store, int64_t example, bool shares,
                                     int64_t common_tokens);

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
 * Lays out examples. Cannot fail: their costs and the common tokens add up to at most the capacity.
 *
 * \local
 * \param[in,out] microbatch  What it held is gone.
 * \param[in]     store       The token store; borrowed for the call.
 * \param[in]     n_examples  >= 0.
 * \param[in]     examples    [n_examples] numbers in the token store.
 * \param[in]     shares      As in dpo_microbatch_cost().
 */
void dpo_microbatch_build(dpo_microbatch *microbatch, const dpo_token_store *store,
                          int64_t n_examples, const int64_t *examples, bool shares);

#endif
