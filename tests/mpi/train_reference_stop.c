// SPDX-License-Identifier: Apache-2.0
/*
 * A signal to the last rank before the reference pass: its tensor-parallel ranks compute nothing, the others what
 * was theirs until ranks agree; all of it is kept, and all ranks know that the session is stopped.
 */
#include <signal.h>

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/data/reference_cache.h"
#include "dpo/train/reference_pass.h"
#include "train_run.h"

enum {
    MAX_RESPONSES = 160
}; /* the 80 pairs of the test; on two ranks and more one piece of the pass */

/* Whether the cache of a session that was stopped still lacks each response. */
static int64_t find_missing(const dpo_session *session, const char *out, bool *is_missing)
{
    const dpo_reference_key key = {
        dpo_digest_join(session->reference_digest, dpo_digest_of("f32", 3)), "test"};
    const dpo_token_store *store = session->set[DPO_SET_TRAIN].store;
    dpo_digest digests[MAX_RESPONSES];
    int64_t n_tokens[MAX_RESPONSES], n_missing;
    const dpo_reference_wanted wanted = {dpo_token_store_n_responses(store), digests, n_tokens};
    dpo_reference_cache *cache;
    char path[128];

    ASSERT_ALL(wanted.n_responses <= MAX_RESPONSES);
    (void)snprintf(path, sizeof path, "%s/reference.h5", out);
    ASSERT_ALL(dpo_reference_digests(session->grid, store, digests, n_tokens) == DPO_OK);
    ASSERT_ALL(dpo_reference_cache_open(session->grid, path, &key, &wanted, &cache) == DPO_OK);
    const int64_t *missing = dpo_reference_cache_missing(cache, &n_missing);

    for (int64_t r = 0; r < wanted.n_responses; r++)
        is_missing[r] = false;
    for (int64_t i = 0; i < n_missing; i++)
        is_missing[missing[i]] = true;
    dpo_reference_cache_close(&cache);
    return n_missing;
}

/* Responses of the last data-parallel rank lack, and no others. */
static void check_missing(const dpo_session *session, const bool *is_missing)
{
    int last = dpo_grid_size(session->grid, DPO_DATA) - 1;
    dpo_batch_plan *plan;

    ASSERT_ALL(dpo_session_plan(session, DPO_SET_TRAIN, &plan) == DPO_OK);
    for (int64_t step = 0; step < dpo_batch_plan_steps_per_epoch(plan); step++) {
        dpo_batch_plan_run(plan, step);
        for (int s = 0; s <= last; s++)
            for (int64_t m = 0; m < dpo_batch_plan_n_micro_batches(plan, s); m++) {
                int64_t n;
                const int64_t *examples = dpo_batch_plan_micro_batch(plan, s, m, &n);

                for (int64_t i = 0; i < n; i++) {
                    dpo_range responses =
                        dpo_token_store_responses(session->set[DPO_SET_TRAIN].store, examples[i]);

                    for (int64_t r = responses.begin; r < responses.end; r++)
                        assert_int_equal(is_missing[r], s == last);
                }
            }
    }
    dpo_batch_plan_destroy(&plan);
}

static void check_grid(const dpo_grid *grid)
{
    bool is_missing[MAX_RESPONSES];
    dpo_run_config run;
    dpo_session session;
    char out[64];

    make_scratch(out);
    configure("{\"batch\": {\"examples\": 8, \"tokens\": 700}}", "{}",
              DPO_TEST_DATA "/trl-stories/pairs.jsonl", out, &run);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_ALL(dpo_session_open(grid, &run, 1u << DPO_SET_TRAIN, &session) == DPO_OK);
    ASSERT_ALL(dpo_session_load(&session, true) == DPO_OK);
    ASSERT_ALL(session.stopped);
    ASSERT_ALL(session.set[DPO_SET_TRAIN].reference_logp == NULL);
    ASSERT_ALL(find_missing(&session, out, is_missing) > 0);
    check_missing(&session, is_missing);
    dpo_session_close(&session);
    dpo_run_config_destroy(&run);
    remove_scratch(out);
}

static void a_signal_to_one_rank_stops_the_reference_pass_of_all_and_keeps_what_is_computed(
    void **state)
{
    (void)state;
    bool is_last = dpo_grid_rank(test_grid, DPO_WORLD) == dpo_grid_size(test_grid, DPO_WORLD) - 1;

    dpo_stop_on_signals();
    if (is_last) assert_int_equal(raise(SIGUSR1), 0);
    on_every_grid(0, check_grid);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(
        a_signal_to_one_rank_stops_the_reference_pass_of_all_and_keeps_what_is_computed),
};

MPI_TEST_MAIN(tests)
