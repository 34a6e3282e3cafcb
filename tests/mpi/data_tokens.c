// SPDX-License-Identifier: Apache-2.0
/* Token ids against what TRL makes of the same files (tools/preference-golden, and recorded runs). */
#include <stdlib.h>
#include <unistd.h>

#define FILES "data_tokens"
#include "prepare_run.h"

static void assert_ids(const int32_t *ids, int64_t n, const dpo_json *want, int64_t skip)
{
    const dpo_json *item = dpo_json_first(want);

    for (; skip > 0; skip--)
        item = dpo_json_next(item);
    for (int64_t i = 0; i < n; i++, item = dpo_json_next(item)) {
        assert_non_null(item);
        assert_int_equal(ids[i], (int)dpo_json_number(item));
    }
}

static void read_golden(dpo_json **golden)
{
    ASSERT_OK(dpo_json_read_file(FOLDER "/golden.json", DPO_JSON_STRICT, golden));
}

/* The whole files, uncut: {"prompt", "chosen", "rejected"}, each a list of ids. */
static void check_whole(const char *name)
{
    static const char *const keys[2] = {"chosen", "rejected"};
    char path[512];
    dpo_token_store *store;
    dpo_json *golden;
    int64_t x = 0;
    run r;

    (void)snprintf(path, sizeof path, "%s/%s.jsonl", FOLDER, name);
    read_golden(&golden);
    run_begin(&r, FOLDER, path);
    ASSERT_OK(prepare(&r));
    ASSERT_OK(open_store(&r, &store));
    for (const dpo_json *i = dpo_json_first(dpo_json_find(dpo_json_find(golden, name), "ids"));
         i != NULL; i = dpo_json_next(i), x++) {
        dpo_range responses = dpo_token_store_responses(store, x);
        const dpo_json *want = dpo_json_find(i, "prompt");
        int64_t n;
        const int32_t *ids = dpo_token_store_prompt(store, x, &n);

        assert_int_equal(dpo_range_length(responses), 2);
        assert_int_equal(n, dpo_json_count(want));
        assert_ids(ids, n, want, 0);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(dpo_token_store_response_prompt(store, responses.begin + k), x);
            ids = dpo_token_store_response(store, responses.begin + k, &n);
            want = dpo_json_find(i, keys[k]);
            assert_int_equal(n, dpo_json_count(want));
            assert_ids(ids, n, want, 0);
        }
        assert_int_equal(dpo_token_store_line(store, x), x + 1);
    }
    assert_int_equal(dpo_token_store_n_examples(store), x);
    assert_true(x >= 6);
    dpo_token_store_close(&store);
    run_end(&r);
    dpo_json_destroy(&golden);
}

static void token_ids_of_texts_and_messages_are_those_of_trl(void **state)
{
    (void)state;
    check_whole("text");
    check_whole("chat");
}

/* One sequence of a golden row [ids, ids, n_chosen, n_rejected] against response k of an example. */
static void check_cut(const dpo_token_store *store, int64_t response, const dpo_json *row, int k)
{
    const dpo_json *items[4];
    int64_t n_prompt;
    int64_t n_response;
    int64_t p = dpo_token_store_response_prompt(store, response);
    const int32_t *prompt = dpo_token_store_prompt(store, p, &n_prompt);
    const int32_t *ids = dpo_token_store_response(store, response, &n_response);

    items[0] = dpo_json_first(row);
    for (int i = 1; i < 4; i++)
        items[i] = dpo_json_next(items[i - 1]);
    int64_t n_all = dpo_json_count(items[k]);
    int64_t n_want = (int64_t)dpo_json_number(items[2 + k]);

    /* where all are responses, nothing predicts the first */
    assert_int_equal(n_response, n_want < n_all ? n_want : n_all - 1);
    assert_int_equal(n_prompt + n_response, n_all);
    assert_ids(prompt, n_prompt, items[k], 0);
    assert_ids(ids, n_response, items[k], n_prompt);
}

static void check_truncated(const char *name, const char *mode, dpo_truncation truncation)
{
    char path[512];
    dpo_token_store *store;
    dpo_json *golden;
    int64_t x = 0;
    int64_t n_dropped = 0;
    run r;

    (void)snprintf(path, sizeof path, "%s/%s.jsonl", FOLDER, name);
    read_golden(&golden);
    run_begin(&r, FOLDER, path);
    r.options.max_length = (int64_t)dpo_json_number(dpo_json_find(golden, "max_length"));
    r.options.truncation = truncation;
    ASSERT_OK(prepare(&r));
    ASSERT_OK(open_store(&r, &store));
    for (const dpo_json *i = dpo_json_first(dpo_json_find(dpo_json_find(golden, name), mode));
         i != NULL; i = dpo_json_next(i)) {
        bool is_dropped = dpo_json_type_of(i) == DPO_JSON_NULL;

        n_dropped += is_dropped;
        if (is_dropped) continue;
        for (int k = 0; k < 2; k++)
            check_cut(store, dpo_token_store_responses(store, x).begin + k, i, k);
        x++;
    }
    assert_int_equal(dpo_token_store_n_examples(store), x);
    assert_int_equal(r.audit.n_dropped_no_tokens, n_dropped);
    assert_int_equal(r.audit.n_records, x + n_dropped);
    assert_true(dpo_token_store_max_sequence_tokens(store) <= r.options.max_length);
    dpo_token_store_close(&store);
    run_end(&r);
    dpo_json_destroy(&golden);
}

static void truncated_sequences_are_those_of_trl(void **state)
{
    (void)state;
    check_truncated("text", "keep_start", DPO_TRUNCATE_KEEP_START);
    check_truncated("text", "keep_end", DPO_TRUNCATE_KEEP_END);
    check_truncated("chat", "keep_start", DPO_TRUNCATE_KEEP_START);
    check_truncated("chat", "keep_end", DPO_TRUNCATE_KEEP_END);
}

static const dpo_json *find(const dpo_json *golden, const char *key, const char *inner)
{
    return dpo_json_find(dpo_json_find(golden, key), inner);
}

/* Against a recorded run of TRL: ids of the first pair, and lengths of all. */
static void check_recorded(const run *r, const dpo_json *golden)
{
    dpo_token_store *store;
    int64_t n[3];
    int64_t x = 0;

    ASSERT_OK(open_store(r, &store));
    const int32_t *ids = dpo_token_store_prompt(store, 0, &n[0]);

    assert_ids(ids, n[0], find(golden, "tokens_first_pair", "prompt_ids"), 0);
    ids = dpo_token_store_response(store, 0, &n[1]);
    assert_ids(ids, n[1], find(golden, "tokens_first_pair", "chosen_ids"), 0);
    ids = dpo_token_store_response(store, 1, &n[2]);
    assert_ids(ids, n[2], find(golden, "tokens_first_pair", "rejected_ids"), 0);
    for (const dpo_json *i = dpo_json_first(dpo_json_find(golden, "lengths")); i != NULL;
         i = dpo_json_next(i), x++) {
        const dpo_json *want = dpo_json_first(i);

        (void)dpo_token_store_prompt(store, x, &n[0]);
        (void)dpo_token_store_response(store, 2 * x, &n[1]);
        (void)dpo_token_store_response(store, 2 * x + 1, &n[2]);
        for (int k = 0; k < 3; k++, want = dpo_json_next(want))
            assert_int_equal(n[k], (int64_t)dpo_json_number(want));
    }
    assert_int_equal(dpo_token_store_n_examples(store), x);
    dpo_token_store_close(&store);
}

static void recorded_runs_of_trl_are_tokenized_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *model;
    } cases[] = {{"stories260K-politeness", "shared/data/models/stories260K-hf"},
                 {"smollm2-politeness", "tmp/smollm2"}};
    const char *root = getenv("DPO_SOURCE_DIR");
    int n_found = 0;

    for (size_t c = 0; c < sizeof cases / sizeof cases[0] && root != NULL; c++) {
        char model[512];
        char pairs[512];
        char file[512];
        dpo_json *golden;
        run r;

        (void)snprintf(model, sizeof model, "%s/../%s", root, cases[c].model);
        (void)snprintf(pairs, sizeof pairs, "%s/../shared/data/golden/%s/pairs.jsonl", root,
                       cases[c].folder);
        (void)snprintf(file, sizeof file, "%s/../shared/data/golden/%s/sigmoid.json", root,
                       cases[c].folder);
        if (access(model, F_OK) != 0 || access(file, F_OK) != 0) continue;
        ASSERT_OK(dpo_json_read_file(file, DPO_JSON_STRICT, &golden));
        run_begin(&r, model, pairs);
        r.options.max_length = 512;
        ASSERT_OK(prepare(&r));
        check_recorded(&r, golden);
        run_end(&r);
        dpo_json_destroy(&golden);
        n_found++;
    }
    if (n_found == 0) skip();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(token_ids_of_texts_and_messages_are_those_of_trl),
    cmocka_unit_test(recorded_runs_of_trl_are_tokenized_the_same),
    cmocka_unit_test(truncated_sequences_are_those_of_trl),
};

MPI_TEST_MAIN(tests)
