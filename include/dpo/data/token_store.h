// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_TOKEN_STORE_H
#define DPO_DATA_TOKEN_STORE_H

/**
 * \file
 * Tokenized preferences, read-only: an HDF5 file (data.h5) made by dpo_prepare(), mapped into memory.
 *
 * P prompts, R responses, X examples, C comparisons (edges), all numbered over the whole file:
 *
 *     prompt_begin    i64 [P+1]   prompt_token   i32 [prompt_begin[P]]
 *     response_begin  i64 [R+1]   response_token i32 [response_begin[R]]
 *     response_prompt i64 [R]     response_score f64 [R], NaN = none
 *     example_begin   i64 [X+1]   responses of an example
 *     edge_begin      i64 [X+1]   edges of an example
 *     edge_chosen     i64 [C]     edge_rejected  i64 [C]     edge_weight f32 [C]
 *     example_source  i32 [X]     example_line   i64 [X], from 1
 *
 * A response's tokens are those that are trained on; the token before its first one is the last of its
 * prompt. Responses of an example normally share one prompt.
 *
 * Invariant, checked on open: offsets begin at 0, do not fall and end at their array's length; no prompt and no
 * response is empty; token ids are in [0, vocabulary); response_prompt does not fall; both ends of an
 * edge are responses of its example.
 */

#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/range.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"

/** An open token store; opaque. Reading is thread-safe. */
typedef struct dpo_token_store dpo_token_store;

/**
 * Opens a token store and checks it.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid        The grid.
 * \param[in]  path        File of dpo_prepare().
 * \param[in]  vocabulary  Token ids must be below it: the model's or the tokenizer's vocabulary size.
 * \param[out] store       Owned by the caller; NULL on error.
 * \errors{DPO_EIO; DPO_EDATA if the invariant does not hold; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_token_store_open(const dpo_grid *grid, const char *path,
                                               int64_t vocabulary, dpo_token_store **store);

/** Closes a store and sets the pointer to NULL; NULL is left alone. \local */
void dpo_token_store_close(dpo_token_store **store);

/** Number of prompts, P. \local */
int64_t dpo_token_store_n_prompts(const dpo_token_store *store);
/** Number of responses, R. \local */
int64_t dpo_token_store_n_responses(const dpo_token_store *store);
/** Number of examples, X. \local */
int64_t dpo_token_store_n_examples(const dpo_token_store *store);
/** Number of edges, C. \local */
int64_t dpo_token_store_n_edges(const dpo_token_store *store);

/** Tokens of the longest prompt with one of its responses. \local */
int64_t dpo_token_store_max_sequence_tokens(const dpo_token_store *store);
/** Tokens of the longest example: its prompts and all of its responses. \local */
int64_t dpo_token_store_max_example_tokens(const dpo_token_store *store);

/**
 * Tokens of a prompt.
 *
 * \local
 * \param[in]  store     The store.
 * \param[in]  prompt    [0, P).
 * \param[out] n_tokens  > 0.
 * \return i32 [n_tokens], borrowed from the store.
 */
const int32_t *dpo_token_store_prompt(const dpo_token_store *store, int64_t prompt,
                                      int64_t *n_tokens);

/**
 * Tokens of a response.
 *
 * \local
 * \param[in]  store     The store.
 * \param[in]  response  [0, R).
 * \param[out] n_tokens  > 0.
 * \return i32 [n_tokens], borrowed from the store.
 */
const int32_t *dpo_token_store_response(const dpo_token_store *store, int64_t response,
                                        int64_t *n_tokens);

/** Number of the prompt of a response. \local */
int64_t dpo_token_store_response_prompt(const dpo_token_store *store, int64_t response);

/** Score of a response; NaN if it has none. \local */
double dpo_token_store_response_score(const dpo_token_store *store, int64_t response);

/** Responses of an example. \local */
dpo_range dpo_token_store_responses(const dpo_token_store *store, int64_t example);

/** Edges of an example. \local */
dpo_range dpo_token_store_edges(const dpo_token_store *store, int64_t example);

/**
 * One comparison.
 *
 * \local
 * \param[in]  store     The store.
 * \param[in]  edge      [0, C).
 * \param[out] chosen    Number of the better response, [0, R).
 * \param[out] rejected  Number of the other one, [0, R).
 * \param[out] weight    Of the comparison, > 0.
 */
void dpo_token_store_edge(const dpo_token_store *store, int64_t edge, int64_t *chosen,
                          int64_t *rejected, float *weight);

/** Number of the source that an example comes from. \local */
int32_t dpo_token_store_source(const dpo_token_store *store, int64_t example);
/** Line of its source where an example (of joined ones the first) begins, from 1. \local */
int64_t dpo_token_store_line(const dpo_token_store *store, int64_t example);

/** Number of sources. \local */
int64_t dpo_token_store_n_sources(const dpo_token_store *store);
/** Name of a source; borrowed from the store. \local */
const char *dpo_token_store_source_name(const dpo_token_store *store, int64_t source);

/** Digest of all that the contents follow from: files, tokenizer, template, options. \local */
dpo_digest dpo_token_store_digest(const dpo_token_store *store);

#endif
