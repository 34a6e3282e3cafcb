// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/status.h"
#include "unit_test.h"

static void a_failure_is_recorded_with_its_place(void **state)
{
    (void)state;
    int line = __LINE__ + 1;
    dpo_status status = DPO_FAIL(DPO_EDATA, "pairs.jsonl, line %d: empty", 7);
    const dpo_error *error = dpo_last_error();

    assert_int_equal(status, DPO_EDATA);
    assert_int_equal(error->status, DPO_EDATA);
    assert_int_equal(error->line, line);
    assert_int_equal(error->n_failed, 0);
    assert_string_equal(error->file, "base_status.c");
    assert_string_equal(error->text, "pairs.jsonl, line 7: empty");
    assert_true(strlen(error->node) > 0);
}

static void a_caller_may_say_the_place_in_front(void **state)
{
    (void)state;
    dpo_status status = DPO_FAIL(DPO_EUSAGE, "-1 is too small");

    assert_int_equal(dpo_fail_at(status, "objective.%s: ", "beta"), DPO_EUSAGE);
    assert_string_equal(dpo_last_error()->text, "objective.beta: -1 is too small");
    assert_int_equal(dpo_fail_at(DPO_OK, "nothing"), DPO_OK);
    assert_string_equal(dpo_last_error()->text, "objective.beta: -1 is too small");
}

static void long_messages_are_cut_and_terminated(void **state)
{
    (void)state;
    char text[3000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(DPO_FAIL(DPO_EIO, "%s", text), DPO_EIO);
    assert_int_equal(strlen(dpo_last_error()->text), sizeof dpo_last_error()->text - 1);
    assert_int_equal(dpo_fail_at(DPO_EIO, "%s", text), DPO_EIO);
    assert_int_equal(strlen(dpo_last_error()->text), sizeof dpo_last_error()->text - 1);
}

static dpo_status inner(int fails)
{
    return fails ? DPO_FAIL(DPO_EINTERNAL, "inner") : DPO_OK;
}

static dpo_status outer(int fails, int *reached)
{
    DPO_TRY(inner(fails));
    *reached = 1;
    return DPO_OK;
}

static void try_returns_what_failed(void **state)
{
    (void)state;
    int reached = 0;

    assert_int_equal(outer(1, &reached), DPO_EINTERNAL);
    assert_int_equal(reached, 0);
    ASSERT_OK(outer(0, &reached));
    assert_int_equal(reached, 1);
}

static void exit_codes_are_those_of_sysexits(void **state)
{
    (void)state;
    static const struct {
        dpo_status status;
        int exit_code;
    } cases[] = {{DPO_OK, 0},         {DPO_EUSAGE, 64}, {DPO_EDATA, 65},
                 {DPO_EINTERNAL, 70}, {DPO_ENOMEM, 71}, {DPO_EIO, 74}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dpo_exit_code(cases[i].status), cases[i].exit_code);
}

static void the_message_is_printed_before_its_origin(void **state)
{
    (void)state;
    FILE *stream = tmpfile();
    char line[2][300];

    assert_non_null(stream);
    assert_int_equal(DPO_FAIL(DPO_EDATA, "a.jsonl: empty, expected pairs"), DPO_EDATA);
    dpo_error_print(stream, "mpidpo");
    rewind(stream);
    assert_non_null(fgets(line[0], sizeof line[0], stream));
    assert_non_null(fgets(line[1], sizeof line[1], stream));
    assert_int_equal(fgetc(stream), EOF);
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(line[0], "mpidpo: error: a.jsonl: empty, expected pairs\n");
    assert_non_null(strstr(line[1], "malformed input data"));
    assert_non_null(strstr(line[1], "base_status.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_failure_is_recorded_with_its_place),
        UNIT_TEST(a_caller_may_say_the_place_in_front),
        UNIT_TEST(long_messages_are_cut_and_terminated),
        UNIT_TEST(try_returns_what_failed),
        UNIT_TEST(exit_codes_are_those_of_sysexits),
        UNIT_TEST(the_message_is_printed_before_its_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
