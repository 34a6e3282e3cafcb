// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/reference_pass.h"

#include <math.h>
#include <stdio.h>
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

/*
 * A pass under way. Invariants: wanted are the responses of the first n_steps steps of the plan, rising, and
 * number[wanted[i]] = i is what the cache calls them; is_missing[r] says whether response r has to be computed
 * and put.
 */
typedef struct {
    dpo_session *session;
    const dpo_token_store *store;
    dpo_batch_plan *plan; /* owned */
    int64_t n_steps;
    int64_t n_wanted;
    int64_t *wanted;            /* owned, [n_wanted] */
    int64_t *number;            /* owned, [responses of the token store]; -1: not wanted */
    dpo_reference_cache *cache; /* owned */
    bool *is_missing;           /* owned, [responses of the token store] */
    int64_t n_missing;
    bool stops;        /* a signal came: the tensor-parallel ranks have no more passes */
    dpo_status status; /* of putting; passes go on after a failure, for they are collective */
} reference_pass;

/* A training run that is shorter than an epoch asks for what it will see; everybody else for all. */
static int64_t count_steps(const reference_pass *p, dpo_set set)
{
    int64_t n_all = dpo_batch_plan_steps_per_epoch(p->plan), n = p->session->run->train.steps;
    bool trains = set == DPO_SET_TRAIN && dpo_model_limits_of(p->session->model)->trainable;

    return trains && n > 0 && n < n_all ? n : n_all;
}

static void list_wanted(reference_pass *p)
{
    const int64_t seen = 0;
    int64_t n_responses = dpo_token_store_n_responses(p->store);

    for (int64_t r = 0; r < n_responses; r++)
        p->number[r] = -1;
    for (int64_t step = 0; step < p->n_steps; step++) {
        int64_t n;

        dpo_batch_plan_run(p->plan, step);
        const int64_t *examples = dpo_batch_plan_examples(p->plan, &n);

        for (int64_t i = 0; i < n; i++) {
            dpo_range responses = dpo_token_store_responses(p->store, examples[i]);

            for (int64_t r = responses.begin; r < responses.end; r++)
                p->number[r] = seen;
        }
    }
    for (int64_t r = 0; r < n_responses; r++) {
        if (p->number[r] != seen) continue;
        p->wanted[p->n_wanted] = r;
        p->number[r] = p->n_wanted++;
    }
}

static dpo_status pass_create(dpo_session *session, dpo_set set, reference_pass *p)
{
    int64_t n_responses = dpo_token_store_n_responses(session->set[set].store);

    *p = (reference_pass){.session = session, .store = session->set[set].store};
    DPO_TRY(dpo_session_plan(session, set, &p->plan));
    DPO_TRY(DPO_NEW(p->wanted, n_responses));
    DPO_TRY(DPO_NEW(p->number, n_responses));
    DPO_TRY(DPO_NEW(p->is_missing, n_responses));
    p->n_steps = count_steps(p, set);
    list_wanted(p);
    return DPO_OK;
}

static void pass_destroy(reference_pass *p)
{
    dpo_reference_cache_close(&p->cache);
    dpo_batch_plan_destroy(&p->plan);
    dpo_free(p->is_missing);
    dpo_free(p->number);
    dpo_free(p->wanted);
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
            p->status = dpo_reference_cache_put(p->cache, p->number[m->response[i]],
                                                pass->row_logp + m->rows[i].begin);
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
    int64_t piece = (int64_t)EXAMPLES_PER_RANK * dpo_grid_size(grid, DPO_DATA);
    int64_t n_uncommitted = 0;

    for (int64_t step = 0; step < p->n_steps && !p->session->stopped; step++) {
        int64_t n_examples;

        run_step(p, step);
        (void)dpo_batch_plan_examples(p->plan, &n_examples);
        n_uncommitted += n_examples;
        if (n_uncommitted < piece && step < p->n_steps - 1) continue;
        DPO_TRY(commit(p));
        n_uncommitted = 0;
        dpo_log_live("reference log-probs, batch %lld/%lld", (long long)(step + 1),
                     (long long)p->n_steps);
    }
    return DPO_OK;
}

static void report(const reference_pass *p, const char *path, double time_s)
{
    long long n_all = p->n_wanted, n_asked = p->n_missing;
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

static dpo_status fill(reference_pass *p, const char *path)
{
    double begin_s = dpo_clock_s();
    const int64_t *missing = dpo_reference_cache_missing(p->cache, &p->n_missing);

    for (int64_t i = 0; i < p->n_missing; i++)
        p->is_missing[p->wanted[missing[i]]] = true;
    if (p->n_missing > 0) DPO_TRY(run_steps(p));
    report(p, path, dpo_clock_s() - begin_s);
    return DPO_OK;
}

/* Moves the digests and lengths of the wanted responses to the front. */
static dpo_reference_wanted pick(const reference_pass *p, dpo_digest *digests, int64_t *n_tokens)
{
    for (int64_t i = 0; i < p->n_wanted; i++) {
        digests[i] = digests[p->wanted[i]];
        n_tokens[i] = n_tokens[p->wanted[i]];
    }
    return (dpo_reference_wanted){p->n_wanted, digests, n_tokens};
}

/* Of the name that a cache file has for its reference. */
enum { REFERENCE_NAME_BYTES = 1024 };

static dpo_status open_cache(reference_pass *p, const char *path)
{
    const dpo_session *session = p->session;
    const char *model = session->run->reference.model;
    char precision[DPO_PRECISION_TEXT_BYTES], name[REFERENCE_NAME_BYTES];

    dpo_precision_text(&session->precision, dpo_grid_size(session->grid, DPO_TENSOR), precision);
    (void)snprintf(name, sizeof name, "%s in %s", model != NULL ? model : session->source.folder,
                   precision);
    const dpo_reference_key key = {
        .digest = dpo_digest_join(session->reference_digest,
                                  dpo_digest_of(precision, (int64_t)strlen(precision))),
        .model = name};
    int64_t n = dpo_token_store_n_responses(p->store);
    dpo_digest *digests = NULL;
    int64_t *n_tokens = NULL;
    dpo_status status = DPO_NEW(digests, n);

    if (status == DPO_OK) status = DPO_NEW(n_tokens, n);
    status = dpo_agree(session->grid, status);
    if (status == DPO_OK)
        status = dpo_reference_digests(session->grid, p->store, digests, n_tokens);
    if (status == DPO_OK) {
        const dpo_reference_wanted wanted = pick(p, digests, n_tokens);

        status = dpo_reference_cache_open(session->grid, path, &key, &wanted, &p->cache);
    }
    dpo_free(digests);
    dpo_free(n_tokens);
    return status;
}

/* The sums of the wanted responses, which are all there; those of the others are no numbers. */
static dpo_status read_sums(const reference_pass *p, dpo_data_set *data)
{
    const dpo_grid *grid = p->session->grid;
    int64_t n = dpo_token_store_n_responses(p->store);
    double *sums;
    dpo_status status = DPO_NEW(sums, p->n_wanted);

    if (status == DPO_OK) status = DPO_NEW(data->reference_logp, n);
    status = dpo_agree(grid, status);
    if (status == DPO_OK) status = dpo_reference_cache_sums(grid, p->cache, sums);
    for (int64_t r = 0; r < n && status == DPO_OK; r++)
        data->reference_logp[r] = p->number[r] >= 0 ? sums[p->number[r]] : (double)NAN;
    dpo_free(sums);
    return status;
}

dpo_status dpo_reference_pass(dpo_session *session, dpo_set set, const char *path)
{
    reference_pass p;

    if (session->stopped) return DPO_OK;
    dpo_status status = dpo_agree(session->grid, pass_create(session, set, &p));

    if (status == DPO_OK) status = open_cache(&p, path);
    dpo_phase_begin(DPO_PHASE_REFERENCE);
    if (status == DPO_OK) status = fill(&p, path);
    dpo_phase_end(DPO_PHASE_REFERENCE);
    if (status == DPO_OK && !session->stopped) status = read_sums(&p, &session->set[set]);
    pass_destroy(&p);
    return status;
}
