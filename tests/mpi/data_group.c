// SPDX-License-Identifier: Apache-2.0
/* data.group=prompt: which examples become one, and that nothing of them is lost. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "dpo/data/reference_cache.h"

#define FILES "data_group"
#include "prepare_run.h"

static void begin(run *r, const char *path)
{
    run_begin(r, FOLDER, path);
    r->options.group = DPO_GROUP_PROMPT;
}

static dpo_token_store *make(run *r)
{
    dpo_token_store *store;

    ASSERT_OK(prepare(r));
    ASSERT_OK(open_store(r, &store));
    return store;
}

static void assert_example(const dpo_token_store *store, int64_t example, int64_t n_responses,
                           int64_t n_edges, int64_t line)
{
    dpo_range responses = dpo_token_store_responses(store, example);

    assert_int_equal(dpo_range_length(responses), n_responses);
    assert_int_equal(dpo_range_length(dpo_token_store_edges(store, example)), n_edges);
    assert_int_equal(dpo_token_store_line(store, example), line);
    for (int64_t r = responses.begin; r < responses.end; r++)
        assert_int_equal(dpo_token_store_response_prompt(store, r),
                         dpo_token_store_response_prompt(store, responses.begin));
}

static void pairs_of_one_prompt_become_one_example(void **state)
{
    (void)state;
    dpo_token_store *store;
    run r;

    begin(&r, FOLDER "/answers.jsonl");
    store = make(&r);
    assert_int_equal(dpo_token_store_n_examples(store), 4);
    assert_int_equal(dpo_token_store_n_prompts(store), 4);
    assert_example(store, 0, 4, 6, 1);
    assert_example(store, 1, 3, 3, 2);
    assert_example(store, 2, 2, 1, 5);
    assert_example(store, 3, 2, 2, 8);
    dpo_token_store_close(&store);
    run_end(&r);
}

static void the_audit_tells_how_many_were_joined(void **state)
{
    (void)state;
    dpo_audit pairs;
    run r;

    run_begin(&r, FOLDER, FOLDER "/answers.jsonl");
    ASSERT_OK(prepare(&r));
    pairs = r.audit;
    assert_int_equal(pairs.n_joined, 0);
    r.options.group = DPO_GROUP_PROMPT;
    ASSERT_OK(prepare(&r));
    assert_int_equal(r.audit.n_records, 12);
    assert_int_equal(r.audit.n_examples, 4);
    assert_int_equal(r.audit.n_joined, 8);
    assert_int_equal(r.audit.n_responses, 11);
    assert_int_equal(r.audit.n_edges, 12);
    assert_int_equal(r.audit.chosen_tokens, pairs.chosen_tokens);
    assert_int_equal(r.audit.rejected_tokens, pairs.rejected_tokens);
    assert_int_equal(r.audit.separate_tokens, pairs.separate_tokens);
    assert_true(r.audit.prompt_tokens < pairs.prompt_tokens);
    assert_true(r.audit.response_tokens < pairs.response_tokens);
    run_end(&r);
}

/* An edge by the tokens at its ends. */
static dpo_digest name_of_edge(const dpo_token_store *store, int64_t edge)
{
    int64_t ends[2];
    dpo_digest names[2];
    float weight;

    dpo_token_store_edge(store, edge, &ends[0], &ends[1], &weight);
    for (int i = 0; i < 2; i++) {
        int64_t n[2];
        const int32_t *prompt =
            dpo_token_store_prompt(store, dpo_token_store_response_prompt(store, ends[i]), &n[0]);
        const int32_t *response = dpo_token_store_response(store, ends[i], &n[1]);

        names[i] = dpo_reference_digest(n[0], prompt, n[1], response);
    }
    return dpo_digest_join(names[0], names[1]);
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(dpo_digest));
}

/* All comparisons, duplicates too, in an order of their own. */
static dpo_digest *list_edges(const dpo_token_store *store, int64_t *n)
{
    dpo_digest *edges;

    *n = dpo_token_store_n_edges(store);
    ASSERT_OK(DPO_NEW(edges, *n));
    for (int64_t e = 0; e < *n; e++)
        edges[e] = name_of_edge(store, e);
    qsort(edges, (size_t)*n, sizeof *edges, by_digest);
    return edges;
}

static void assert_same_comparisons(run *r, const char *path)
{
    dpo_digest *edges[2];
    int64_t n[2];

    r->source.path = path;
    for (int grouped = 0; grouped < 2; grouped++) {
        r->options.group = grouped ? DPO_GROUP_PROMPT : DPO_GROUP_NONE;
        dpo_token_store *store = make(r);

        edges[grouped] = list_edges(store, &n[grouped]);
        dpo_token_store_close(&store);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(edges[0], edges[1], (size_t)n[0] * sizeof *edges[0]);
    dpo_free(edges[0]);
    dpo_free(edges[1]);
}

/* Pairs of n prompts in a random order, with few different answers, some of them equal in a pair. */
static void write_random(int n_pairs, int n_prompts, int n_answers)
{
    dpo_buffer text = {0};
    unsigned x = 1;

    for (int i = 0; i < n_pairs; i++) {
        int v[3];

        for (int k = 0; k < 3; k++) {
            x = x * 1103515245u + 12345u;
            v[k] = (int)(x >> 16 & 0x7FFF);
        }
        ASSERT_OK(dpo_buffer_printf(&text,
                                    "{\"prompt\": \"%.*s question %d.\", \"chosen\": \" It is "
                                    "%d%.*s.\", \"rejected\": \" It is %d.\"}\n",
                                    v[0] % n_prompts % 40, "a long beginning of a question of some",
                                    v[0] % n_prompts, v[1] % n_answers, v[1] % n_answers * 3,
                                    ", so it is and it is ............", v[2] % n_answers));
    }
    write_input(dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
}

static void no_comparison_is_lost_and_none_added(void **state)
{
    (void)state;
    run r;

    write_random(300, 20, 6);
    begin(&r, input_path);
    assert_same_comparisons(&r, FOLDER "/answers.jsonl");
    assert_same_comparisons(&r, FOLDER "/text.jsonl");
    assert_same_comparisons(&r, FOLDER "/chat.jsonl");
    assert_same_comparisons(&r, input_path);
    r.options.max_length = 40;
    assert_same_comparisons(&r, input_path);
    r.options.truncation = DPO_TRUNCATE_KEEP_END;
    assert_same_comparisons(&r, input_path);
    run_end(&r);
}

/* The numbers were found on one rank, and hold for any. */
static void the_contents_do_not_depend_on_the_number_of_ranks(void **state)
{
    (void)state;
    static const char *const want[] = {"d923d7398f44bc3496951c52bc49e34b",
                                       "937d606474482fe5441c8b520411734e"};
    run r;

    write_random(301, 33, 7);
    begin(&r, input_path);
    r.options.max_length = 40;
    for (int i = 0; i < 2; i++) {
        char hex[DPO_DIGEST_HEX_BYTES];

        r.options.truncation = i == 0 ? DPO_TRUNCATE_KEEP_START : DPO_TRUNCATE_KEEP_END;
        ASSERT_OK(prepare(&r));
        assert_true(r.audit.n_joined > 50);
        dpo_digest_to_hex(digest_of_arrays(), hex);
        assert_string_equal(hex, want[i]);
    }
    run_end(&r);
}

static void equal_answers_of_one_pair_stay_apart(void **state)
{
    (void)state;
    dpo_token_store *store;
    run r;

    write_input("{\"prompt\": \"p\", \"chosen\": \" a\", \"rejected\": \" b\"}\n"
                "{\"prompt\": \"p\", \"chosen\": \" a\", \"rejected\": \" a\"}\n"
                "{\"prompt\": \"p\", \"chosen\": \" a\", \"rejected\": \" a\"}\n");
    begin(&r, input_path);
    store = make(&r);
    assert_int_equal(dpo_token_store_n_examples(store), 1);
    assert_example(store, 0, 3, 3, 1);
    dpo_token_store_close(&store);
    run_end(&r);
}

static void a_response_keeps_the_first_score_it_has(void **state)
{
    (void)state;
    dpo_token_store *store;
    run r;

    write_input(
        "{\"prompt\": \"p\", \"chosen\": \" a\", \"rejected\": \" b\"}\n"
        "{\"prompt\": \"p\", \"chosen\": \" a\", \"rejected\": \" b\", \"score_chosen\": 2}\n"
        "{\"prompt\": \"p\", \"chosen\": \" a\", \"rejected\": \" b\", \"score_chosen\": 5}\n");
    begin(&r, input_path);
    store = make(&r);
    assert_example(store, 0, 2, 3, 1);
    ASSERT_CLOSE(dpo_token_store_response_score(store, 0), 2.0, 0.0);
    assert_true(isnan(dpo_token_store_response_score(store, 1)));
    dpo_token_store_close(&store);
    run_end(&r);
}

static void sources_of_a_data_set_are_joined(void **state)
{
    (void)state;
    const dpo_data_source sources[] = {{FOLDER "/text.jsonl", "first", 1.0, 3},
                                       {FOLDER "/answers.jsonl", NULL, 1.0, 0},
                                       {FOLDER "/answers.jsonl", "again", 1.0, 2}};
    dpo_token_store *store;
    run r;

    begin(&r, NULL);
    r.options.n_sources = 3;
    r.options.sources = sources;
    store = make(&r);
    assert_int_equal(dpo_token_store_n_examples(store), 3 + 4);
    assert_example(store, 3, 4, 7, 1);
    assert_example(store, 4, 3, 4, 2);
    assert_int_equal(dpo_token_store_source(store, 3), 1);
    dpo_token_store_close(&store);
    run_end(&r);
}

/* With keep_end a sequence that is cut keeps its own part of the prompt. */
static void only_equal_truncated_prompts_are_joined(void **state)
{
    (void)state;
    dpo_token_store *store;
    run r;

    write_input("{\"prompt\": \"one two three\", \"chosen\": \" a\", \"rejected\": \" b\"}\n"
                "{\"prompt\": \"one two three\", \"chosen\": \" b\", \"rejected\": \" c\"}\n"
                "{\"prompt\": \"one two three\", \"chosen\": \" a\", \"rejected\": "
                "\" b b b b b b b b b b b b\"}\n");
    begin(&r, input_path);
    store = make(&r);
    assert_int_equal(dpo_token_store_n_examples(store), 1);
    r.options.max_length = r.audit.sequence.max - 1;
    dpo_token_store_close(&store);
    r.options.truncation = DPO_TRUNCATE_KEEP_END;
    store = make(&r);
    assert_int_equal(dpo_token_store_n_examples(store), 2);
    assert_example(store, 0, 3, 2, 1);
    assert_int_equal(dpo_token_store_n_prompts(store), 3);
    dpo_token_store_close(&store);
    run_end(&r);
}

static void many_answers_of_a_prompt_are_several_examples(void **state)
{
    (void)state;
    dpo_buffer text = {0};
    dpo_token_store *store;
    run r;

    for (int i = 0; i < 50; i++)
        ASSERT_OK(dpo_buffer_printf(
            &text, "{\"prompt\": \"p\", \"chosen\": \" is %d\", \"rejected\": \" or %d\"}\n", i,
            i));
    write_input(dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
    begin(&r, input_path);
    store = make(&r);
    assert_int_equal(dpo_token_store_n_examples(store), 7);
    for (int i = 0; i < 6; i++)
        assert_example(store, i, DPO_GROUP_RESPONSES, DPO_GROUP_RESPONSES / 2, 1 + 8 * i);
    assert_example(store, 6, 4, 2, 49);
    dpo_token_store_close(&store);
    run_end(&r);
}

static dpo_status open_cache(run *r, dpo_token_store **store, dpo_reference_cache **cache)
{
    static const dpo_reference_key key = {{1, 2}, "a model"};
    dpo_digest *digests;
    int64_t *n_tokens;

    *store = make(r);
    int64_t n = dpo_token_store_n_responses(*store);

    ASSERT_OK(DPO_NEW(digests, n));
    ASSERT_OK(DPO_NEW(n_tokens, n));
    ASSERT_OK(dpo_reference_digests(test_grid, *store, digests, n_tokens));
    const dpo_reference_wanted wanted = {n, digests, n_tokens};
    dpo_status status =
        dpo_reference_cache_open(test_grid, FILES "_reference.h5", &key, &wanted, cache);

    dpo_free(digests);
    dpo_free(n_tokens);
    return status;
}

/* Rank 0 puts what is missing; returns how many that were. */
static int64_t complete_cache(run *r)
{
    const float logps[4096] = {0};
    dpo_token_store *store;
    dpo_reference_cache *cache;
    dpo_status status = DPO_OK;
    int64_t n;

    ASSERT_OK(open_cache(r, &store, &cache));
    const int64_t *missing = dpo_reference_cache_missing(cache, &n);

    for (int64_t i = 0; i < n && rank_of_world() == 0 && status == DPO_OK; i++)
        status = dpo_reference_cache_put(cache, missing[i], logps);
    ASSERT_OK(dpo_reference_cache_commit(test_grid, status, cache));
    dpo_reference_cache_close(&cache);
    dpo_token_store_close(&store);
    return n;
}

static void remove_cache(void)
{
    dpo_barrier(test_grid, DPO_WORLD);
    if (rank_of_world() == 0) (void)remove(FILES "_reference.h5");
    dpo_barrier(test_grid, DPO_WORLD);
}

static void reference_entries_are_those_of_the_pairs(void **state)
{
    (void)state;
    static const dpo_truncation truncations[] = {DPO_TRUNCATE_KEEP_START, DPO_TRUNCATE_KEEP_END};
    run r;

    write_random(120, 9, 5);
    for (int i = 0; i < 4; i++) {
        run_begin(&r, FOLDER, i % 2 == 0 ? FOLDER "/answers.jsonl" : input_path);
        remove_cache();
        r.options.max_length = i % 2 == 0 ? 0 : 40;
        r.options.truncation = truncations[i / 2];
        r.options.group = i / 2 == 0 ? DPO_GROUP_NONE : DPO_GROUP_PROMPT;
        assert_true(complete_cache(&r) > 0);
        r.options.group = i / 2 == 0 ? DPO_GROUP_PROMPT : DPO_GROUP_NONE;
        assert_int_equal(complete_cache(&r), 0);
        dpo_chat_template_destroy(&r.chat_template);
        dpo_tokenizer_destroy(&r.tokenizer);
    }
    remove_cache();
    remove_files();
}

static void grouped_and_ungrouped_are_different_data(void **state)
{
    (void)state;
    dpo_digest digests[2];
    run r;

    begin(&r, FOLDER "/answers.jsonl");
    for (int grouped = 0; grouped < 2; grouped++) {
        r.options.group = grouped ? DPO_GROUP_PROMPT : DPO_GROUP_NONE;
        dpo_token_store *store = make(&r);

        digests[grouped] = dpo_token_store_digest(store);
        dpo_token_store_close(&store);
    }
    assert_false(dpo_digest_equal(digests[0], digests[1]));
    run_end(&r);
}

static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    int last = dpo_grid_size(test_grid, DPO_WORLD) - 1;
    dpo_status status = DPO_ENOMEM;
    run r;

    write_random(12, 3, 4);
    begin(&r, input_path);
    int64_t outstanding = dpo_memory_outstanding();

    for (int64_t n = 1; status != DPO_OK; n += 11) {
        if (rank_of_world() == last) dpo_memory_fail_after(n);
        status = prepare(&r);
        dpo_memory_fail_after(0);
        ASSERT_ALL(status == DPO_OK || status == DPO_ENOMEM);
        ASSERT_ALL(dpo_memory_outstanding() == outstanding);
        ASSERT_OK(dpo_agree_on(test_grid, "status", (int64_t)status));
        assert_true(n < 9000);
    }
    run_end(&r);
}

/* 2616 human comparisons of four answers to each of some 488 questions. */
static void human_comparisons_of_four_answers_are_joined(void **state)
{
    (void)state;
    const char *root = getenv("DPO_SOURCE_DIR");
    char model[512];
    char pairs[512];
    run r;

    if (root == NULL) skip();
    (void)snprintf(model, sizeof model, "%s/../tmp/smollm2", root);
    (void)snprintf(pairs, sizeof pairs, "%s/../shared/data/preferences/fgrlhf-qa-human.jsonl",
                   root);
    if (access(model, F_OK) != 0 || access(pairs, F_OK) != 0) skip();
    run_begin(&r, model, pairs);
    assert_same_comparisons(&r, pairs);
    assert_int_equal(r.audit.n_records, 2616);
    assert_int_equal(r.audit.n_examples, 488);
    assert_int_equal(r.audit.n_joined, 2616 - 488);
    assert_int_equal(r.audit.n_edges, 2616);
    run_end(&r);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(pairs_of_one_prompt_become_one_example),
    cmocka_unit_test(the_audit_tells_how_many_were_joined),
    cmocka_unit_test(no_comparison_is_lost_and_none_added),
    cmocka_unit_test(the_contents_do_not_depend_on_the_number_of_ranks),
    cmocka_unit_test(equal_answers_of_one_pair_stay_apart),
    cmocka_unit_test(a_response_keeps_the_first_score_it_has),
    cmocka_unit_test(sources_of_a_data_set_are_joined),
    cmocka_unit_test(only_equal_truncated_prompts_are_joined),
    cmocka_unit_test(many_answers_of_a_prompt_are_several_examples),
    cmocka_unit_test(reference_entries_are_those_of_the_pairs),
    cmocka_unit_test(grouped_and_ungrouped_are_different_data),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(human_comparisons_of_four_answers_are_joined),
};

MPI_TEST_MAIN(tests)
