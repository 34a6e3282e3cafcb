// SPDX-License-Identifier: Apache-2.0
#include "jinja_run.h"

/* Tests: "value is name". */

#define KIND_TEST(name, condition)                                      \
    static dpo_status name(const jinja_call *call, jinja_value *result) \
    {                                                                   \
        jinja_value self = call->self;                                  \
                                                                        \
        *result = jinja_of_bool(condition);                             \
        return DPO_OK;                                                  \
    }

KIND_TEST(is_defined, self.kind != JINJA_UNDEFINED)
KIND_TEST(is_undefined, self.kind == JINJA_UNDEFINED)
KIND_TEST(is_none, self.kind == JINJA_NONE)
KIND_TEST(is_string, self.kind == JINJA_STR)
KIND_TEST(is_boolean, self.kind == JINJA_BOOL)
KIND_TEST(is_integer, self.kind == JINJA_INT)
KIND_TEST(is_float, self.kind == JINJA_DOUBLE)
KIND_TEST(is_number, jinja_is_number(self))
KIND_TEST(is_mapping, self.kind == JINJA_MAPPING)
KIND_TEST(has_items, jinja_length(self) >= 0)
KIND_TEST(is_true, self.kind == JINJA_BOOL && self.boolean)
KIND_TEST(is_false, self.kind == JINJA_BOOL && !self.boolean)
KIND_TEST(is_callable, self.kind >= JINJA_FUNCTION)

static dpo_status compare_with(const jinja_call *call, jinja_op op, jinja_value *result)
{
    return jinja_binary(call->run, call->at, op, call->self, call->argument[0], result);
}

static dpo_status is_equal(const jinja_call *call, jinja_value *result)
{
    return compare_with(call, JINJA_OP_EQUAL, result);
}

static dpo_status is_not_equal(const jinja_call *call, jinja_value *result)
{
    return compare_with(call, JINJA_OP_NOT_EQUAL, result);
}

static dpo_status is_greater(const jinja_call *call, jinja_value *result)
{
    return compare_with(call, JINJA_OP_GREATER, result);
}

static dpo_status is_less(const jinja_call *call, jinja_value *result)
{
    return compare_with(call, JINJA_OP_LESS, result);
}

static dpo_status is_in(const jinja_call *call, jinja_value *result)
{
    return compare_with(call, JINJA_OP_IN, result);
}

static dpo_status has_remainder(const jinja_call *call, jinja_value divisor, int64_t remainder,
                                jinja_value *result)
{
    DPO_TRY(jinja_binary(call->run, call->at, JINJA_OP_MODULO, call->self, divisor, result));
    *result = jinja_of_bool(jinja_number_of(*result) == (double)remainder);
    return DPO_OK;
}

static dpo_status is_odd(const jinja_call *call, jinja_value *result)
{
    return has_remainder(call, jinja_of_int(2), 1, result);
}

static dpo_status is_even(const jinja_call *call, jinja_value *result)
{
    return has_remainder(call, jinja_of_int(2), 0, result);
}

static dpo_status is_divisible(const jinja_call *call, jinja_value *result)
{
    return has_remainder(call, call->argument[0], 0, result);
}

static const jinja_row rows[] = {
    {"defined", 0, {NULL}, is_defined},
    {"undefined", 0, {NULL}, is_undefined},
    {"none", 0, {NULL}, is_none},
    {"string", 0, {NULL}, is_string},
    {"boolean", 0, {NULL}, is_boolean},
    {"integer", 0, {NULL}, is_integer},
    {"float", 0, {NULL}, is_float},
    {"number", 0, {NULL}, is_number},
    {"mapping", 0, {NULL}, is_mapping},
    {"sequence", 0, {NULL}, has_items},
    {"iterable", 0, {NULL}, has_items},
    {"true", 0, {NULL}, is_true},
    {"false", 0, {NULL}, is_false},
    {"callable", 0, {NULL}, is_callable},
    {"equalto", 1, {"other"}, is_equal},
    {"eq", 1, {"other"}, is_equal},
    {"==", 1, {"other"}, is_equal},
    {"ne", 1, {"other"}, is_not_equal},
    {"!=", 1, {"other"}, is_not_equal},
    {"gt", 1, {"other"}, is_greater},
    {"lt", 1, {"other"}, is_less},
    {"in", 1, {"seq"}, is_in},
    {"odd", 0, {NULL}, is_odd},
    {"even", 0, {NULL}, is_even},
    {"divisibleby", 1, {"num"}, is_divisible},
};

const jinja_row *jinja_find_test(jinja_text name)
{
    return jinja_find_row(rows, (int64_t)(sizeof rows / sizeof rows[0]), name);
}
