// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "jinja_json.h"
#include "jinja_run.h"
#include "jinja_string.h"

/* Filters: "value | name". */

/* What is filtered, as a text: texts are printed, as Jinja's own filters do. */
static dpo_status self_text(const jinja_call *call, jinja_text *text)
{
    return jinja_print(call->run, call->at, call->self, text);
}

static dpo_status self_items(const jinja_call *call, jinja_array **items)
{
    DPO_TRY(jinja_iterate(call->run->pool, call->self, items));
    if (*items == NULL)
        return JINJA_FAIL(call->run->source, call->at, "\"%.*s\" of %s, expected a list",
                          (int)call->name.n, call->name.data, jinja_kind_name(call->self.kind));
    return DPO_OK;
}

static dpo_status trim(const jinja_call *call, jinja_value *result)
{
    jinja_text text;
    jinja_text set = {NULL, 0};

    DPO_TRY(self_text(call, &text));
    if (call->argument[0].kind == JINJA_STR) set = call->argument[0].str;
    *result = jinja_of_text(jinja_string_strip(text, set, true, true));
    return DPO_OK;
}

static dpo_status length(const jinja_call *call, jinja_value *result)
{
    int64_t n = jinja_length(call->self);

    if (n < 0)
        return JINJA_FAIL(call->run->source, call->at, "\"length\" of %s",
                          jinja_kind_name(call->self.kind));
    *result = jinja_of_int(n);
    return DPO_OK;
}

static dpo_status use_default(const jinja_call *call, jinja_value *result)
{
    bool also_false = jinja_is_true(call->argument[1]);
    bool is_absent = call->self.kind == JINJA_UNDEFINED;

    *result = call->self;
    if (is_absent || (also_false && !jinja_is_true(call->self)))
        *result = call->n > 0 ? call->argument[0] : jinja_of_terminated("");
    return DPO_OK;
}

static dpo_status change_case(const jinja_call *call, jinja_case what, jinja_value *result)
{
    jinja_text text;

    DPO_TRY(self_text(call, &text));
    *result = jinja_of_terminated("");
    return jinja_string_case(call->run->pool, text, what, &result->str);
}

static dpo_status upper(const jinja_call *call, jinja_value *result)
{
    return change_case(call, JINJA_UPPER, result);
}

static dpo_status lower(const jinja_call *call, jinja_value *result)
{
    return change_case(call, JINJA_LOWER, result);
}

static dpo_status capitalize(const jinja_call *call, jinja_value *result)
{
    return change_case(call, JINJA_CAPITALIZE, result);
}

static dpo_status title(const jinja_call *call, jinja_value *result)
{
    return change_case(call, JINJA_TITLE_WORDS, result);
}

static dpo_status first(const jinja_call *call, jinja_value *result)
{
    jinja_array *items;

    DPO_TRY(self_items(call, &items));
    *result = items->n > 0 ? items->items[0] : (jinja_value){.kind = JINJA_UNDEFINED};
    return DPO_OK;
}

static dpo_status last(const jinja_call *call, jinja_value *result)
{
    jinja_array *items;

    DPO_TRY(self_items(call, &items));
    *result = items->n > 0 ? items->items[items->n - 1] : (jinja_value){.kind = JINJA_UNDEFINED};
    return DPO_OK;
}

static dpo_status reverse(const jinja_call *call, jinja_value *result)
{
    jinja_array *items;

    DPO_TRY(self_items(call, &items));
    DPO_TRY(jinja_new_array(call->run->pool, items->n, result));
    for (int64_t i = items->n - 1; i >= 0; i--)
        DPO_TRY(jinja_array_add(call->run->pool, result->array, items->items[i]));
    return DPO_OK;
}

static dpo_status list(const jinja_call *call, jinja_value *result)
{
    *result = (jinja_value){.kind = JINJA_ARRAY};
    return self_items(call, &result->array);
}

static dpo_status items_of(const jinja_call *call, jinja_value *result)
{
    const jinja_row *row = jinja_find_method(call->self, JINJA_TEXT("items"));

    if (call->self.kind == JINJA_UNDEFINED) return jinja_new_array(call->run->pool, 0, result);
    if (row == NULL)
        return JINJA_FAIL(call->run->source, call->at, "\"items\" of %s, expected a dict",
                          jinja_kind_name(call->self.kind));
    return row->apply(call, result);
}

static dpo_status join(const jinja_call *call, jinja_value *result)
{
    dpo_buffer joined = {0};
    jinja_text separator = JINJA_TEXT("");
    jinja_array *items;
    dpo_status status = DPO_OK;
    void *copy = NULL;

    DPO_TRY(self_items(call, &items));
    if (call->n > 0) DPO_TRY(jinja_print(call->run, call->at, call->argument[0], &separator));
    for (int64_t i = 0; i < items->n && status == DPO_OK; i++) {
        jinja_value item = items->items[i];
        jinja_text text;

        if (call->argument[1].kind == JINJA_STR)
            status = jinja_index(call->run, call->at, item, call->argument[1], &item);
        if (status == DPO_OK) status = jinja_print(call->run, call->at, item, &text);
        if (status == DPO_OK && i > 0)
            status = dpo_buffer_append(&joined, separator.data, separator.n);
        if (status == DPO_OK) status = dpo_buffer_append(&joined, text.data, text.n);
    }
    if (status == DPO_OK) status = jinja_pool_take(call->run->pool, joined.size_bytes, 1, &copy);
    if (status == DPO_OK) {
        if (joined.size_bytes > 0) memcpy(copy, joined.data, (size_t)joined.size_bytes);
        *result = jinja_of_text((jinja_text){copy, joined.size_bytes});
    }
    dpo_buffer_destroy(&joined);
    return status;
}

static dpo_status replace(const jinja_call *call, jinja_value *result)
{
    int64_t limit = jinja_is_whole(call->argument[2]) ? jinja_whole_of(call->argument[2]) : -1;
    jinja_text text;
    jinja_text from;
    jinja_text to;

    DPO_TRY(self_text(call, &text));
    DPO_TRY(jinja_print(call->run, call->at, call->argument[0], &from));
    DPO_TRY(jinja_print(call->run, call->at, call->argument[1], &to));
    *result = jinja_of_terminated("");
    return jinja_string_replace(call->run->pool, text, from, to, limit, &result->str);
}

static dpo_status to_string(const jinja_call *call, jinja_value *result)
{
    *result = jinja_of_terminated("");
    return self_text(call, &result->str);
}

/* A number, or a text that is one; otherwise the default, zero unless given. */
static dpo_status to_int(const jinja_call *call, jinja_value *result)
{
    char digits[24] = "";
    char *end = digits;

    *result = call->n > 0 ? call->argument[0] : jinja_of_int(0);
    if (jinja_is_number(call->self)) {
        double number = trunc(jinja_number_of(call->self));

        if (fabs(number) < 0x1p53) *result = jinja_of_int((int64_t)number);
        return DPO_OK;
    }
    if (call->self.kind != JINJA_STR || call->self.str.n == 0 || call->self.str.n > 18)
        return DPO_OK;
    memcpy(digits, call->self.str.data, (size_t)call->self.str.n);
    long long whole = strtoll(digits, &end, 10);

    if (*end == '\0') *result = jinja_of_int(whole);
    return DPO_OK;
}

static dpo_status to_json(const jinja_call *call, jinja_value *result)
{
    int64_t indent = jinja_is_whole(call->argument[0]) ? jinja_whole_of(call->argument[0]) : -1;

    *result = jinja_of_terminated("");
    return jinja_to_json(call, call->self, indent, &result->str);
}

static dpo_status keep(const jinja_call *call, jinja_value *result)
{
    *result = call->self;
    return DPO_OK;
}

/* Whether an item's attribute passes the test that a call of selectattr or rejectattr names. */
static dpo_status attribute_passes(const jinja_call *call, jinja_value item, bool *passes)
{
    jinja_call test = {.run = call->run, .at = call->at, .n = call->n > 2 ? 1 : 0};
    jinja_value result;

    DPO_TRY(jinja_index(call->run, call->at, item, call->argument[0], &test.self));
    if (call->n < 2) {
        *passes = jinja_is_true(test.self);
        return DPO_OK;
    }
    const jinja_row *row =
        call->argument[1].kind == JINJA_STR ? jinja_find_test(call->argument[1].str) : NULL;

    if (row == NULL || row->n_required > test.n)
        return JINJA_FAIL(call->run->source, call->at, "\"%.*s\" with a test that is not supported",
                          (int)call->name.n, call->name.data);
    test.name = call->argument[1].str;
    test.argument[0] = call->argument[2];
    DPO_TRY(row->apply(&test, &result));
    *passes = jinja_is_true(result);
    return DPO_OK;
}

static dpo_status filter_by_attribute(const jinja_call *call, bool wanted, jinja_value *result)
{
    jinja_array *items;

    DPO_TRY(self_items(call, &items));
    DPO_TRY(jinja_new_array(call->run->pool, 0, result));
    for (int64_t i = 0; i < items->n; i++) {
        bool passes = false;

        DPO_TRY(attribute_passes(call, items->items[i], &passes));
        if (passes == wanted)
            DPO_TRY(jinja_array_add(call->run->pool, result->array, items->items[i]));
    }
    return DPO_OK;
}

static dpo_status selectattr(const jinja_call *call, jinja_value *result)
{
    return filter_by_attribute(call, true, result);
}

static dpo_status rejectattr(const jinja_call *call, jinja_value *result)
{
    return filter_by_attribute(call, false, result);
}

/* map(attribute=name), or map(name of a filter that needs no argument). */
static dpo_status map(const jinja_call *call, jinja_value *result)
{
    const jinja_row *row =
        call->argument[0].kind == JINJA_STR ? jinja_find_filter(call->argument[0].str) : NULL;
    bool by_attribute = call->argument[1].kind == JINJA_STR;
    jinja_array *items;

    if (!by_attribute && (row == NULL || row->n_required > 0))
        return JINJA_FAIL(call->run->source, call->at, "\"map\" with what is not supported");
    DPO_TRY(self_items(call, &items));
    DPO_TRY(jinja_new_array(call->run->pool, items->n, result));
    for (int64_t i = 0; i < items->n; i++) {
        jinja_call inner = {.run = call->run, .at = call->at, .name = call->name};
        jinja_value item;

        inner.self = items->items[i];
        if (by_attribute)
            DPO_TRY(jinja_index(call->run, call->at, inner.self, call->argument[1], &item));
        else
            DPO_TRY(row->apply(&inner, &item));
        DPO_TRY(jinja_array_add(call->run->pool, result->array, item));
    }
    return DPO_OK;
}

static const jinja_row rows[] = {
    {"trim", 0, {"chars"}, trim},
    {"length", 0, {NULL}, length},
    {"count", 0, {NULL}, length},
    {"default", 0, {"default_value", "boolean"}, use_default},
    {"d", 0, {"default_value", "boolean"}, use_default},
    {"upper", 0, {NULL}, upper},
    {"lower", 0, {NULL}, lower},
    {"capitalize", 0, {NULL}, capitalize},
    {"title", 0, {NULL}, title},
    {"first", 0, {NULL}, first},
    {"last", 0, {NULL}, last},
    {"reverse", 0, {NULL}, reverse},
    {"list", 0, {NULL}, list},
    {"items", 0, {NULL}, items_of},
    {"join", 0, {"d", "attribute"}, join},
    {"replace", 2, {"old", "new", "count"}, replace},
    {"string", 0, {NULL}, to_string},
    {"int", 0, {"default"}, to_int},
    {"tojson", 0, {"indent"}, to_json},
    {"safe", 0, {NULL}, keep},
    {"selectattr", 1, {"attribute", "test", "value"}, selectattr},
    {"rejectattr", 1, {"attribute", "test", "value"}, rejectattr},
    {"map", 0, {"filter", "attribute"}, map},
};

const jinja_row *jinja_find_filter(jinja_text name)
{
    return jinja_find_row(rows, (int64_t)(sizeof rows / sizeof rows[0]), name);
}
