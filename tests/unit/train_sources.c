// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/sources.h"
#include "unit_test.h"

static dpo_status read(const char *text, dpo_json **root, dpo_data_source **sources, int64_t *n)
{
    *sources = NULL;
    DPO_TRY(dpo_json_parse("test", text, (int64_t)strlen(text), DPO_JSON_STRICT, root));
    return dpo_sources_read("data.train", *root, sources, n);
}

static void a_path_an_object_and_a_list_are_sources(void **state)
{
    (void)state;
    dpo_json *root;
    dpo_data_source *sources;
    int64_t n;

    ASSERT_OK(read("\"a.jsonl\"", &root, &sources, &n));
    assert_int_equal(n, 1);
    assert_string_equal(sources[0].path, "a.jsonl");
    dpo_free(sources);
    dpo_json_destroy(&root);
    ASSERT_OK(
        read("[\"a\", {\"path\": \"b\", \"limit\": 5, \"name\": \"c\"}]", &root, &sources, &n));
    assert_int_equal(n, 2);
    assert_string_equal(sources[1].path, "b");
    assert_string_equal(sources[1].name, "c");
    assert_true(sources[1].limit == 5 && sources[1].weight == 1.0);
    dpo_free(sources);
    dpo_json_destroy(&root);
}

static void anything_else_is_refused_by_its_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"[]", "empty list"},
        {"3", "data.train: is a number"},
        {"{\"limit\": 3}", "\"path\" is missing"},
        {"{\"path\": \"a\", \"limt\": 3}", "did you mean \"limit\""},
        {"{\"path\": \"a\", \"limit\": -1}", "whole number"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dpo_json *root;
        dpo_data_source *sources;
        int64_t n;

        ASSERT_FAILS(read(cases[i].text, &root, &sources, &n), DPO_EUSAGE, cases[i].part);
        assert_null(sources);
        dpo_json_destroy(&root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_path_an_object_and_a_list_are_sources),
        UNIT_TEST(anything_else_is_refused_by_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
