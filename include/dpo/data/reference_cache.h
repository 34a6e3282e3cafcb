// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_REFERENCE_CACHE_H
#define DPO_DATA_REFERENCE_CACHE_H

/**
 * \file
 * Log-probabilities of the reference model, computed once and kept in a file.
 *
 * A file belongs to one key: the digest of the reference's weights and of what its numbers depend
 * on. In it, a response is found by the digest of its prompt's and its own tokens, so other
 * mixtures, groupings and subsets of the data find the same entries. An entry counts only if the
 * checksum of its numbers is right: a job that is killed loses what it had not committed, never
 * more, and a half-written entry is computed anew.
 *
 *     DPO_TRY(dpo_reference_cache_open(grid, path, &key, &wanted, &cache));
 *     missing = dpo_reference_cache_missing(cache, &n);        the same list on every rank: deal it
 *     for each response of this rank: status = dpo_reference_cache_put(cache, response, logps);
 *     status = dpo_reference_cache_commit(grid, status, cache);      as often as one likes
 *     ... dpo_reference_cache_get(cache, response, logps) ...
 *     dpo_reference_cache_close(&cache);
 *
 * The file, HDF5: digest u64 [E, 2], logp_begin i64 [E+1], checksum u64 [E] (0 = not computed yet),
 * logp f32 [logp_begin[E]]; texts "key" and "model".
 */

#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/data/token_store.h"

/** An open cache; opaque. */
typedef struct dpo_reference_cache dpo_reference_cache;

/** Whose log-probabilities a cache holds. */
typedef struct {
    dpo_digest digest; /**< of the weights, joined with that of the numerics */
    const char *model; /**< for messages: folder and numerics */
} dpo_reference_key;

/** The responses a run needs, numbered as its caller likes; the same list on every rank. */
typedef struct {
    int64_t n_responses; /**< >= 0 */
    const dpo_digest
        *digests; /**< [n_responses] of dpo_reference_digest(); equal ones share an entry */
    const int64_t *n_tokens; /**< [n_responses] log-probs of each, >= 0 */
} dpo_reference_wanted;

/**
 * Digest that names a response.
 *
 * \local
 * \param[in] n_prompt    >= 0.
 * \param[in] prompt      i32 [n_prompt] token ids.
 * \param[in] n_response  >= 0.
 * \param[in] response    i32 [n_response] token ids.
 * \return Differs if a token, or the boundary between the two, differs.
 */
dpo_digest dpo_reference_digest(int64_t n_prompt, const int32_t *prompt, int64_t n_response,
                                const int32_t *response);

/**
 * Digests and lengths of all responses of a token store, the ranks sharing the work.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid      The grid.
 * \param[in]  store     The store; R responses.
 * \param[out] digests   [R].
 * \param[out] n_tokens  [R].
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_digests(const dpo_grid *grid, const dpo_token_store *store,
                                                dpo_digest *digests, int64_t *n_tokens);

/**
 * Opens a cache: makes the file if there is none, adds the wanted responses that are not in it (in
 * a larger file that replaces it and keeps all entries), and checks the entries that are.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid.
 * \param[in]  path    The file; its folder exists. Any number of ranks may have written it. Not
 * open already.
 * \param[in]  key     Whose log-probabilities; the same on every rank.
 * \param[in]  wanted  What is needed; not kept.
 * \param[out] cache   For dpo_reference_cache_close(); NULL on error.
 * \errors{DPO_EUSAGE if the file belongs to another key; DPO_EDATA if it is damaged or foreign;
 *         DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_cache_open(const dpo_grid *grid, const char *path,
                                                   const dpo_reference_key *key,
                                                   const dpo_reference_wanted *wanted,
                                                   dpo_reference_cache **cache);

/** Closes a cache and sets the pointer to NULL; NULL is left alone. What was not committed is lost.
 * \local */
void dpo_reference_cache_close(dpo_reference_cache **cache);

/**
 * Wanted responses whose log-probabilities are not there yet, rising, of equal ones only the first.
 *
 * \local
 * \param[in]  cache      The cache.
 * \param[out] n_missing  How many; the same on every rank.
 * \return i64 [n_missing] numbers of responses, the same on every rank; borrowed until the next
 * commit.
 */
const int64_t *dpo_reference_cache_missing(const dpo_reference_cache *cache, int64_t *n_missing);

/**
 * Writes the log-probabilities of a response; they count from the next commit on.
 *
 * \local
 * \param[in,out] cache     The cache.
 * \param[in]     response  Its number; one rank puts it.
 * \param[in]     logps     f32 [n_tokens of the response], nats.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_cache_put(dpo_reference_cache *cache, int64_t response,
                                                  const float *logps);

/**
 * Makes what all ranks have put durable, first the numbers, then the checksums that make them
 * count.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid   The grid.
 * \param[in]     local  This rank's status of computing and putting; anything but DPO_OK on any
 * rank fails all, and
 *                       nothing is committed.
 * \param[in,out] cache  The cache; every rank then sees all entries.
 * \errors{the first rank's local status; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_cache_commit(const dpo_grid *grid, dpo_status local,
                                                     dpo_reference_cache *cache);

/**
 * Reads the log-probabilities of a response. Threads may call it at the same time.
 *
 * \local
 * \param[in]  cache     The cache.
 * \param[in]  response  Its number; not missing.
 * \param[out] logps     f32 [n_tokens of the response], nats.
 * \errors{DPO_EIO; DPO_EDATA if the file was changed since it was checked}
 */
DPO_MUST_CHECK dpo_status dpo_reference_cache_get(const dpo_reference_cache *cache,
                                                  int64_t response, float *logps);

/**
 * Sums of the log-probabilities of all wanted responses, the ranks sharing the work.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid   The grid.
 * \param[in]  cache  The cache; nothing is missing.
 * \param[out] sums   f64 [n_responses], nats, added in f64 in the order of the tokens.
 * \errors{DPO_EIO; DPO_EDATA as dpo_reference_cache_get(); DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_reference_cache_sums(const dpo_grid *grid,
                                                   const dpo_reference_cache *cache, double *sums);

#endif
