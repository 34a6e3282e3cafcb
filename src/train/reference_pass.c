// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/reference_pass.h"

#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "dpo/comm/collective.h"
#include "dpo/comm/runtime.h"
#include "dpo/data/reference_cache.h"

/* Examples of a rank between two commits: what a killed job may lose. */
enum { EXAMPLES_PER_RANK = 64 };

/* A pass under way. Invariant: is_missing[r] says whether response r has to be computed and put. */
typedef struct {
    dpo_session *session;
    const dpo_token_store *store;
    dpo_reference_cache *cache;
    dpo_batch_plan *plan; /* owned */
    bool *is_missing;     /* owned, [responses of the token store] */
    int64_t n_missing;
    bool stops;        /* a signal came: the tensor-parallel ranks have no more passes */
    dpo_status status; /* of putting; passes go on after a failure, for they are collective */
} reference_pass;

static dpo_status pass_create(dpo_session *session, dpo_set set, dpo_reference_cache *cache,
                              reference_pass *p)
{
    const int64_t *missing;

    *p = (reference_pass){.session = session, .store = session->set[set].store, .cache = cache};
    missing = dpo_reference_cache_missing(cache, &p->n_missing);
    DPO_TRY(DPO_NEW(p->is_missing, dpo_token_store_n_responses(p->store)));
    for (int64_t i = 0; i < p->n_missing; i++)
        p->is_missing[missing[i]] = true;
    return dpo_session_plan(session, set, &p->plan);
}

static void pass_destroy(reference_pass *p)
{
    dpo_batch_plan_destroy(&p->plan);
    dpo_free(p->is_missing);
}

static bool has_missing(const reference_pass *p, int64_t n_examples, const int64_t *examples)
{
    for (int64_t i = 0; i < n_examples; i++) {
        dpo_range responses = dpo_token_store_responses(p->store, examples[i]);

        for (int64_t r = responses.begin; r < responses.end; r++)
            if (p->is_missing[r]) return true;
    }
    return false;
}

/* A signal to one of the tensor-parallel ranks, which compute together, is one to all of them. */
static bool must_stop(const reference_pass *p)
{
    int64_t requested = dpo_stop_requested();

    dpo_max_i64(p->session->grid, DPO_TENSOR, 1, &requested);
    return requested != 0;
}

/*
 * A micro-batch is computed whole, as training will, and what was missing of it is put, by the first of the
 * tensor-parallel ranks, which all have it.
 */
static void run_micro_batch(reference_pass *p, int64_t n_examples, const int64_t *examples)
{
    dpo_pass *pass = &p->session->pass;
    const dpo_microbatch *m = &pass->microbatch;

    if (p->stops || !has_missing(p, n_examples, examples)) return;
    p->stops = must_stop(p);
    if (p->stops) return;
    dpo_pass_forward(pass, p->store, n_examples, examples);
    if (dpo_grid_rank(p->session->grid, DPO_TENSOR) != 0) return;
    for (int64_t i = 0; i < m->n_responses; i++)
        if (p->is_missing[m->response[i]] && p->status == DPO_OK)
            p->status =
                dpo_reference_cache_put(p->cache, m->response[i], pass->row_logp + m->row_begin[i]);
}

static void run_shard(reference_pass *p, int shard)
{
    for (int64_t i = 0; i < dpo_batch_plan_n_micro_batches(p->plan, shard); i++) {
        int64_t n;
        const int64_t *examples = dpo_batch_plan_micro_batch(p->plan, shard, i, &n);

        run_micro_batch(p, n, examples);
    }
}

/* This rank's micro-batches of one planned step. */
static void run_step(reference_pass *p, int64_t step)
{
    dpo_range shards = dpo_session_shards(p->session);

    dpo_batch_plan_run(p->plan, step);
    for (int64_t s = shards.begin; s < shards.end; s++)
        run_shard(p, (int)s);
}

/* What is computed becomes durable; all learn whether one of them stops. */
static dpo_status commit(reference_pass *p)
{
    const dpo_grid *grid = p->session->grid;
    int64_t stops = p->stops;

    DPO_TRY(dpo_reference_cache_commit(grid, p->status, p->cache));
    dpo_max_i64(grid, DPO_WORLD, 1, &stops);
    p->session->stopped = stops != 0;
    return DPO_OK;
}

/*
 * Ranks agree when they commit. Those that got a signal have nothing to do until then: Slurm and mpirun send it
 * to all, so all are there after the micro-batch under way.
 */
static dpo_status run_steps(reference_pass *p)
{
    const dpo_grid *grid = p->session->grid;
    int64_t n_steps = dpo_batch_plan_steps_per_epoch(p->plan);
    int64_t piece = (int64_t)EXAMPLES_PER_RANK * dpo_grid_size(grid, DPO_DATA);
    int64_t n_uncommitted = 0;

    for (int64_t step = 0; step < n_steps && !p->session->stopped; step++) {
        int64_t n_examples;

        run_step(p, step);
        (void)dpo_batch_plan_examples(p->plan, &n_examples);
        n_uncommitted += n_examples;
        if (n_uncommitted < piece && step < n_steps - 1) continue;
        DPO_TRY(commit(p));
        n_uncommitted = 0;
        dpo_log_live("reference log-probs, batch %lld/%lld", (long long)(step + 1),
                     (long long)n_steps);
    }
    return DPO_OK;
}

static void report(const reference_pass *p, const char *path, double time_s)
{
    long long n_all = dpo_token_store_n_responses(p->store), n_asked = p->n_missing;
    int64_t n_left;

    (void)dpo_reference_cache_missing(p->cache, &n_left);
    if (p->session->stopped)
        dpo_log_info("reference log-probs: stopped by a signal, %lld of %lld are still to be "
                     "computed, the others are in %s; the same command continues",
                     (long long)n_left, n_all, path);
    else if (n_asked == 0)
        dpo_log_info("reference log-probs: all %lld found in %s", n_all, path);
    else
        dpo_log_info("reference log-probs: %lld of %lld computed in %.1f s, kept in %s", n_asked,
                     n_all, time_s, path);
}

static dpo_status fill(dpo_session *session, dpo_set set, const char *path,
                       dpo_reference_cache *cache)
{
    double begin_s = dpo_clock_s();
    reference_pass p;
    dpo_status status = dpo_agree(session->grid, pass_create(session, set, cache, &p));

    if (status == DPO_OK && p.n_missing > 0) status = run_steps(&p);
    if (status == DPO_OK) report(&p, path, dpo_clock_s() - begin_s);
    pass_destroy(&p);
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

/* The sums of a set whose responses are all there. */
static dpo_status read_sums(const dpo_session *session, const dpo_reference_cache *cache,
                            dpo_data_set *data)
{
    DPO_TRY(dpo_agree(session->grid,
                      DPO_NEW(data->reference_logp, dpo_token_store_n_responses(data->store))));
    return dpo_reference_cache_sums(session->grid, cache, data->reference_logp);
}

dpo_status dpo_reference_pass(dpo_session *session, dpo_set set, const char *path)
{
    dpo_data_set *data = &session->set[set];
    dpo_reference_cache *cache = NULL;

    if (session->stopped) return DPO_OK;
    dpo_status status = open_cache(session, data, path, &cache);

    dpo_phase_begin(DPO_PHASE_REFERENCE);
    if (status == DPO_OK) status = fill(session, set, path, cache);
    dpo_phase_end(DPO_PHASE_REFERENCE);
    if (status == DPO_OK && !session->stopped) status = read_sums(session, cache, data);
    dpo_reference_cache_close(&cache);
    return status;
}
