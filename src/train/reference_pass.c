// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/reference_pass.h"

#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/data/reference_cache.h"

/* Examples of a data-parallel rank between two commits: what a killed job may lose. */
enum { EXAMPLES_PER_RANK = 64 };

/* What the cache lacks: the examples with a missing response, in the order of the token store. */
typedef struct {
    int64_t n_examples;
    int64_t *example;        /* owned, [n_examples] */
    dpo_example_cost *costs; /* owned, [n_examples] */
} missing_work;

static void work_destroy(missing_work *work)
{
    dpo_free(work->example);
    dpo_free(work->costs);
    *work = (missing_work){0};
}

/* Digest of a response in its context: of the prompt's tokens and its own. */
static dpo_digest digest_of_response(const dpo_token_store *store, int64_t response)
{
    int64_t n_prompt;
    int64_t n_response;
    const int32_t *prompt =
        dpo_token_store_prompt(store, dpo_token_store_response_prompt(store, response), &n_prompt);
    const int32_t *tokens = dpo_token_store_response(store, response, &n_response);

    return dpo_digest_join(dpo_digest_of(prompt, n_prompt * (int64_t)sizeof *prompt),
                           dpo_digest_of(tokens, n_response * (int64_t)sizeof *tokens));
}

static dpo_status find_work(const dpo_data_set *data, const dpo_reference_cache *cache,
                            missing_work *work)
{
    int64_t n = dpo_token_store_n_examples(data->store);

    *work = (missing_work){0};
    DPO_TRY(DPO_NEW(work->example, n));
    DPO_TRY(DPO_NEW(work->costs, n));
    for (int64_t x = 0; x < n; x++) {
        dpo_range responses = dpo_token_store_responses(data->store, x);
        bool is_missing = false;

        for (int64_t r = responses.begin; r < responses.end; r++)
            is_missing = is_missing || !dpo_reference_cache_has(cache, r);
        if (!is_missing) continue;
        work->example[work->n_examples] = x;
        work->costs[work->n_examples++] = data->costs[x];
    }
    return DPO_OK;
}

/* This rank's micro-batches of one piece: computes and puts what is missing. */
static dpo_status run_piece(dpo_session *session, const dpo_token_store *store,
                            const dpo_batch_plan *plan, const missing_work *work, int64_t *examples,
                            dpo_reference_cache *cache)
{
    dpo_pass *pass = &session->pass;
    const dpo_microbatch *m = &pass->microbatch;
    int rank = dpo_grid_rank(session->grid, DPO_DATA);

    for (int64_t i = 0; i < dpo_batch_plan_n_micro_batches(plan, rank); i++) {
        int64_t n;
        const int64_t *chosen = dpo_batch_plan_micro_batch(plan, rank, i, &n);

        for (int64_t k = 0; k < n; k++)
            examples[k] = work->example[chosen[k]];
        dpo_pass_forward(pass, store, n, examples);
        for (int64_t r = 0; r < m->n_responses; r++)
            DPO_TRY(
                dpo_reference_cache_put(cache, m->response[r], pass->row_logp + m->row_begin[r]));
    }
    return DPO_OK;
}

static dpo_status run_pieces(dpo_session *session, const dpo_token_store *store,
                             dpo_batch_plan *plan, const missing_work *work,
                             dpo_reference_cache *cache)
{
    int64_t n_pieces = dpo_batch_plan_steps_per_epoch(plan);
    int64_t *examples;
    dpo_status status = dpo_agree(session->grid, DPO_NEW(examples, work->n_examples));

    for (int64_t piece = 0; piece < n_pieces && status == DPO_OK; piece++) {
        dpo_batch_plan_run(plan, piece);
        status = run_piece(session, store, plan, work, examples, cache);
        status = dpo_reference_cache_commit(cache, status);
        dpo_log_live("reference log-probs %lld/%lld", (long long)(piece + 1), (long long)n_pieces);
    }
    dpo_free(examples);
    return status;
}

static dpo_status fill(dpo_session *session, const dpo_data_set *data, dpo_reference_cache *cache)
{
    double begin_s = dpo_clock_s();
    missing_work work;
    dpo_batch_plan *plan = NULL;
    dpo_status status = dpo_agree(session->grid, find_work(data, cache, &work));

    if (status == DPO_OK && work.n_examples > 0) {
        status =
            dpo_agree(session->grid, dpo_session_plan(session, work.n_examples, work.costs,
                                                      (int64_t)EXAMPLES_PER_RANK *
                                                          dpo_grid_size(session->grid, DPO_DATA),
                                                      false, &plan));
        if (status == DPO_OK) status = run_pieces(session, data->store, plan, &work, cache);
        if (status == DPO_OK)
            dpo_log_info("reference log-probs of %lld examples computed in %.1f s",
                         (long long)work.n_examples, dpo_clock_s() - begin_s);
    }
    dpo_batch_plan_destroy(&plan);
    work_destroy(&work);
    return status;
}

/* Sums over the tokens in the order of dpo_pass_forward(), so that equal log-probs give equal sums. */
static dpo_status read_sums(const dpo_token_store *store, const dpo_reference_cache *cache,
                            double **sums)
{
    int64_t n = dpo_token_store_n_responses(store);
    int64_t longest = dpo_token_store_max_sequence_tokens(store);
    float *logps;
    dpo_status status = DPO_NEW(logps, longest);

    if (status == DPO_OK) status = DPO_NEW(*sums, n);
    for (int64_t r = 0; r < n && status == DPO_OK; r++) {
        int64_t n_tokens;

        (void)dpo_token_store_response(store, r, &n_tokens);
        status = dpo_reference_cache_get(cache, r, logps);
        for (int64_t t = 0; t < n_tokens; t++)
            (*sums)[r] += (double)logps[t];
    }
    dpo_free(logps);
    return status;
}

static dpo_status list_responses(const dpo_token_store *store, dpo_digest **digests,
                                 int64_t **n_tokens)
{
    int64_t n = dpo_token_store_n_responses(store);

    DPO_TRY(DPO_NEW(*digests, n));
    DPO_TRY(DPO_NEW(*n_tokens, n));
    for (int64_t r = 0; r < n; r++) {
        (*digests)[r] = digest_of_response(store, r);
        (void)dpo_token_store_response(store, r, &(*n_tokens)[r]);
    }
    return DPO_OK;
}

dpo_status dpo_reference_pass(dpo_session *session, dpo_set set, const char *path)
{
    dpo_data_set *data = &session->set[set];
    const char *model = session->run->reference.model;
    const dpo_reference_key key = {
        .digest = dpo_digest_join(session->reference_digest, dpo_digest_of("f32", 3)),
        .model = model != NULL ? model : session->source.folder};
    int64_t n = dpo_token_store_n_responses(data->store);
    dpo_digest *digests = NULL;
    int64_t *n_tokens = NULL;
    dpo_reference_cache *cache = NULL;
    dpo_status status = dpo_agree(session->grid, list_responses(data->store, &digests, &n_tokens));

    if (status == DPO_OK)
        status = dpo_reference_cache_open(session->grid, path, &key, n, digests, n_tokens, &cache);
    if (status == DPO_OK) status = fill(session, data, cache);
    if (status == DPO_OK)
        status = dpo_agree(session->grid, read_sums(data->store, cache, &data->reference_logp));
    dpo_reference_cache_close(&cache);
    dpo_free(digests);
    dpo_free(n_tokens);
    return status;
}
