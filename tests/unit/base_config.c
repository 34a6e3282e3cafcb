// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/config.h"
#include "unit_test.h"

typedef struct {
    bool flag;
    int64_t count;
    double rate;
    char *name;
    int kind;
    double pair[2];
    dpo_json *extra;
} values;

static const char *const kinds[] = {"first", "second", NULL};

enum { FREE = 1, HIDDEN = 2 };

static const dpo_field fields[] = {
    {"name", DPO_FIELD_TEXT, offsetof(values, name), NULL, "required", 0, 0, NULL, NULL, "A name.",
     FREE},
    {"group.flag", DPO_FIELD_BOOL, offsetof(values, flag), "true", NULL, 0, 0, NULL, NULL,
     "A flag.", FREE},
    {"group.count", DPO_FIELD_INT, offsetof(values, count), "3", NULL, 1, 10, NULL, "items",
     "A count.", FREE},
    {"group.rate", DPO_FIELD_REAL, offsetof(values, rate), "1e-6", NULL, 0, 1, NULL, NULL,
     "A rate.", FREE},
    {"group.kind", DPO_FIELD_CHOICE, offsetof(values, kind), "\"second\"", NULL, 0, 0, kinds, NULL,
     "A kind.", FREE},
    {"group.pair", DPO_FIELD_PAIR, offsetof(values, pair), "[0.5, 0.25]", NULL, 0, 1, NULL, NULL,
     "A pair.", FREE},
    {"group.extra", DPO_FIELD_JSON, offsetof(values, extra), NULL, NULL, 0, 0, NULL, NULL,
     "Anything.", HIDDEN},
};

enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static dpo_status read(const char *text, values *v)
{
    dpo_config *config;

    *v = (values){0};
    DPO_TRY(dpo_config_create(fields, N_FIELDS, &config));
    dpo_status status = dpo_config_add_text(config, "c.json", text);

    if (status == DPO_OK) status = dpo_config_fill(config, v);
    dpo_config_destroy(&config);
    return status;
}

static void absent_keys_have_their_defaults(void **state)
{
    (void)state;
    values v;

    ASSERT_OK(read("{}", &v));
    assert_true(v.flag && v.count == 3 && v.rate == 1e-6 && v.name == NULL && v.kind == 1);
    assert_true(v.pair[0] == 0.5 && v.pair[1] == 0.25 && v.extra == NULL);
}

static void given_keys_replace_them(void **state)
{
    (void)state;
    values v;

    ASSERT_OK(read("{\"name\": \"x\", // comment\n \"group\": {\"count\": 7, \"kind\": \"first\", "
                   "\"pair\": [1, 0], \"flag\": false, \"extra\": [1]}}",
                   &v));
    assert_string_equal(v.name, "x");
    assert_true(!v.flag && v.count == 7 && v.kind == 0 && v.pair[0] == 1.0);
    assert_int_equal(dpo_json_count(v.extra), 1);
    dpo_config_values_destroy(fields, N_FIELDS, &v);
}

static void wrong_keys_and_values_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        dpo_status status;
        const char *part;
    } cases[] = {
        {"{\"group\": {\"cuont\": 1}}", DPO_EUSAGE, "did you mean \"group.count\""},
        {"{\"nmae\": \"x\"}", DPO_EUSAGE, "did you mean \"name\""},
        {"{\"group\": {\"count\": 1.5}}", DPO_EUSAGE,
         "group.count is 1.5, expected a whole number"},
        {"{\"group\": {\"count\": 11}}", DPO_EUSAGE, "from 1 to 10"},
        {"{\"group\": {\"rate\": \"x\"}}", DPO_EUSAGE, "group.rate is \"x\", expected a number"},
        {"{\"group\": {\"kind\": \"third\"}}", DPO_EUSAGE, "one of \"first\", \"second\""},
        {"{\"group\": {\"pair\": [1]}}", DPO_EUSAGE, "two numbers"},
        {"{\"group\": {\"flag\": 1}}", DPO_EUSAGE, "true or false"},
        {"{\"group\": 1}", DPO_EUSAGE, "expected an object"},
        {"{\"name\": \"x\", \"name\": \"y\"}", DPO_EUSAGE, "given twice"},
        {"{\"group\": {\"rate\": 0, \"rate\": 1}}", DPO_EUSAGE, "given twice"},
        {"[]", DPO_EUSAGE, "an array"},
        {"{", DPO_EDATA, "c.json"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        values v;

        ASSERT_FAILS(read(cases[i].text, &v), cases[i].status, cases[i].part);
    }
}

static void set_takes_bare_texts_and_wins_over_files(void **state)
{
    (void)state;
    dpo_config *config;
    values v = {0};

    ASSERT_OK(dpo_config_create(fields, N_FIELDS, &config));
    ASSERT_OK(dpo_config_add_text(config, "c.json", "{\"name\": \"file\"}"));
    ASSERT_OK(dpo_config_set(config, "--set", "name", "123"));
    ASSERT_OK(dpo_config_set(config, "--set", "group.kind", "first"));
    ASSERT_OK(dpo_config_set(config, "--set", "group.extra", "some/path"));
    ASSERT_FAILS(dpo_config_set(config, "--set", "group.count", "many"), DPO_EUSAGE, "group.count");
    ASSERT_OK(dpo_config_set(config, "--set", "group.rate", "0.5"));
    ASSERT_OK(dpo_config_set(config, "--set", "group.rate", "null"));
    assert_false(dpo_config_is_given(config, "group.rate"));
    assert_true(dpo_config_is_given(config, "name") && !dpo_config_is_given(config, "group.count"));
    ASSERT_OK(dpo_config_fill(config, &v));
    assert_string_equal(v.name, "123");
    assert_true(v.kind == 0);
    assert_string_equal(dpo_json_text(v.extra), "some/path");
    dpo_config_values_destroy(fields, N_FIELDS, &v);
    dpo_config_destroy(&config);
}

static void a_resolved_configuration_reads_back_the_same(void **state)
{
    (void)state;
    dpo_json *root;
    dpo_buffer text = {0};
    dpo_buffer again = {0};
    values v;

    ASSERT_OK(read("{\"name\": \"x\", \"group\": {\"rate\": 0.1}}", &v));
    ASSERT_OK(dpo_config_to_json(fields, N_FIELDS, &v, &root));
    ASSERT_OK(dpo_json_print(root, true, &text));
    dpo_json_destroy(&root);
    dpo_config_values_destroy(fields, N_FIELDS, &v);
    ASSERT_OK(read(dpo_buffer_text(&text), &v));
    ASSERT_OK(dpo_config_to_json(fields, N_FIELDS, &v, &root));
    ASSERT_OK(dpo_json_print(root, true, &again));
    assert_string_equal(dpo_buffer_text(&text), dpo_buffer_text(&again));
    dpo_json_destroy(&root);
    dpo_config_values_destroy(fields, N_FIELDS, &v);
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&again);
}

static void help_lists_the_keys_of_a_flag(void **state)
{
    (void)state;
    dpo_buffer text = {0};

    ASSERT_OK(dpo_config_help(fields, N_FIELDS, FREE, &text));
    assert_non_null(strstr(dpo_buffer_text(&text), "group.count"));
    assert_non_null(strstr(dpo_buffer_text(&text), "first|second"));
    assert_null(strstr(dpo_buffer_text(&text), "group.extra"));
    dpo_buffer_destroy(&text);
}

static void no_allocation_that_fails_leaks(void **state)
{
    (void)state;
    const char *text = "{\"name\": \"x\", \"group\": {\"pair\": [1, 0], \"extra\": {\"a\": [1]}}}";
    dpo_status status = DPO_ENOMEM;

    for (int64_t n = 1; status != DPO_OK && n < 1000; n++) {
        values v;

        dpo_memory_fail_after(n);
        status = read(text, &v);
        dpo_memory_fail_after(0);
        dpo_config_values_destroy(fields, N_FIELDS, &v);
        assert_int_equal(dpo_memory_outstanding(), 0);
    }
    assert_int_equal(status, DPO_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(absent_keys_have_their_defaults),
        UNIT_TEST(given_keys_replace_them),
        UNIT_TEST(wrong_keys_and_values_are_refused_by_name),
        UNIT_TEST(set_takes_bare_texts_and_wins_over_files),
        UNIT_TEST(a_resolved_configuration_reads_back_the_same),
        UNIT_TEST(help_lists_the_keys_of_a_flag),
        UNIT_TEST(no_allocation_that_fails_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
