// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/reference_pass.h"

#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/data/reference_cache.h"

/* Examples of a data-parallel rank between two commits: what a killed job may lose. */
enum { EXAMPLES_PER_RANK = 64 };

/*
 * What the cache lacks: the examples with a missing response, in the order of the token store.
 * Invariant: is_missing[r] says whether response r is put by whoever computes its example.
 */
typedef struct {
    int64_t n_examples;
    int64_t *example;        /* owned, [n_examples] */
    dpo_example_cost *costs; /* owned, [n_examples] */
    bool *is_missing;        /* owned, [responses of the token store] */
    int64_t *batch;          /* owned, [n_examples] scratch: a micro-batch's examples */
} missing_work;

static void work_destroy(missing_work *work)
{
    dpo_free(work->example);
    dpo_free(work->costs);
    dpo_free(work->is_missing);
    dpo_free(work->batch);
    *work = (missing_work){0};
}

static bool has_missing(const missing_work *work, dpo_range responses)
{
    for (int64_t r = responses.begin; r < responses.end; r++)
        if (work->is_missing[r]) return true;
    return false;
}

static dpo_status find_work(const dpo_data_set *data, const dpo_reference_cache *cache,
                            missing_work *work)
{
    int64_t n = dpo_token_store_n_examples(data->store);
    int64_t n_missing;
    const int64_t *missing = dpo_reference_cache_missing(cache, &n_missing);

    *work = (missing_work){0};
    DPO_TRY(DPO_NEW(work->example, n));
    DPO_TRY(DPO_NEW(work->costs, n));
    DPO_TRY(DPO_NEW(work->batch, n));
    DPO_TRY(DPO_NEW(work->is_missing, dpo_token_store_n_responses(data->store)));
    for (int64_t i = 0; i < n_missing; i++)
        work->is_missing[missing[i]] = true;
    for (int64_t x = 0; x < n; x++) {
        if (!has_missing(work, dpo_token_store_responses(data->store, x))) continue;
        work->example[work->n_examples] = x;
        work->costs[work->n_examples++] = data->costs[x];
    }
    return DPO_OK;
}

/* This rank's micro-batches of one piece: computes, and puts what is missing. */
static dpo_status run_piece(dpo_session *session, const dpo_token_store *store,
                            const dpo_batch_plan *plan, missing_work *work,
                            dpo_reference_cache *cache)
{
    dpo_pass *pass = &session->pass;
    const dpo_microbatch *m = &pass->microbatch;
    int rank = dpo_grid_rank(session->grid, DPO_DATA);

    for (int64_t i = 0; i < dpo_batch_plan_n_micro_batches(plan, rank); i++) {
        int64_t n;
        const int64_t *chosen = dpo_batch_plan_micro_batch(plan, rank, i, &n);

        for (int64_t k = 0; k < n; k++)
            work->batch[k] = work->example[chosen[k]];
        dpo_pass_forward(pass, store, n, work->batch);
        for (int64_t r = 0; r < m->n_responses; r++)
            if (work->is_missing[m->response[r]])
                DPO_TRY(dpo_reference_cache_put(cache, m->response[r],
                                                pass->row_logp + m->row_begin[r]));
    }
    return DPO_OK;
}

static dpo_status run_pieces(dpo_session *session, const dpo_token_store *store,
                             dpo_batch_plan *plan, missing_work *work, dpo_reference_cache *cache)
{
    int64_t n_pieces = dpo_batch_plan_steps_per_epoch(plan);
    double begin_s = dpo_clock_s();

    for (int64_t piece = 0; piece < n_pieces; piece++) {
        dpo_batch_plan_run(plan, piece);
        dpo_status status = run_piece(session, store, plan, work, cache);

        DPO_TRY(dpo_reference_cache_commit(session->grid, status, cache));
        dpo_log_live("reference log-probs %lld/%lld", (long long)(piece + 1), (long long)n_pieces);
    }
    dpo_log_info("reference log-probs of %lld examples computed in %.1f s",
                 (long long)work->n_examples, dpo_clock_s() - begin_s);
    return DPO_OK;
}

static dpo_status fill(dpo_session *session, const dpo_data_set *data, const char *path,
                       dpo_reference_cache *cache)
{
    int64_t batch_examples = (int64_t)EXAMPLES_PER_RANK * dpo_grid_size(session->grid, DPO_DATA);
    missing_work work;
    dpo_batch_plan *plan = NULL;
    dpo_status status = find_work(data, cache, &work);

    if (status == DPO_OK && work.n_examples == 0)
        dpo_log_info("reference log-probs: all found in %s", path);
    if (status == DPO_OK && work.n_examples > 0)
        status =
            dpo_session_plan(session, work.n_examples, work.costs, batch_examples, false, &plan);
    status = dpo_agree(session->grid, status);
    if (status == DPO_OK && plan != NULL)
        status = run_pieces(session, data->store, plan, &work, cache);
    dpo_batch_plan_destroy(&plan);
    work_destroy(&work);
    return status;
}

static dpo_status open_cache(dpo_session *session, const dpo_data_set *data, const char *path,
                             dpo_reference_cache **cache)
{
    const char *model = session->run->reference.model;
    const dpo_reference_key key = {
        .digest = dpo_digest_join(session->reference_digest, dpo_digest_of("f32", 3)),
        .model = model != NULL ? model : session->source.folder};
    int64_t n = dpo_token_store_n_responses(data->store);
    dpo_digest *digests = NULL;
    int64_t *n_tokens = NULL;
    dpo_status status = DPO_NEW(digests, n);

    if (status == DPO_OK) status = DPO_NEW(n_tokens, n);
    status = dpo_agree(session->grid, status);
    if (status == DPO_OK)
        status = dpo_reference_digests(session->grid, data->store, digests, n_tokens);
    if (status == DPO_OK) {
        const dpo_reference_wanted wanted = {n, digests, n_tokens};

        status = dpo_reference_cache_open(session->grid, path, &key, &wanted, cache);
    }
    dpo_free(digests);
    dpo_free(n_tokens);
    return status;
}

dpo_status dpo_reference_pass(dpo_session *session, dpo_set set, const char *path)
{
    dpo_data_set *data = &session->set[set];
    dpo_reference_cache *cache = NULL;
    dpo_status status = open_cache(session, data, path, &cache);

    if (status == DPO_OK) status = fill(session, data, path, cache);
    if (status == DPO_OK)
        status = dpo_agree(session->grid,
                           DPO_NEW(data->reference_logp, dpo_token_store_n_responses(data->store)));
    if (status == DPO_OK)
        status = dpo_reference_cache_sums(session->grid, cache, data->reference_logp);
    dpo_reference_cache_close(&cache);
    return status;
}
