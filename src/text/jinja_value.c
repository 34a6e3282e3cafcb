// SPDX-License-Identifier: Apache-2.0
#include "jinja_value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja_string.h"

/* NOLINTBEGIN(misc-no-recursion): lists and dicts are as deep as the JSON or the literal they come from, which are bounded. */

jinja_value jinja_of_bool(bool boolean)
{
    return (jinja_value){.kind = JINJA_BOOL, .boolean = boolean};
}

jinja_value jinja_of_int(int64_t integer)
{
    return (jinja_value){.kind = JINJA_INT, .integer = integer};
}

jinja_value jinja_of_text(jinja_text text)
{
    return (jinja_value){.kind = JINJA_STR, .str = text};
}

jinja_value jinja_of_terminated(const char *text)
{
    return jinja_of_text((jinja_text){text, (int64_t)strlen(text)});
}

static jinja_value of_number(double number)
{
    if (number == floor(number) && fabs(number) < 0x1p53) return jinja_of_int((int64_t)number);
    return (jinja_value){.kind = JINJA_DOUBLE, .number = number};
}

static dpo_status of_json_array(jinja_pool *pool, const dpo_json *node, jinja_value *value)
{
    DPO_TRY(jinja_new_array(pool, dpo_json_count(node), value));
    for (const dpo_json *i = dpo_json_first(node); i != NULL; i = dpo_json_next(i)) {
        jinja_value item;

        DPO_TRY(jinja_of_json(pool, i, &item));
        DPO_TRY(jinja_array_add(pool, value->array, item));
    }
    return DPO_OK;
}

static dpo_status of_json_object(jinja_pool *pool, const dpo_json *node, jinja_value *value)
{
    DPO_TRY(jinja_new_mapping(pool, dpo_json_count(node), value));
    for (const dpo_json *i = dpo_json_first(node); i != NULL; i = dpo_json_next(i)) {
        const char *key = dpo_json_key(i);
        jinja_value item;

        DPO_TRY(jinja_of_json(pool, i, &item));
        DPO_TRY(
            jinja_mapping_put(pool, value->mapping, (jinja_text){key, (int64_t)strlen(key)}, item));
    }
    return DPO_OK;
}

dpo_status jinja_of_json(jinja_pool *pool, const dpo_json *node, jinja_value *value)
{
    *value = (jinja_value){.kind = JINJA_NONE};
    switch (dpo_json_type_of(node)) {
    case DPO_JSON_NULL:
        break;
    case DPO_JSON_BOOL:
        *value = jinja_of_bool(dpo_json_bool(node));
        break;
    case DPO_JSON_NUMBER:
        *value = of_number(dpo_json_number(node));
        break;
    case DPO_JSON_TEXT:
        *value = jinja_of_terminated(dpo_json_text(node));
        break;
    case DPO_JSON_ARRAY:
        return of_json_array(pool, node, value);
    case DPO_JSON_OBJECT:
        return of_json_object(pool, node, value);
    }
    return DPO_OK;
}

const char *jinja_kind_name(jinja_value_kind kind)
{
    static const char *const names[] = {"undefined",   "none",       "true or false", "a number",
                                        "a number",    "a text",     "a list",        "a dict",
                                        "a namespace", "a function", "a method",      "a macro"};

    return names[kind];
}

dpo_status jinja_new_array(jinja_pool *pool, int64_t capacity, jinja_value *value)
{
    void *memory;

    *value = (jinja_value){.kind = JINJA_ARRAY};
    DPO_TRY(jinja_pool_take(pool, 1, sizeof *value->array, &memory));
    value->array = memory;
    DPO_TRY(jinja_pool_take(pool, capacity, sizeof(jinja_value), &memory));
    value->array->items = memory;
    value->array->capacity = capacity;
    return DPO_OK;
}

dpo_status jinja_array_add(jinja_pool *pool, jinja_array *array, jinja_value item)
{
    if (array->n == array->capacity) {
        int64_t capacity = 2 * array->capacity + 4;
        void *memory;

        DPO_TRY(jinja_pool_take(pool, capacity, sizeof item, &memory));
        if (array->n > 0) memcpy(memory, array->items, (size_t)array->n * sizeof item);
        array->items = memory;
        array->capacity = capacity;
    }
    array->items[array->n++] = item;
    return DPO_OK;
}

static dpo_status reserve_mapping(jinja_pool *pool, jinja_mapping *mapping, int64_t capacity)
{
    void *keys;
    void *values;

    DPO_TRY(jinja_pool_take(pool, capacity, sizeof(jinja_text), &keys));
    DPO_TRY(jinja_pool_take(pool, capacity, sizeof(jinja_value), &values));
    if (mapping->n > 0) {
        memcpy(keys, mapping->keys, (size_t)mapping->n * sizeof(jinja_text));
        memcpy(values, mapping->values, (size_t)mapping->n * sizeof(jinja_value));
    }
    mapping->keys = keys;
    mapping->values = values;
    mapping->capacity = capacity;
    return DPO_OK;
}

dpo_status jinja_new_mapping(jinja_pool *pool, int64_t capacity, jinja_value *value)
{
    void *memory;

    *value = (jinja_value){.kind = JINJA_MAPPING};
    DPO_TRY(jinja_pool_take(pool, 1, sizeof *value->mapping, &memory));
    value->mapping = memory;
    return reserve_mapping(pool, value->mapping, capacity);
}

const jinja_value *jinja_mapping_find(const jinja_mapping *mapping, jinja_text key)
{
    for (int64_t i = 0; i < mapping->n; i++)
        if (jinja_text_equal(mapping->keys[i], key)) return &mapping->values[i];
    return NULL;
}

dpo_status jinja_mapping_put(jinja_pool *pool, jinja_mapping *mapping, jinja_text key,
                             jinja_value item)
{
    for (int64_t i = 0; i < mapping->n; i++) {
        if (!jinja_text_equal(mapping->keys[i], key)) continue;
        mapping->values[i] = item;
        return DPO_OK;
    }
    if (mapping->n == mapping->capacity)
        DPO_TRY(reserve_mapping(pool, mapping, 2 * mapping->capacity + 4));
    mapping->keys[mapping->n] = key;
    mapping->values[mapping->n++] = item;
    return DPO_OK;
}

bool jinja_is_number(jinja_value value)
{
    return value.kind == JINJA_DOUBLE || jinja_is_whole(value);
}

bool jinja_is_whole(jinja_value value)
{
    return value.kind == JINJA_BOOL || value.kind == JINJA_INT;
}

double jinja_number_of(jinja_value value)
{
    return value.kind == JINJA_DOUBLE ? value.number : (double)jinja_whole_of(value);
}

int64_t jinja_whole_of(jinja_value value)
{
    return value.kind == JINJA_BOOL ? value.boolean : value.integer;
}

int64_t jinja_length(jinja_value value)
{
    switch (value.kind) {
    case JINJA_STR:
        return jinja_string_length(value.str);
    case JINJA_ARRAY:
        return value.array->n;
    case JINJA_MAPPING:
        return value.mapping->n;
    case JINJA_UNDEFINED:
        return 0;
    default:
        return -1;
    }
}

bool jinja_is_true(jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_STR:
        return value.str.n > 0;
    case JINJA_ARRAY:
    case JINJA_MAPPING:
        return jinja_length(value) > 0;
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_DOUBLE:
        return jinja_number_of(value) != 0.0;
    default:
        return true;
    }
}

static bool arrays_equal(const jinja_array *a, const jinja_array *b)
{
    if (a->n != b->n) return false;
    for (int64_t i = 0; i < a->n; i++)
        if (!jinja_equal(a->items[i], b->items[i])) return false;
    return true;
}

static bool mappings_equal(const jinja_mapping *a, const jinja_mapping *b)
{
    if (a->n != b->n) return false;
    for (int64_t i = 0; i < a->n; i++) {
        const jinja_value *other = jinja_mapping_find(b, a->keys[i]);

        if (other == NULL || !jinja_equal(a->values[i], *other)) return false;
    }
    return true;
}

bool jinja_equal(jinja_value a, jinja_value b)
{
    if (jinja_is_number(a) && jinja_is_number(b)) return jinja_number_of(a) == jinja_number_of(b);
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    case JINJA_STR:
    case JINJA_FUNCTION:
        return jinja_text_equal(a.str, b.str);
    case JINJA_ARRAY:
        return a.array == b.array || arrays_equal(a.array, b.array);
    case JINJA_MAPPING:
        return a.mapping == b.mapping || mappings_equal(a.mapping, b.mapping);
    default:
        return a.mapping == b.mapping;
    }
}

static dpo_status iterate_text(jinja_pool *pool, jinja_text text, jinja_array *array)
{
    for (int64_t i = 0; i < text.n;) {
        int64_t n = jinja_character_length(text, i);

        DPO_TRY(jinja_array_add(pool, array, jinja_of_text((jinja_text){text.data + i, n})));
        i += n;
    }
    return DPO_OK;
}

dpo_status jinja_iterate(jinja_pool *pool, jinja_value value, jinja_array **array)
{
    jinja_value list;
    int64_t n = jinja_length(value);

    *array = NULL;
    if (n < 0) return DPO_OK;
    if (value.kind == JINJA_ARRAY) {
        *array = value.array;
        return DPO_OK;
    }
    DPO_TRY(jinja_new_array(pool, n, &list));
    if (value.kind == JINJA_STR) DPO_TRY(iterate_text(pool, value.str, list.array));
    for (int64_t i = 0; value.kind == JINJA_MAPPING && i < n; i++)
        DPO_TRY(jinja_array_add(pool, list.array, jinja_of_text(value.mapping->keys[i])));
    *array = list.array;
    return DPO_OK;
}

/* Shortest digits that read back as the same number, always with a point or an exponent. */
static void format_double(double number, char *digits, size_t n)
{
    for (int precision = 1; precision <= 17; precision++) {
        (void)snprintf(digits, n, "%.*g", precision, number);
        if (strtod(digits, NULL) == number) break;
    }
    if (strpbrk(digits, ".en") == NULL) (void)strncat(digits, ".0", n - strlen(digits) - 1);
}

dpo_status jinja_to_text(jinja_pool *pool, jinja_value value, jinja_text *text, bool *can)
{
    char digits[40] = "";
    void *copy;

    *can = true;
    *text = JINJA_TEXT("");
    switch (value.kind) {
    case JINJA_UNDEFINED:
        return DPO_OK;
    case JINJA_NONE:
        *text = JINJA_TEXT("None");
        return DPO_OK;
    case JINJA_BOOL:
        *text = value.boolean ? JINJA_TEXT("True") : JINJA_TEXT("False");
        return DPO_OK;
    case JINJA_STR:
        *text = value.str;
        return DPO_OK;
    case JINJA_INT:
        (void)snprintf(digits, sizeof digits, "%lld", (long long)value.integer);
        break;
    case JINJA_DOUBLE:
        format_double(value.number, digits, sizeof digits);
        break;
    default:
        *can = false;
        return DPO_OK;
    }
    DPO_TRY(jinja_pool_take(pool, (int64_t)strlen(digits), 1, &copy));
    memcpy(copy, digits, strlen(digits));
    *text = (jinja_text){copy, (int64_t)strlen(digits)};
    return DPO_OK;
}

/* NOLINTEND(misc-no-recursion) */
