// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/prepare.h"

#include <sys/stat.h>
#include <unistd.h>

#include "dpo/base/buffer.h"
#include "dpo/base/log.h"
#include "dpo/data/token_store.h"

#define FILES "data_prepare"
#include "prepare_run.h"

static void too_long_examples_are_dropped_or_refused_when_asked(void **state)
{
    (void)state;
    run r;

    run_begin(&r, FOLDER, FOLDER "/text.jsonl");
    r.options.max_length = 30;
    r.options.truncation = DPO_TRUNCATE_DROP;
    ASSERT_OK(prepare(&r));
    assert_int_equal(r.audit.n_dropped_too_long, 2);
    assert_int_equal(r.audit.n_examples, r.audit.n_records - 2);
    r.options.truncation = DPO_TRUNCATE_ERROR;
    ASSERT_FAILS(prepare(&r), DPO_EDATA, "text.jsonl, line 3: prompt and response have");
    r.options.max_length = 3;
    r.options.truncation = DPO_TRUNCATE_DROP;
    ASSERT_FAILS(prepare(&r), DPO_EDATA, "none of 9 examples is left: 9 too long");
    run_end(&r);
}

/* Many pairs of one line each, some lines blank. */
static void write_many(int n)
{
    dpo_buffer text = {0};

    for (int i = 0; i < n; i++) {
        if (i % 5 == 3) ASSERT_OK(dpo_buffer_append_text(&text, "\r\n"));
        ASSERT_OK(dpo_buffer_printf(&text,
                                    "{\"prompt\": \"number %d%.*s\", \"chosen\": \" is %d\", "
                                    "\"rejected\": \" is not %d\", \"score_chosen\": %d}\n",
                                    i, i % 31, "...............................", i, i, i));
    }
    write_input(dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
}

static dpo_digest digest_of_store(void)
{
    dpo_buffer bytes = {0};
    dpo_digest digest;

    ASSERT_OK(dpo_buffer_append_file(&bytes, store_path));
    digest = dpo_digest_of(bytes.data, bytes.size_bytes);
    dpo_buffer_destroy(&bytes);
    return digest;
}

static void the_order_is_that_of_the_lines(void **state)
{
    (void)state;
    dpo_token_store *store;
    run r;

    write_many(101);
    run_begin(&r, FOLDER, input_path);
    ASSERT_OK(prepare(&r));
    ASSERT_OK(open_store(&r, &store));
    assert_int_equal(dpo_token_store_n_examples(store), 101);
    assert_int_equal(dpo_token_store_n_prompts(store), 101);
    assert_int_equal(dpo_token_store_n_edges(store), 101);
    for (int64_t x = 0; x < 101; x++) {
        int64_t chosen;
        int64_t rejected;
        float weight;

        assert_int_equal(dpo_token_store_line(store, x), x + 1 + (x + 2) / 5);
        ASSERT_CLOSE(dpo_token_store_response_score(store, 2 * x), (double)x, 0.0);
        assert_true(isnan(dpo_token_store_response_score(store, 2 * x + 1)));
        dpo_token_store_edge(store, dpo_token_store_edges(store, x).begin, &chosen, &rejected,
                             &weight);
        assert_int_equal(chosen, 2 * x);
        assert_int_equal(rejected, 2 * x + 1);
    }
    dpo_token_store_close(&store);
    run_end(&r);
}

/* The number was found on one rank, and holds for any. */
static void the_contents_do_not_depend_on_the_number_of_ranks(void **state)
{
    (void)state;
    char hex[DPO_DIGEST_HEX_BYTES];
    run r;

    write_many(333);
    run_begin(&r, FOLDER, input_path);
    r.options.max_length = 20;
    r.options.truncation = DPO_TRUNCATE_KEEP_END;
    ASSERT_OK(prepare(&r));
    dpo_digest_to_hex(digest_of_arrays(), hex);
    assert_string_equal(hex, "23d94d5d0614381e07705c286c1c0933");
    run_end(&r);
}

static void a_limit_takes_the_first_records(void **state)
{
    (void)state;
    static const int64_t limits[] = {1, 4, 50, 100, 101, 1000};
    dpo_token_store *store;
    run r;

    write_many(101);
    run_begin(&r, FOLDER, input_path);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        int64_t n = limits[i] < 101 ? limits[i] : 101;

        r.source.limit = limits[i];
        ASSERT_OK(prepare(&r));
        ASSERT_OK(open_store(&r, &store));
        assert_int_equal(dpo_token_store_n_examples(store), n);
        ASSERT_CLOSE(dpo_token_store_response_score(store, 2 * (n - 1)), (double)(n - 1), 0.0);
        dpo_token_store_close(&store);
    }
    run_end(&r);
}

static void several_files_follow_one_another(void **state)
{
    (void)state;
    dpo_data_source sources[] = {{FOLDER "/text.jsonl", "first", 1.0, 3},
                                 {FOLDER "/chat.jsonl", NULL, 1.0, 0},
                                 {FOLDER "/text.jsonl", NULL, 1.0, 0}};
    dpo_token_store *store;
    run r;

    run_begin(&r, FOLDER, NULL);
    r.options.n_sources = 3;
    r.options.sources = sources;
    ASSERT_OK(prepare(&r));
    ASSERT_OK(open_store(&r, &store));
    assert_int_equal(dpo_token_store_n_examples(store), 3 + 6 + 9);
    for (int64_t x = 0; x < 18; x++) {
        int source = x < 3 ? 0 : x < 9 ? 1 : 2;

        assert_int_equal(dpo_token_store_source(store, x), source);
        assert_int_equal(dpo_token_store_line(store, x), x < 3 ? x + 1 : x < 9 ? x - 2 : x - 8);
    }
    assert_int_equal(dpo_token_store_n_sources(store), 3);
    assert_string_equal(dpo_token_store_source_name(store, 0), "first");
    assert_string_equal(dpo_token_store_source_name(store, 1), "chat");
    dpo_token_store_close(&store);
    run_end(&r);
}

static void the_same_inputs_are_not_tokenized_again(void **state)
{
    (void)state;
    dpo_audit first;
    struct stat before;
    struct stat after;
    run r;

    write_many(20);
    run_begin(&r, FOLDER, input_path);
    ASSERT_OK(prepare(&r));
    first = r.audit;
    assert_int_equal(stat(store_path, &before), 0);
    ASSERT_OK(prepare(&r));
    assert_int_equal(stat(store_path, &after), 0);
    ASSERT_ALL(before.st_ino == after.st_ino);
    assert_memory_equal(&first, &r.audit, sizeof first);
    r.options.max_length = 12;
    ASSERT_OK(prepare(&r));
    assert_int_equal(stat(store_path, &after), 0);
    ASSERT_ALL(before.st_ino != after.st_ino);
    assert_true(r.audit.n_truncated > 0);
    run_end(&r);
}

/* Changes a bit in the middle of the file, which is within its largest arrays. */
static void damage_store(void)
{
    dpo_barrier(test_grid, DPO_WORLD);
    if (rank_of_world() == 0) {
        FILE *file = fopen(store_path, "r+b");
        long middle;
        int c;

        assert_non_null(file);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        middle = ftell(file) / 2;
        assert_int_equal(fseek(file, middle, SEEK_SET), 0);
        c = fgetc(file);
        assert_int_equal(fseek(file, middle, SEEK_SET), 0);
        assert_int_equal(fputc(c ^ 1, file), c ^ 1);
        assert_int_equal(fclose(file), 0);
    }
    dpo_barrier(test_grid, DPO_WORLD);
}

static void a_damaged_store_is_made_anew(void **state)
{
    (void)state;
    dpo_digest whole;
    run r;

    write_many(500);
    run_begin(&r, FOLDER, input_path);
    ASSERT_OK(prepare(&r));
    whole = digest_of_store();
    damage_store();
    ASSERT_ALL(!dpo_digest_equal(whole, digest_of_store()));
    ASSERT_OK(prepare(&r));
    ASSERT_ALL(dpo_digest_equal(whole, digest_of_store()));
    run_end(&r);
}

/* Lines of a file of which some are bad; the first one is reported, on every rank. */
static void assert_first_bad_line(int n, int bad, const char *line, dpo_empty empty,
                                  const char *part)
{
    dpo_buffer text = {0};
    char place[128];
    run r;

    for (int i = 0; i < n; i++)
        ASSERT_OK(dpo_buffer_printf(
            &text, "%s\n",
            i < bad || i % 3 == 0 ? "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}"
                                  : line));
    write_input(dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
    run_begin(&r, FOLDER, input_path);
    r.options.empty = empty;
    dpo_status status = prepare(&r);

    (void)snprintf(place, sizeof place, "%s, line %d", input_path, bad + 1);
    ASSERT_ALL(status == DPO_EDATA);
    ASSERT_ALL(strstr(dpo_last_error()->text, place) != NULL);
    ASSERT_ALL(strstr(dpo_last_error()->text, part) != NULL);
    ASSERT_ALL(access(store_path, F_OK) != 0);
    run_end(&r);
}

static void the_first_bad_line_is_reported_on_every_rank(void **state)
{
    (void)state;
    assert_first_bad_line(40, 1, "{\"prompt\": 3}", DPO_EMPTY_ERROR, "\"prompt\" (a number)");
    assert_first_bad_line(40, 17, "not JSON", DPO_EMPTY_ERROR, "not valid JSON");
    assert_first_bad_line(40, 38, "{\"prompt\": \"p\"", DPO_EMPTY_ERROR, "ends too early");
    assert_first_bad_line(40, 25, "{\"prompt\": \"p\", \"chosen\": \"\", \"rejected\": \"r\"}",
                          DPO_EMPTY_ERROR, "response 1 is empty");
    assert_first_bad_line(40, 2, "\"x\"", DPO_EMPTY_DROP, "a text, expected an object");
}

static void empty_responses_are_dropped_or_kept_when_asked(void **state)
{
    (void)state;
    dpo_token_store *store;
    int64_t n;
    run r;

    write_input("{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"\"}\n"
                "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"c\"}\n");
    run_begin(&r, FOLDER, input_path);
    r.options.empty = DPO_EMPTY_DROP;
    ASSERT_OK(prepare(&r));
    assert_int_equal(r.audit.n_dropped_empty, 1);
    assert_int_equal(r.audit.n_examples, 1);
    assert_int_equal(r.audit.n_identical, 1);
    r.options.empty = DPO_EMPTY_KEEP;
    ASSERT_OK(prepare(&r));
    assert_int_equal(r.audit.n_empty, 1);
    ASSERT_OK(open_store(&r, &store));
    assert_int_equal(dpo_token_store_n_examples(store), 2);
    assert_int_equal(*dpo_token_store_response(store, 1, &n), dpo_tokenizer_eos(r.tokenizer));
    assert_int_equal(n, 1);
    dpo_token_store_close(&store);
    run_end(&r);
}

static void what_a_run_cannot_use_is_refused(void **state)
{
    (void)state;
    run r;

    run_begin(&r, FOLDER, FOLDER "/chat.jsonl");
    r.source.weight = 0.5;
    ASSERT_FAILS(prepare(&r), DPO_EUSAGE, "weight 0.5");
    r.source.weight = 1.0;
    r.options.max_length = 1;
    ASSERT_FAILS(prepare(&r), DPO_EUSAGE, "data.max_length");
    r.options.max_length = 0;
    r.options.chat_template = NULL;
    ASSERT_FAILS(prepare(&r), DPO_EDATA, "the model has no chat template");
    r.source.path = "/nonexistent.jsonl";
    ASSERT_FAILS(prepare(&r), DPO_EIO, "/nonexistent.jsonl");
    write_input("\n\n");
    r.source.path = input_path;
    ASSERT_FAILS(prepare(&r), DPO_EDATA, "no example in the file");
    run_end(&r);
}

static void a_store_of_another_vocabulary_is_refused(void **state)
{
    (void)state;
    dpo_token_store *store;
    run r;

    run_begin(&r, FOLDER, FOLDER "/text.jsonl");
    ASSERT_OK(prepare(&r));
    ASSERT_FAILS(dpo_token_store_open(test_grid, store_path, 100, &store), DPO_EDATA, "vocabulary");
    assert_null(store);
    run_end(&r);
}

static void the_audit_counts_what_is_in_the_file(void **state)
{
    (void)state;
    dpo_token_store *store;
    int64_t tokens[2] = {0, 0};
    int64_t n;
    run r;

    run_begin(&r, FOLDER, FOLDER "/text.jsonl");
    ASSERT_OK(prepare(&r));
    ASSERT_OK(open_store(&r, &store));
    for (int64_t p = 0; p < dpo_token_store_n_prompts(store); p++) {
        (void)dpo_token_store_prompt(store, p, &n);
        tokens[0] += n;
    }
    for (int64_t i = 0; i < dpo_token_store_n_responses(store); i++) {
        (void)dpo_token_store_response(store, i, &n);
        tokens[1] += n;
    }
    assert_int_equal(r.audit.prompt_tokens, tokens[0]);
    assert_int_equal(r.audit.response_tokens, tokens[1]);
    assert_int_equal(r.audit.chosen_tokens + r.audit.rejected_tokens, tokens[1]);
    assert_int_equal(r.audit.separate_tokens, 2 * tokens[0] + tokens[1]);
    assert_int_equal(r.audit.sequence.max, dpo_token_store_max_sequence_tokens(store));
    assert_int_equal(r.audit.n_identical, 1);
    assert_int_equal(r.audit.n_boundary_shifts, 2);
    assert_true(r.audit.prompt.p50 <= r.audit.prompt.p90 && r.audit.prompt.p50 > 0);
    dpo_token_store_close(&store);
    run_end(&r);
}

/* Any allocation may fail, on any rank: all learn of it, nobody waits for ever, nothing is left. */
static void no_memory_on_one_rank_fails_all(void **state)
{
    (void)state;
    int last = dpo_grid_size(test_grid, DPO_WORLD) - 1;
    dpo_status status = DPO_ENOMEM;
    int64_t n;
    run r;

    write_many(5);
    for (n = 1; status != DPO_OK; n += 7) {
        dpo_token_store *store = NULL;

        run_begin(&r, FOLDER, input_path);
        int64_t outstanding = dpo_memory_outstanding();

        if (rank_of_world() == last) dpo_memory_fail_after(n);
        status = prepare(&r);
        if (status == DPO_OK) status = open_store(&r, &store);
        dpo_memory_fail_after(0);
        dpo_token_store_close(&store);
        ASSERT_ALL(status == DPO_OK || status == DPO_ENOMEM);
        ASSERT_ALL(dpo_memory_outstanding() == outstanding);
        ASSERT_OK(dpo_agree_on(test_grid, "status", (int64_t)status));
        if (rank_of_world() == 0) (void)remove(store_path);
        dpo_chat_template_destroy(&r.chat_template);
        dpo_tokenizer_destroy(&r.tokenizer);
        assert_true(n < 5000);
    }
    assert_true(n > 100);
    remove_files();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(too_long_examples_are_dropped_or_refused_when_asked),
    cmocka_unit_test(the_order_is_that_of_the_lines),
    cmocka_unit_test(the_contents_do_not_depend_on_the_number_of_ranks),
    cmocka_unit_test(a_limit_takes_the_first_records),
    cmocka_unit_test(several_files_follow_one_another),
    cmocka_unit_test(the_same_inputs_are_not_tokenized_again),
    cmocka_unit_test(a_damaged_store_is_made_anew),
    cmocka_unit_test(the_first_bad_line_is_reported_on_every_rank),
    cmocka_unit_test(empty_responses_are_dropped_or_kept_when_asked),
    cmocka_unit_test(what_a_run_cannot_use_is_refused),
    cmocka_unit_test(a_store_of_another_vocabulary_is_refused),
    cmocka_unit_test(no_memory_on_one_rank_fails_all),
    cmocka_unit_test(the_audit_counts_what_is_in_the_file),
};

MPI_TEST_MAIN(tests)
