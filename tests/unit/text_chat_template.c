// SPDX-License-Identifier: Apache-2.0
#include "dpo/text/chat_template.h"

#include <stdlib.h>

#include "unit_test.h"

/* Renders a template text over messages given as JSON. */
static dpo_status render(const char *template_text, const char *messages_text, bool add,
                         dpo_buffer *out)
{
    dpo_chat_template *chat_template;
    dpo_json *messages;

    DPO_TRY(dpo_chat_template_parse("test.jinja", template_text, &chat_template));
    dpo_status status = dpo_json_parse("test", messages_text, (int64_t)strlen(messages_text),
                                       DPO_JSON_STRICT, &messages);

    if (status == DPO_OK)
        status = dpo_chat_template_render(chat_template, messages, add, "<s>", "</s>", out);
    dpo_json_destroy(&messages);
    dpo_chat_template_destroy(&chat_template);
    return status;
}

static void assert_refused(const char *template_text, const char *part)
{
    dpo_buffer out = {0};

    ASSERT_FAILS(render(template_text, "[{\"role\":\"user\",\"content\":\"x\"}]", false, &out),
                 DPO_EDATA, part);
    dpo_buffer_destroy(&out);
}

static void read_golden(dpo_json **golden)
{
    ASSERT_OK(dpo_json_read_file(DPO_TEST_DATA "/chat_templates.json", DPO_JSON_STRICT, golden));
}

/* Compares with what transformers printed, or that both refuse. */
static void check(const dpo_json *golden, const char *template_text, const dpo_json *messages,
                  const dpo_json *item, bool add)
{
    const dpo_json *want = dpo_json_find(item, "text");
    dpo_chat_template *chat_template = NULL;
    dpo_buffer out = {0};
    dpo_status status = dpo_chat_template_parse("golden", template_text, &chat_template);

    if (status == DPO_OK)
        status = dpo_chat_template_render(chat_template, messages, add,
                                          dpo_json_text(dpo_json_find(golden, "bos")),
                                          dpo_json_text(dpo_json_find(golden, "eos")), &out);
    if (dpo_json_type_of(want) == DPO_JSON_NULL) {
        if (status != DPO_EDATA) fail_msg("not refused: %s", template_text);
    } else {
        if (status != DPO_OK) fail_msg("%s: %s", template_text, dpo_last_error()->text);
        if (strcmp(dpo_buffer_text(&out), dpo_json_text(want)) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", template_text, dpo_buffer_text(&out),
                     dpo_json_text(want));
    }
    dpo_buffer_destroy(&out);
    dpo_chat_template_destroy(&chat_template);
}

static void templates_render_as_in_transformers(void **state)
{
    (void)state;
    dpo_json *golden;
    int64_t n = 0;

    read_golden(&golden);
    for (const dpo_json *i = dpo_json_first(dpo_json_find(golden, "cases")); i != NULL;
         i = dpo_json_next(i), n++) {
        const char *name = dpo_json_text(dpo_json_find(i, "template"));
        const char *conversation = dpo_json_text(dpo_json_find(i, "conversation"));

        check(golden, dpo_json_text(dpo_json_find(dpo_json_find(golden, "templates"), name)),
              dpo_json_find(dpo_json_find(golden, "conversations"), conversation), i,
              dpo_json_bool(dpo_json_find(i, "add_generation_prompt")));
    }
    assert_true(n > 100);
    dpo_json_destroy(&golden);
}

static void snippets_of_the_language_print_as_in_transformers(void **state)
{
    (void)state;
    dpo_json *golden;
    int64_t n = 0;

    read_golden(&golden);
    for (const dpo_json *i = dpo_json_first(dpo_json_find(golden, "snippets")); i != NULL;
         i = dpo_json_next(i), n++)
        check(golden, dpo_json_text(dpo_json_find(i, "template")),
              dpo_json_find(dpo_json_find(golden, "conversations"), "answered"), i, false);
    assert_true(n > 80);
    dpo_json_destroy(&golden);
}

static void what_is_not_understood_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"a\n {{ 'x' | frobnicate }}", "test.jinja, line 2, column 9: the filter \"frobnicate\""},
        {"{{ 'x' is weird }}", "column 8: the test \"weird\""},
        {"{% include 'x' %}", "column 4: \"include\", expected if, for"},
        {"{{ strftime_now('%Y') }}", "\"strftime_now\" is undefined and cannot be called"},
        {"{{ messages[0].text.x }}", "asks for \"x\" of something undefined"},
        {"{{ messages }}", "a list cannot be printed"},
        {"{{ 'a' + 1 }}", "\"+\" has no meaning between a text and a number"},
        {"{{ raise_exception('only pairs') }}", "refuses this conversation: only pairs"},
        {"{{ ? }}", "the character \"?\" has no meaning here"},
        {"{% if true %}x", "the template ends, expected elif"},
        {"\xff", "not UTF-8"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i].text, cases[i].part);
}

static void templates_that_do_not_end_are_stopped(void **state)
{
    (void)state;
    assert_refused(
        "{% set r = range(3000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "steps");
    assert_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested more than");
    assert_refused("{% set ns = namespace(t='abcdefgh') %}{% for i in range(60) %}"
                   "{% set ns.t = ns.t + ns.t %}{% endfor %}",
                   "MiB");
    assert_refused("{{ range(99999999999) }}", "MiB");
}

/* Writes n times a text behind a beginning. */
static void repeat(dpo_buffer *out, const char *begin, const char *text, int n)
{
    ASSERT_OK(dpo_buffer_append_text(out, begin));
    for (int i = 0; i < n; i++)
        ASSERT_OK(dpo_buffer_append_text(out, text));
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *text;
    } cases[] = {
        {"{{ ", "("},       {"{{ ", "["},     {"{{ ", "not "}, {"{{ ", "-"},
        {"", "{% if 1 %}"}, {"{{ 1", " + 1"}, {"{{ x", ".y"},  {"{{ 'a'", " if 1 else 'b'"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dpo_buffer text = {0};
        dpo_buffer out = {0};

        repeat(&text, cases[i].begin, cases[i].text, 20000);
        ASSERT_OK(dpo_buffer_append_text(&text, " }}"));
        assert_int_equal(render(dpo_buffer_text(&text), "[]", false, &out), DPO_EDATA);
        dpo_buffer_destroy(&out);
        dpo_buffer_destroy(&text);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_loads(const char *folder, const char *want)
{
    dpo_chat_template *chat_template;
    dpo_buffer out = {0};
    dpo_json *messages;

    ASSERT_OK(dpo_json_new_array(&messages));
    ASSERT_OK(dpo_chat_template_load(folder, &chat_template));
    assert_non_null(chat_template);
    ASSERT_OK(dpo_chat_template_render(chat_template, messages, false, NULL, NULL, &out));
    assert_string_equal(dpo_buffer_text(&out), want);
    dpo_buffer_destroy(&out);
    dpo_chat_template_destroy(&chat_template);
    dpo_json_destroy(&messages);
}

static void a_folder_may_hold_a_template_in_three_ways_or_none(void **state)
{
    (void)state;
    char folder[] = "chat_template_XXXXXX";
    char path[256];
    dpo_chat_template *chat_template;

    assert_non_null(mkdtemp(folder));
    ASSERT_OK(dpo_chat_template_load(folder, &chat_template));
    assert_null(chat_template);
    write_file(folder, "tokenizer_config.json", "{\"eos_token\": \"x\"}");
    ASSERT_OK(dpo_chat_template_load(folder, &chat_template));
    assert_null(chat_template);
    write_file(folder, "tokenizer_config.json", "{\"chat_template\": \"text\"}");
    assert_loads(folder, "text");
    write_file(folder, "tokenizer_config.json",
               "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"no\"},"
               "{\"name\": \"default\", \"template\": \"list\"}]}");
    assert_loads(folder, "list");
    write_file(folder, "tokenizer_config.json", "{\"chat_template\": [{\"name\": \"other\"}]}");
    ASSERT_FAILS(dpo_chat_template_load(folder, &chat_template), DPO_EDATA, "default");
    write_file(folder, "chat_template.jinja", "file\n");
    assert_loads(folder, "file");
    (void)snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    assert_int_equal(remove(path), 0);
    (void)snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(folder), 0);
}

static void a_failing_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    const char *text = "{% set x %}{{ messages[0].role | upper }}{% endset %}{{ x ~ [1]|tojson }}";
    dpo_status status = DPO_ENOMEM;
    int n = 0;

    for (; status != DPO_OK; n++) {
        dpo_buffer out = {0};

        dpo_memory_fail_after(n + 1);
        status = render(text, "[{\"role\":\"user\"}]", false, &out);
        dpo_memory_fail_after(0);
        dpo_buffer_destroy(&out);
        assert_int_equal(dpo_memory_outstanding(), 0);
        assert_true(n < 1000);
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(templates_render_as_in_transformers),
        UNIT_TEST(snippets_of_the_language_print_as_in_transformers),
        UNIT_TEST(what_is_not_understood_is_refused_with_its_place),
        UNIT_TEST(templates_that_do_not_end_are_stopped),
        UNIT_TEST(deep_nesting_is_refused),
        UNIT_TEST(a_folder_may_hold_a_template_in_three_ways_or_none),
        UNIT_TEST(a_failing_allocation_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
