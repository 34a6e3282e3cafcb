// SPDX-License-Identifier: Apache-2.0
#include "jinja_run.h"
#include "jinja_string.h"

/* Methods of texts and dicts, as Python has them. */

/* An argument that must be a text. */
static dpo_status text_argument(const jinja_call *call, int i, jinja_text *text)
{
    if (call->argument[i].kind != JINJA_STR)
        return JINJA_FAIL(call->run->source, call->at, "\"%.*s\" with %s, expected a text",
                          (int)call->name.n, call->name.data,
                          jinja_kind_name(call->argument[i].kind));
    *text = call->argument[i].str;
    return DPO_OK;
}

static bool is_absent(jinja_value argument)
{
    return argument.kind == JINJA_UNDEFINED || argument.kind == JINJA_NONE;
}

static dpo_status strip_sides(const jinja_call *call, bool left, bool right, jinja_value *result)
{
    jinja_text set = {NULL, 0};

    if (!is_absent(call->argument[0])) DPO_TRY(text_argument(call, 0, &set));
    *result = jinja_of_text(jinja_string_strip(call->self.str, set, left, right));
    return DPO_OK;
}

static dpo_status strip(const jinja_call *call, jinja_value *result)
{
    return strip_sides(call, true, true, result);
}

static dpo_status lstrip(const jinja_call *call, jinja_value *result)
{
    return strip_sides(call, true, false, result);
}

static dpo_status rstrip(const jinja_call *call, jinja_value *result)
{
    return strip_sides(call, false, true, result);
}

/* startswith and endswith take a text, or a list of which any may fit. */
static dpo_status fits(const jinja_call *call, bool (*test)(jinja_text, jinja_text),
                       jinja_value *result)
{
    jinja_text part;

    *result = jinja_of_bool(false);
    if (call->argument[0].kind == JINJA_ARRAY) {
        const jinja_array *parts = call->argument[0].array;

        for (int64_t i = 0; i < parts->n; i++)
            if (parts->items[i].kind == JINJA_STR && test(call->self.str, parts->items[i].str))
                *result = jinja_of_bool(true);
        return DPO_OK;
    }
    DPO_TRY(text_argument(call, 0, &part));
    *result = jinja_of_bool(test(call->self.str, part));
    return DPO_OK;
}

static dpo_status startswith(const jinja_call *call, jinja_value *result)
{
    return fits(call, jinja_string_starts, result);
}

static dpo_status endswith(const jinja_call *call, jinja_value *result)
{
    return fits(call, jinja_string_ends, result);
}

static dpo_status add_part(const jinja_call *call, int64_t begin, int64_t end, jinja_value *list)
{
    jinja_text part = {call->self.str.data + begin, end - begin};

    return jinja_array_add(call->run->pool, list->array, jinja_of_text(part));
}

/* Without a separator: runs of white space separate, and there are no empty parts. */
static dpo_status split_at_white(const jinja_call *call, int64_t limit, jinja_value *list)
{
    jinja_text rest = jinja_string_strip(call->self.str, (jinja_text){NULL, 0}, true, false);

    for (int64_t n_parts = 0; rest.n > 0; n_parts++) {
        int64_t begin = rest.data - call->self.str.data;
        int64_t n = 0;

        if (limit >= 0 && n_parts == limit) return add_part(call, begin, call->self.str.n, list);
        while (n < rest.n) {
            jinja_text c = {rest.data + n, jinja_character_length(rest, n)};

            if (jinja_string_strip(c, (jinja_text){NULL, 0}, true, false).n == 0) break;
            n += c.n;
        }
        DPO_TRY(add_part(call, begin, begin + n, list));
        rest = (jinja_text){rest.data + n, rest.n - n};
        rest = jinja_string_strip(rest, (jinja_text){NULL, 0}, true, false);
    }
    return DPO_OK;
}

static dpo_status split(const jinja_call *call, jinja_value *result)
{
    jinja_value list;
    jinja_text separator;
    int64_t limit = jinja_is_whole(call->argument[1]) ? jinja_whole_of(call->argument[1]) : -1;
    int64_t begin = 0;

    DPO_TRY(jinja_new_array(call->run->pool, 0, &list));
    *result = list;
    if (is_absent(call->argument[0])) return split_at_white(call, limit, result);
    DPO_TRY(text_argument(call, 0, &separator));
    if (separator.n == 0)
        return JINJA_FAIL(call->run->source, call->at, "\"split\" with an empty separator");
    for (int64_t n_parts = 0; limit < 0 || n_parts < limit; n_parts++) {
        int64_t end = jinja_string_find(call->self.str, separator, begin);

        if (end < 0) break;
        DPO_TRY(add_part(call, begin, end, result));
        begin = end + separator.n;
    }
    return add_part(call, begin, call->self.str.n, result);
}

static dpo_status find(const jinja_call *call, jinja_value *result)
{
    jinja_text part;

    DPO_TRY(text_argument(call, 0, &part));
    int64_t at = jinja_string_find(call->self.str, part, 0);

    *result =
        jinja_of_int(at < 0 ? -1 : jinja_string_length((jinja_text){call->self.str.data, at}));
    return DPO_OK;
}

static dpo_status replace(const jinja_call *call, jinja_value *result)
{
    jinja_text from;
    jinja_text to;
    int64_t limit = jinja_is_whole(call->argument[2]) ? jinja_whole_of(call->argument[2]) : -1;

    DPO_TRY(text_argument(call, 0, &from));
    DPO_TRY(text_argument(call, 1, &to));
    *result = jinja_of_terminated("");
    return jinja_string_replace(call->run->pool, call->self.str, from, to, limit, &result->str);
}

static dpo_status change_case(const jinja_call *call, jinja_case what, jinja_value *result)
{
    *result = jinja_of_terminated("");
    return jinja_string_case(call->run->pool, call->self.str, what, &result->str);
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
    return change_case(call, JINJA_TITLE, result);
}

static dpo_status get(const jinja_call *call, jinja_value *result)
{
    const jinja_value *found = NULL;

    if (call->argument[0].kind == JINJA_STR)
        found = jinja_mapping_find(call->self.mapping, call->argument[0].str);
    if (found != NULL)
        *result = *found;
    else
        *result = call->n > 1 ? call->argument[1] : (jinja_value){.kind = JINJA_NONE};
    return DPO_OK;
}

static dpo_status keys(const jinja_call *call, jinja_value *result)
{
    *result = (jinja_value){.kind = JINJA_ARRAY};
    return jinja_iterate(call->run->pool, call->self, &result->array);
}

static dpo_status values(const jinja_call *call, jinja_value *result)
{
    const jinja_mapping *mapping = call->self.mapping;

    DPO_TRY(jinja_new_array(call->run->pool, mapping->n, result));
    for (int64_t i = 0; i < mapping->n; i++)
        DPO_TRY(jinja_array_add(call->run->pool, result->array, mapping->values[i]));
    return DPO_OK;
}

static dpo_status items(const jinja_call *call, jinja_value *result)
{
    const jinja_mapping *mapping = call->self.mapping;
    jinja_pool *pool = call->run->pool;

    DPO_TRY(jinja_new_array(pool, mapping->n, result));
    for (int64_t i = 0; i < mapping->n; i++) {
        jinja_value pair;

        DPO_TRY(jinja_new_array(pool, 2, &pair));
        DPO_TRY(jinja_array_add(pool, pair.array, jinja_of_text(mapping->keys[i])));
        DPO_TRY(jinja_array_add(pool, pair.array, mapping->values[i]));
        DPO_TRY(jinja_array_add(pool, result->array, pair));
    }
    return DPO_OK;
}

static const jinja_row text_rows[] = {
    {"strip", 0, {"chars"}, strip},
    {"lstrip", 0, {"chars"}, lstrip},
    {"rstrip", 0, {"chars"}, rstrip},
    {"startswith", 1, {"prefix"}, startswith},
    {"endswith", 1, {"suffix"}, endswith},
    {"split", 0, {"sep", "maxsplit"}, split},
    {"find", 1, {"sub"}, find},
    {"replace", 2, {"old", "new", "count"}, replace},
    {"upper", 0, {NULL}, upper},
    {"lower", 0, {NULL}, lower},
    {"capitalize", 0, {NULL}, capitalize},
    {"title", 0, {NULL}, title},
};

static const jinja_row mapping_rows[] = {
    {"get", 1, {"key", "default"}, get},
    {"keys", 0, {NULL}, keys},
    {"values", 0, {NULL}, values},
    {"items", 0, {NULL}, items},
};

const jinja_row *jinja_find_method(jinja_value self, jinja_text name)
{
    if (self.kind == JINJA_STR)
        return jinja_find_row(text_rows, (int64_t)(sizeof text_rows / sizeof text_rows[0]), name);
    if (self.kind == JINJA_MAPPING)
        return jinja_find_row(mapping_rows, (int64_t)(sizeof mapping_rows / sizeof mapping_rows[0]),
                              name);
    return NULL;
}
