// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/preferences.h"

#include "unit_test.h"

static dpo_status read(const char *text, dpo_preference *preference)
{
    return dpo_preference_read("pairs.jsonl, line 7", text, (int64_t)strlen(text), preference);
}

static void assert_refused(const char *text, const char *part)
{
    dpo_preference preference;

    ASSERT_FAILS(read(text, &preference), DPO_EDATA, part);
    assert_null(preference.prompt);
    assert_int_equal(preference.n_responses, 0);
    assert_non_null(strstr(dpo_last_error()->text, "pairs.jsonl, line 7"));
}

/* Role and content of message i of a list. */
static void assert_message(const dpo_json *messages, int i, const char *role, const char *content)
{
    const dpo_json *message = dpo_json_first(messages);

    for (; i > 0; i--)
        message = dpo_json_next(message);
    assert_string_equal(dpo_json_text(dpo_json_find(message, "role")), role);
    assert_string_equal(dpo_json_text(dpo_json_find(message, "content")), content);
}

static void a_text_pair_has_two_responses_and_one_edge(void **state)
{
    (void)state;
    dpo_preference p;

    ASSERT_OK(read("{\"id\": 3, \"prompt\": \"p\", \"rejected\": \"r\", \"chosen\": \"c\"}", &p));
    assert_false(p.is_chat);
    assert_string_equal(dpo_json_text(p.prompt), "p");
    assert_int_equal(p.n_responses, 2);
    assert_string_equal(dpo_json_text(p.responses[0].content), "c");
    assert_string_equal(dpo_json_text(p.responses[1].content), "r");
    assert_true(isnan(p.responses[0].score) && isnan(p.responses[1].score));
    assert_int_equal(p.n_edges, 1);
    assert_int_equal(p.edges[0].chosen, 0);
    assert_int_equal(p.edges[0].rejected, 1);
    ASSERT_CLOSE((double)p.edges[0].weight, 1.0, 0.0);
    dpo_preference_destroy(&p);
}

static void responses_to_messages_may_be_texts_or_messages(void **state)
{
    (void)state;
    dpo_preference p;

    ASSERT_OK(read("{\"prompt\": [{\"role\": \"system\", \"content\": \"s\"},"
                   "{\"role\": \"user\", \"content\": \"u\", \"name\": \"x\"}], \"chosen\": \"c\","
                   "\"rejected\": [{\"role\": \"assistant\", \"content\": \"r\"}],"
                   "\"score_chosen\": 2.5, \"score_rejected\": -1, \"extra\": {}}",
                   &p));
    assert_true(p.is_chat);
    assert_message(p.prompt, 0, "system", "s");
    assert_message(p.prompt, 1, "user", "u");
    assert_message(p.responses[0].content, 0, "assistant", "c");
    assert_message(p.responses[1].content, 0, "assistant", "r");
    ASSERT_CLOSE(p.responses[0].score, 2.5, 0.0);
    ASSERT_CLOSE(p.responses[1].score, -1.0, 0.0);
    dpo_preference_destroy(&p);
}

static void an_unknown_kind_is_refused_with_its_fields_and_the_known_shapes(void **state)
{
    (void)state;
    const char *text = "{\"question\": \"q\", \"chosen\": []}";

    assert_refused(text, "\"question\" (a text), \"chosen\" (an array)");
    assert_refused(text, "{\"prompt\": text, \"chosen\": text, \"rejected\": text}");
    assert_refused("{}", "its fields are: none");
    assert_refused("{\"prompt\": \"p\", \"chosen\": [], \"rejected\": []}", "no known kind");
    assert_refused("[1]", "an array, expected an object");
}

static void malformed_records_are_refused_with_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{\"prompt\": \"p\", \"chosen\": \"c\"", "the text ends too early"},
        {"{\"prompt\": \"p\", \"chosen\": \"\\u0000\", \"rejected\": \"r\"}", "NUL"},
        {"{\"prompt\": \"\xc3\", \"chosen\": \"c\", \"rejected\": \"r\"}", "not UTF-8"},
        {"{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\", \"prompt\": \"q\"}",
         "\"prompt\" is there twice"},
        {"{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\", \"score_chosen\": \"9\"}",
         "\"score_chosen\" is a text, expected a number"},
        {"{\"prompt\": [], \"chosen\": \"c\", \"rejected\": \"r\"}", "empty list"},
        {"{\"prompt\": [\"u\"], \"chosen\": \"c\", \"rejected\": \"r\"}",
         "message 1 of \"prompt\": a text, expected {\"role\": text"},
        {"{\"prompt\": [{\"role\": \"user\"}], \"chosen\": \"c\", \"rejected\": \"r\"}",
         "message 1 of \"prompt\": \"content\" is missing"},
        {"{\"prompt\": [{\"role\": 1, \"content\": \"\"}], \"chosen\": \"c\", \"rejected\": \"r\"}",
         "\"role\" is a number, expected a text"},
        {"{\"prompt\": [{\"role\": \"\", \"content\": \"\"}], \"chosen\": \"c\", \"rejected\": "
         "\"r\"}",
         "an empty role"},
        {"{\"prompt\": [{\"role\": \"user\", \"content\": \"\"}], \"chosen\": 1, \"rejected\": "
         "\"r\"}",
         "\"chosen\" is a number, expected a text or a list of messages"},
        {"{\"prompt\": [{\"role\": \"user\", \"content\": \"u\"}], \"chosen\": \"c\","
         "\"rejected\": [{\"role\": \"user\", \"content\": \"u\"}]}",
         "\"rejected\" begins with a user message"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i].text, cases[i].part);
}

static void a_failing_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    dpo_status status = DPO_ENOMEM;
    int n = 0;

    for (; status != DPO_OK; n++) {
        dpo_preference p;

        dpo_memory_fail_after(n + 1);
        status = read("{\"prompt\": [{\"role\": \"user\", \"content\": \"u\"}], \"chosen\": \"c\","
                      "\"rejected\": [{\"role\": \"assistant\", \"content\": \"r\"}]}",
                      &p);
        dpo_memory_fail_after(0);
        dpo_preference_destroy(&p);
        assert_int_equal(dpo_memory_outstanding(), 0);
        assert_true(n < 1000);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_text_pair_has_two_responses_and_one_edge),
        UNIT_TEST(responses_to_messages_may_be_texts_or_messages),
        UNIT_TEST(an_unknown_kind_is_refused_with_its_fields_and_the_known_shapes),
        UNIT_TEST(malformed_records_are_refused_with_what_is_wrong),
        UNIT_TEST(a_failing_allocation_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
