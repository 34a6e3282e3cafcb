// SPDX-License-Identifier: Apache-2.0
/* tests/data/tokenizers.json is what Hugging Face `tokenizers` makes of the same files and texts;
   tools/tokenizer-golden writes it. */
#include <stdlib.h>

#include "dpo/base/json.h"
#include "dpo/text/tokenizer.h"
#include "unit_test.h"

static dpo_json *golden;

static int read_golden(void **state)
{
    (void)state;
    return dpo_json_read_file(DPO_TEST_DATA "/tokenizers.json", DPO_JSON_STRICT, &golden) != DPO_OK;
}

static int forget_golden(void **state)
{
    dpo_json_destroy(&golden);
    return nothing_outstanding(state);
}

/* Memory that is outstanding beside the golden document. */
static int64_t before;

static int begin(void **state)
{
    (void)state;
    before = dpo_memory_outstanding();
    return 0;
}

static int end(void **state)
{
    (void)state;
    return dpo_memory_outstanding() != before;
}

#define GOLDEN_TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

static void check_ids(const char *name, const char *text, const dpo_json *want,
                      const dpo_buffer *ids)
{
    const int32_t *id = ids->data;
    int64_t n = ids->size_bytes / (int64_t)sizeof *id;
    int64_t i = 0;

    for (const dpo_json *w = dpo_json_first(want); w != NULL; w = dpo_json_next(w), i++) {
        int32_t got = i < n ? id[i] : -1;

        if (got != (int32_t)dpo_json_number(w))
            fail_msg("%s: \"%s\": id %lld is %d, expected %d", name, text, (long long)i, (int)got,
                     (int)dpo_json_number(w));
    }
    if (i != n)
        fail_msg("%s: \"%s\": %lld ids, expected %lld", name, text, (long long)n, (long long)i);
}

static void check_decoded(const char *name, const dpo_tokenizer *tokenizer, const dpo_buffer *ids,
                          bool skip_special, const char *want)
{
    dpo_buffer text = {0};

    ASSERT_OK(dpo_tokenizer_decode(tokenizer, ids->data, ids->size_bytes / (int64_t)sizeof(int32_t),
                                   skip_special, &text));
    if (strcmp(dpo_buffer_text(&text), want) != 0)
        fail_msg("%s: decoded to \"%s\", expected \"%s\"", name, dpo_buffer_text(&text), want);
    dpo_buffer_destroy(&text);
}

/* A row is [ids, text with special tokens, text without]. */
static void check_row(const char *name, const dpo_tokenizer *tokenizer, const char *text,
                      const dpo_json *row)
{
    const dpo_json *want_ids = dpo_json_first(row);
    const dpo_json *want_text = dpo_json_next(want_ids);
    dpo_buffer ids = {0};

    ASSERT_OK(dpo_tokenizer_encode(tokenizer, text, (int64_t)strlen(text), true, &ids));
    check_ids(name, text, want_ids, &ids);
    check_decoded(name, tokenizer, &ids, false, dpo_json_text(want_text));
    check_decoded(name, tokenizer, &ids, true, dpo_json_text(dpo_json_next(want_text)));
    dpo_buffer_destroy(&ids);
}

static void check_results(const char *name, const dpo_tokenizer *tokenizer, const dpo_json *results)
{
    const dpo_json *text = dpo_json_first(dpo_json_find(golden, "texts"));

    assert_int_equal(dpo_json_count(results), dpo_json_count(dpo_json_find(golden, "texts")));
    for (const dpo_json *row = dpo_json_first(results); row != NULL;
         row = dpo_json_next(row), text = dpo_json_next(text))
        check_row(name, tokenizer, dpo_json_text(text), row);
}

/* The parts of a case and its model are a tokenizer.json. */
static void make(const dpo_json *item, dpo_tokenizer **tokenizer)
{
    const char *name = dpo_json_text(dpo_json_find(item, "model"));
    dpo_buffer text = {0};
    dpo_json *root;
    dpo_json *model;

    ASSERT_OK(dpo_json_copy(dpo_json_find(item, "parts"), &root));
    ASSERT_OK(dpo_json_copy(dpo_json_find(dpo_json_find(golden, "models"), name), &model));
    ASSERT_OK(dpo_json_put_node(root, "model", &model));
    ASSERT_OK(dpo_json_print(root, false, &text));
    ASSERT_OK(
        dpo_tokenizer_parse("golden", dpo_buffer_text(&text), text.size_bytes, NULL, tokenizer));
    dpo_json_destroy(&root);
    dpo_buffer_destroy(&text);
}

static void every_component_does_as_tokenizers(void **state)
{
    const dpo_json *cases = dpo_json_find(golden, "cases");
    dpo_tokenizer *tokenizer;

    (void)state;
    assert_true(dpo_json_count(cases) > 30);
    for (const dpo_json *item = dpo_json_first(cases); item != NULL; item = dpo_json_next(item)) {
        make(item, &tokenizer);
        check_results(dpo_json_key(item), tokenizer, dpo_json_find(item, "results"));
        dpo_tokenizer_destroy(&tokenizer);
    }
}

static void a_real_model_does_as_tokenizers(void **state)
{
    dpo_tokenizer *tokenizer;

    (void)state;
    ASSERT_OK(dpo_tokenizer_load(DPO_TEST_DATA "/../../configs/stories260K", &tokenizer));
    check_results("stories260K", tokenizer, dpo_json_find(golden, "stories260K"));
    assert_int_equal(dpo_tokenizer_size(tokenizer), 512);
    assert_int_equal(dpo_tokenizer_bos(tokenizer), 1);
    assert_string_equal(dpo_tokenizer_eos_text(tokenizer), "</s>");
    dpo_tokenizer_destroy(&tokenizer);
}

/* Path of a file of the shared data, which need not be there. */
static const char *shared(const char *name, dpo_buffer *path)
{
    const char *source = getenv("DPO_SOURCE_DIR");

    dpo_buffer_clear(path);
    ASSERT_OK(dpo_buffer_printf(path, "%s/../shared/data/%s", source != NULL ? source : ".", name));
    return dpo_buffer_text(path);
}

static void append_merges(const char *path, dpo_json *merges)
{
    dpo_buffer text = {0};

    ASSERT_OK(dpo_buffer_append_file(&text, path));
    for (char *line = strtok(text.data, "\n"); line != NULL; line = strtok(NULL, "\n"))
        ASSERT_OK(dpo_json_put_text(merges, NULL, line));
    dpo_buffer_destroy(&text);
}

/* A tokenizer.json of the files that came with GPT-2. */
static void make_gpt_2(dpo_tokenizer **tokenizer)
{
    static const char frame[] =
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"merges\":[]}}";
    dpo_buffer path = {0};
    dpo_buffer text = {0};
    dpo_json *root;
    dpo_json *vocab;

    ASSERT_OK(dpo_json_parse("frame", frame, sizeof frame - 1, DPO_JSON_STRICT, &root));
    append_merges(shared("models/gpt2/vocab.bpe", &path),
                  dpo_json_find(dpo_json_find(root, "model"), "merges"));
    ASSERT_OK(
        dpo_json_read_file(shared("models/gpt2/encoder.json", &path), DPO_JSON_STRICT, &vocab));
    ASSERT_OK(dpo_json_put_node(dpo_json_find(root, "model"), "vocab", &vocab));
    ASSERT_OK(dpo_json_print(root, false, &text));
    ASSERT_OK(
        dpo_tokenizer_parse("GPT-2", dpo_buffer_text(&text), text.size_bytes, NULL, tokenizer));
    dpo_json_destroy(&root);
    dpo_buffer_destroy(&path);
    dpo_buffer_destroy(&text);
}

/* Compares with a line of decimal ids and returns the next line. */
static char *check_line(const dpo_tokenizer *tokenizer, const char *text, char *line)
{
    dpo_buffer ids = {0};
    char *next = strchr(line, '\n');

    if (next != NULL) *next = '\0';
    ASSERT_OK(dpo_tokenizer_encode(tokenizer, text, (int64_t)strlen(text), false, &ids));
    for (int64_t i = 0; i < ids.size_bytes / (int64_t)sizeof(int32_t); i++) {
        long want = strtol(line, &line, 10);

        if (((const int32_t *)ids.data)[i] != want) fail_msg("\"%s\": expected id %ld", text, want);
    }
    assert_int_equal(strspn(line, " "), strlen(line));
    check_decoded("GPT-2", tokenizer, &ids, false, text);
    dpo_buffer_destroy(&ids);
    return next != NULL ? next + 1 : line + strlen(line);
}

/* Hard texts, a separator between them, and their ids, a line each. */
static void gpt_2_finds_the_known_ids(void **state)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    dpo_buffer path = {0};
    dpo_buffer texts = {0};
    dpo_buffer ids = {0};
    dpo_tokenizer *tokenizer;

    (void)state;
    if (dpo_buffer_append_file(&texts, shared("tokenizers/ggml-vocab-gpt-2.gguf.inp", &path)) ==
        DPO_OK) {
        make_gpt_2(&tokenizer);
        ASSERT_OK(
            dpo_buffer_append_file(&ids, shared("tokenizers/ggml-vocab-gpt-2.gguf.out", &path)));
        char *line = ids.data;

        for (char *text = texts.data, *end; text != NULL; text = end) {
            end = strstr(text, separator);
            if (end != NULL) *end = '\0';
            line = check_line(tokenizer, text, line);
            if (end != NULL) end += sizeof separator - 1;
        }
        assert_string_equal(line, "");
        dpo_tokenizer_destroy(&tokenizer);
    }
    dpo_buffer_destroy(&path);
    dpo_buffer_destroy(&texts);
    dpo_buffer_destroy(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GOLDEN_TEST(every_component_does_as_tokenizers),
        GOLDEN_TEST(a_real_model_does_as_tokenizers),
        GOLDEN_TEST(gpt_2_finds_the_known_ids),
    };

    return cmocka_run_group_tests(tests, read_golden, forget_golden);
}
