// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"
#include "unit_test.h"

static dpo_status parse(const char *text, dpo_json_syntax syntax, dpo_json **root)
{
    return dpo_json_parse("test", text, (int64_t)strlen(text), syntax, root);
}

static void a_document_is_read_and_written_the_same(void **state)
{
    (void)state;
    const char *text = "{\"a\":[1,2.5,true,null,\"x\"],\"b\":{\"c\":0.1}}";
    dpo_json *root;
    dpo_buffer out = {0};

    ASSERT_OK(parse(text, DPO_JSON_STRICT, &root));
    ASSERT_OK(dpo_json_print(root, false, &out));
    assert_string_equal(dpo_buffer_text(&out), text);
    dpo_buffer_destroy(&out);
    dpo_json_destroy(&root);
}

static void comments_are_accepted_where_asked_for_only(void **state)
{
    (void)state;
    const char *text = "{ // one\n \"a\": /* two */ \"//\" }";
    dpo_json *root;

    ASSERT_OK(parse(text, DPO_JSON_COMMENTS, &root));
    assert_string_equal(dpo_json_text(dpo_json_find(root, "a")), "//");
    dpo_json_destroy(&root);
    ASSERT_FAILS(parse(text, DPO_JSON_STRICT, &root), DPO_EDATA, "column 4");
}

static void bad_texts_are_refused_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "empty"},
        {"{\"a\": 1,\n \"b\" 2}", "line 2, column 6"},
        {"{} x", "more text"},
        {"{\"a\": \"\\u0000\"}", "NUL"},
        {"{\"a\": \"\xff\"}", "UTF-8"},
        {"[1, 2", "ends too early"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dpo_json *root;

        ASSERT_FAILS(parse(cases[i].text, DPO_JSON_STRICT, &root), DPO_EDATA, cases[i].part);
        assert_null(root);
    }
}

static void getters_say_what_they_found(void **state)
{
    (void)state;
    dpo_json *root;
    int64_t value;

    ASSERT_OK(parse("{\"n\": 1.5, \"t\": \"x\"}", DPO_JSON_STRICT, &root));
    ASSERT_FAILS(dpo_json_get_int(root, "f.json", "n", 0, 9, &value), DPO_EDATA, "1.5");
    ASSERT_FAILS(dpo_json_get_int(root, "f.json", "t", 0, 9, &value), DPO_EDATA, "a text");
    ASSERT_FAILS(dpo_json_get_int(root, "f.json", "q", 0, 9, &value), DPO_EDATA, "missing");
    dpo_json_destroy(&root);
}

static void numbers_round_trip(void **state)
{
    (void)state;
    static const double numbers[] = {0.1, 1.0 / 3.0, 1e-300, 123456789.123456789, -0.0, 5e-324};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        dpo_json *root;
        dpo_json *again;
        dpo_buffer out = {0};

        ASSERT_OK(dpo_json_new_array(&root));
        ASSERT_OK(dpo_json_put_number(root, NULL, numbers[i]));
        ASSERT_OK(dpo_json_print(root, false, &out));
        ASSERT_OK(parse(dpo_buffer_text(&out), DPO_JSON_STRICT, &again));
        assert_true(dpo_json_number(dpo_json_first(again)) == numbers[i]);
        dpo_json_destroy(&root);
        dpo_json_destroy(&again);
        dpo_buffer_destroy(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_document_is_read_and_written_the_same),
        UNIT_TEST(comments_are_accepted_where_asked_for_only),
        UNIT_TEST(bad_texts_are_refused_with_their_place),
        UNIT_TEST(getters_say_what_they_found),
        UNIT_TEST(numbers_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
