// SPDX-License-Identifier: Apache-2.0
/*
 * What a micro-batch lays out: every text is the path from a root of the forest to where it ends, whatever it shares
 * with others, and what texts begin with alike is there once.
 */
#include "dpo/base/log.h"
#include "dpo/base/random.h"
#include "dpo/train/session.h"
#include "train_run.h"

#define BEGINNINGS DPO_TEST_DATA "/preferences/beginnings.jsonl"
#define ANSWERS    DPO_TEST_DATA "/preferences/answers.jsonl"
#define PAIRS      DPO_TEST_DATA "/trl-stories/pairs.jsonl"

enum { MAX_EXAMPLES = 256, MAX_TOKENS = 1 << 15, WORTH = 16 };

typedef struct {
    dpo_run_config run;
    dpo_session session;
    const dpo_token_store *store;
    dpo_microbatch m;
    int64_t n_examples, example[MAX_EXAMPLES];
    char out[64];
} fixture;

static void set_up(fixture *f, const char *data)
{
    make_scratch(f->out);
    configure("{}", "{}", data, f->out, &f->run);
    dpo_log_set_level(DPO_LOG_SILENT);
    ASSERT_OK(dpo_session_open(test_grid, &f->run, 1u << DPO_SET_TRAIN, &f->session));
    ASSERT_OK(dpo_microbatch_create(MAX_TOKENS, MAX_TOKENS, &f->m));
    f->store = f->session.set[DPO_SET_TRAIN].store;
    f->n_examples = dpo_token_store_n_examples(f->store);
    assert_true(f->n_examples <= MAX_EXAMPLES);
    for (int64_t x = 0; x < f->n_examples; x++)
        f->example[x] = x;
}

static void tear_down(fixture *f)
{
    dpo_microbatch_destroy(&f->m);
    dpo_session_close(&f->session);
    dpo_run_config_destroy(&f->run);
    remove_scratch(f->out);
}

static int64_t segment_of(const fixture *f, int64_t token)
{
    int64_t s = 0;

    while (f->m.batch.segments.begin[s + 1] <= token)
        s++;
    return s;
}

/* Where the tokens before and at `token` on its path lie. Returns how many. */
static int64_t walk_up(const fixture *f, int64_t token, int64_t *at)
{
    const dpo_segments *segments = &f->m.batch.segments;
    int64_t n = 0;

    for (int64_t s = segment_of(f, token), last = token; s >= 0; s = segments->parent[s]) {
        for (int64_t i = last; i >= segments->begin[s]; i--)
            at[n++] = i;
        if (segments->parent[s] >= 0) last = segments->begin[segments->parent[s] + 1] - 1;
    }
    for (int64_t i = 0; i < n / 2; i++) {
        int64_t swap = at[i];

        at[i] = at[n - 1 - i];
        at[n - 1 - i] = swap;
    }
    return n;
}

/* Prompt and response are what the rows' paths spell and predict. */
static void assert_spelled(const fixture *f, int64_t r)
{
    int64_t n_prompt, n_response, response = f->m.response[r];
    int64_t at[MAX_TOKENS];
    const int32_t *prompt = dpo_token_store_prompt(
        f->store, dpo_token_store_response_prompt(f->store, response), &n_prompt);
    const int32_t *tokens = dpo_token_store_response(f->store, response, &n_response);
    dpo_range rows = f->m.rows[r];

    assert_int_equal(dpo_range_length(rows), n_response);
    for (int64_t t = 0; t < n_response; t++) {
        assert_int_equal(f->m.batch.target[rows.begin + t], tokens[t]);
        assert_int_equal(walk_up(f, f->m.batch.row[rows.begin + t], at), n_prompt + t);
    }
    for (int64_t i = 0; i < n_prompt + n_response - 1; i++)
        assert_int_equal(f->m.batch.token[at[i]], i < n_prompt ? prompt[i] : tokens[i - n_prompt]);
}

static void assert_laid_out(fixture *f, bool shares)
{
    const dpo_batch *batch = &f->m.batch;
    int64_t n_responses = 0, bound = f->session.set[DPO_SET_TRAIN].common_tokens, rows = 0;

    dpo_microbatch_build(&f->m, f->store, f->n_examples, f->example, shares);
    for (int64_t i = 0; i < f->n_examples; i++) {
        dpo_range own = dpo_token_store_responses(f->store, f->example[i]);
        dpo_example_cost cost = f->session.set[DPO_SET_TRAIN].costs[f->example[i]];

        for (int64_t r = own.begin; r < own.end; r++)
            assert_int_equal(f->m.response[n_responses++], r);
        bound += cost.tokens;
        rows += cost.rows;
    }
    assert_int_equal(f->m.n_responses, n_responses);
    assert_int_equal(batch->n_tokens, dpo_segments_n_tokens(&batch->segments));
    if (shares) assert_true(batch->n_tokens <= bound && batch->n_rows <= rows);
    for (int64_t r = 0; r < n_responses; r++)
        assert_spelled(f, r);
}

static void every_text_is_a_path(void **state)
{
    const char *files[] = {BEGINNINGS, ANSWERS, PAIRS};

    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f;

        set_up(&f, files[i]);
        assert_laid_out(&f, false);
        for (int64_t n = f.n_examples; n >= 0;
             n -= 1 + n / 8) { /* fewer and fewer, in other orders */
            f.n_examples = n;
            for (int64_t j = 0; j + 1 < n; j++) {
                int64_t other =
                    j + (int64_t)(dpo_random_uniform(7, DPO_STREAM_TEST, (uint32_t)n, (uint64_t)j) *
                                  (double)(n - j));
                int64_t swap = f.example[j];

                f.example[j] = f.example[other];
                f.example[other] = swap;
            }
            assert_laid_out(&f, true);
        }
        tear_down(&f);
    }
}

/* Brute force: of all texts, the different beginnings that are worth sharing, counted token by token. */
static int64_t text_of(const fixture *f, int64_t r, int32_t *text, int64_t *n_prompt)
{
    int64_t n;
    const int32_t *prompt = dpo_token_store_prompt(
        f->store, dpo_token_store_response_prompt(f->store, f->m.response[r]), n_prompt);
    const int32_t *response = dpo_token_store_response(f->store, f->m.response[r], &n);

    for (int64_t i = 0; i < *n_prompt + n - 1; i++)
        text[i] = i < *n_prompt ? prompt[i] : response[i - *n_prompt];
    return *n_prompt + n - 1;
}

static void beginnings_are_laid_out_once(void **state)
{
    fixture f;
    int64_t path[2][MAX_TOKENS];
    int32_t text[2][MAX_TOKENS];

    (void)state;
    set_up(&f, BEGINNINGS);
    dpo_microbatch_build(&f.m, f.store, f.n_examples, f.example, true);
    assert_int_equal(f.m.batch.segments.parent[0], -1);
    for (int64_t s = 1; s < f.m.batch.segments.n_segments; s++)
        assert_true(f.m.batch.segments.parent[s] >= 0);
    for (int64_t a = 0; a < f.m.n_responses; a++)
        for (int64_t b = 0; b < a; b++) {
            int64_t n_prompt[2], common = 0, shared = 0;
            int64_t n_a = text_of(&f, a, text[0], &n_prompt[0]);
            int64_t n_b = text_of(&f, b, text[1], &n_prompt[1]);

            (void)walk_up(&f, f.m.batch.row[f.m.rows[a].end - 1], path[0]);
            (void)walk_up(&f, f.m.batch.row[f.m.rows[b].end - 1], path[1]);
            while (common < n_a && common < n_b && text[0][common] == text[1][common])
                common++;
            while (shared < n_a && shared < n_b && path[0][shared] == path[1][shared])
                shared++;
            assert_true(shared <= common);
            /* Where both are in their prompts all is shared, and so are a prompt and a long beginning behind it. */
            if (common < n_prompt[0] && common < n_prompt[1]) assert_int_equal(shared, common);
            if (n_prompt[0] == n_prompt[1] && common >= n_prompt[0]) {
                assert_true(shared >= n_prompt[0]);
                if (common - n_prompt[0] >= WORTH) assert_int_equal(shared, common);
            }
        }
    tear_down(&f);
}

static void the_same_text_has_the_same_rows(void **state)
{
    fixture f;
    int64_t n_rows = 0, n_same = 0;

    (void)state;
    set_up(&f, BEGINNINGS);
    dpo_microbatch_build(&f.m, f.store, f.n_examples, f.example, true);
    for (int64_t a = 0; a < f.m.n_responses; a++) {
        bool is_first = true;

        for (int64_t b = 0; b < a; b++)
            if (f.m.rows[a].begin == f.m.rows[b].begin) is_first = false;
        n_same += !is_first;
        if (is_first) n_rows += dpo_range_length(f.m.rows[a]);
    }
    assert_int_equal(n_same, 4); /* answers of lines 4, 5, 6 and 7 */
    assert_int_equal(f.m.batch.n_rows, n_rows);
    tear_down(&f);
}

static void different_beginnings_have_no_common_tokens(void **state)
{
    fixture f;

    (void)state;
    set_up(&f, PAIRS);
    assert_int_equal(f.session.set[DPO_SET_TRAIN].common_tokens, 0);
    tear_down(&f);
    set_up(&f, BEGINNINGS);
    assert_true(f.session.set[DPO_SET_TRAIN].common_tokens >= WORTH);
    tear_down(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_text_is_a_path),
    cmocka_unit_test(beginnings_are_laid_out_once),
    cmocka_unit_test(the_same_text_has_the_same_rows),
    cmocka_unit_test(different_beginnings_have_no_common_tokens),
};

MPI_TEST_MAIN(tests)
