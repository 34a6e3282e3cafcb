// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "jinja_run.h"
#include "jinja_string.h"

static const char *const op_texts[] = {"+",  "-",  "*", "/",  "//", "%",  "**", "~",
                                       "==", "!=", "<", "<=", ">",  ">=", "in", "not in"};

static dpo_status refuse(jinja_run *run, int64_t at, jinja_op op, jinja_value a, jinja_value b)
{
    return JINJA_FAIL(run->source, at, "\"%s\" has no meaning between %s and %s", op_texts[op],
                      jinja_kind_name(a.kind), jinja_kind_name(b.kind));
}

static double calculate(jinja_op op, double a, double b)
{
    switch (op) {
    case JINJA_OP_ADD:
        return a + b;
    case JINJA_OP_SUBTRACT:
        return a - b;
    case JINJA_OP_MULTIPLY:
        return a * b;
    case JINJA_OP_FLOOR_DIVIDE:
        return floor(a / b);
    case JINJA_OP_MODULO:
        return a - b * floor(a / b);
    case JINJA_OP_POWER:
        return pow(a, b);
    default:
        return a / b;
    }
}

/* Whole numbers stay whole; they are calculated as doubles, so beyond 2^53 they are refused. */
static dpo_status arithmetic(jinja_run *run, int64_t at, jinja_op op, jinja_value a, jinja_value b,
                             jinja_value *value)
{
    bool divides = op == JINJA_OP_DIVIDE || op == JINJA_OP_FLOOR_DIVIDE || op == JINJA_OP_MODULO;
    bool is_whole = jinja_is_whole(a) && jinja_is_whole(b) && op != JINJA_OP_DIVIDE &&
                    !(op == JINJA_OP_POWER && jinja_number_of(b) < 0.0);

    if (divides && jinja_number_of(b) == 0.0)
        return JINJA_FAIL(run->source, at, "division by zero");
    double result = calculate(op, jinja_number_of(a), jinja_number_of(b));

    if (!is_whole) {
        *value = (jinja_value){.kind = JINJA_DOUBLE, .number = result};
        return DPO_OK;
    }
    if (!(fabs(result) < 0x1p53)) return JINJA_FAIL(run->source, at, "a number that is too large");
    *value = jinja_of_int((int64_t)result);
    return DPO_OK;
}

static dpo_status join_arrays(jinja_run *run, const jinja_array *a, const jinja_array *b,
                              jinja_value *value)
{
    DPO_TRY(jinja_new_array(run->pool, a->n + b->n, value));
    if (a->n > 0) memcpy(value->array->items, a->items, (size_t)a->n * sizeof *a->items);
    if (b->n > 0) memcpy(value->array->items + a->n, b->items, (size_t)b->n * sizeof *b->items);
    value->array->n = a->n + b->n;
    return DPO_OK;
}

static dpo_status join_texts(jinja_run *run, jinja_text a, jinja_text b, jinja_value *value)
{
    *value = jinja_of_terminated("");
    return jinja_string_join(run->pool, a, b, &value->str);
}

static dpo_status repeat_text(jinja_run *run, jinja_text text, int64_t times, jinja_value *value)
{
    void *memory;

    if (times < 0 || text.n == 0) times = 0;
    DPO_TRY(jinja_pool_take(run->pool, times, text.n > 0 ? (size_t)text.n : 1, &memory));
    for (int64_t i = 0; i < times; i++)
        memcpy((char *)memory + i * text.n, text.data, (size_t)text.n);
    *value = jinja_of_text((jinja_text){memory, times * text.n});
    return DPO_OK;
}

static dpo_status concatenate(jinja_run *run, int64_t at, jinja_value a, jinja_value b,
                              jinja_value *value)
{
    jinja_text left;
    jinja_text right;

    DPO_TRY(jinja_print(run, at, a, &left));
    DPO_TRY(jinja_print(run, at, b, &right));
    return join_texts(run, left, right, value);
}

/* Negative, zero or positive: order of numbers, or of texts by code points. */
static bool order(jinja_value a, jinja_value b, int *sign)
{
    if (jinja_is_number(a) && jinja_is_number(b)) {
        double difference = jinja_number_of(a) - jinja_number_of(b);

        *sign = (difference > 0.0) - (difference < 0.0);
        return true;
    }
    if (a.kind != JINJA_STR || b.kind != JINJA_STR) return false;
    int64_t n = a.str.n < b.str.n ? a.str.n : b.str.n;

    *sign = n > 0 ? memcmp(a.str.data, b.str.data, (size_t)n) : 0;
    if (*sign == 0) *sign = (a.str.n > b.str.n) - (a.str.n < b.str.n);
    return true;
}

static dpo_status compare(jinja_run *run, int64_t at, jinja_op op, jinja_value a, jinja_value b,
                          jinja_value *value)
{
    int sign;

    if (!order(a, b, &sign)) return refuse(run, at, op, a, b);
    *value = jinja_of_bool(op == JINJA_OP_LESS         ? sign < 0
                           : op == JINJA_OP_LESS_EQUAL ? sign <= 0
                           : op == JINJA_OP_GREATER    ? sign > 0
                                                       : sign >= 0);
    return DPO_OK;
}

static dpo_status contains(jinja_run *run, int64_t at, jinja_op op, jinja_value item,
                           jinja_value container, jinja_value *value)
{
    bool is_in = false;

    switch (container.kind) {
    case JINJA_UNDEFINED:
        break;
    case JINJA_STR:
        if (item.kind != JINJA_STR) return refuse(run, at, op, item, container);
        is_in = jinja_string_find(container.str, item.str, 0) >= 0;
        break;
    case JINJA_ARRAY:
        for (int64_t i = 0; i < container.array->n && !is_in; i++)
            is_in = jinja_equal(container.array->items[i], item);
        break;
    case JINJA_MAPPING:
        is_in = item.kind == JINJA_STR && jinja_mapping_find(container.mapping, item.str) != NULL;
        break;
    default:
        return refuse(run, at, op, item, container);
    }
    *value = jinja_of_bool(is_in == (op == JINJA_OP_IN));
    return DPO_OK;
}

dpo_status jinja_binary(jinja_run *run, int64_t at, jinja_op op, jinja_value a, jinja_value b,
                        jinja_value *value)
{
    switch (op) {
    case JINJA_OP_EQUAL:
    case JINJA_OP_NOT_EQUAL:
        *value = jinja_of_bool(jinja_equal(a, b) == (op == JINJA_OP_EQUAL));
        return DPO_OK;
    case JINJA_OP_IN:
    case JINJA_OP_NOT_IN:
        return contains(run, at, op, a, b, value);
    case JINJA_OP_CONCATENATE:
        return concatenate(run, at, a, b, value);
    case JINJA_OP_LESS:
    case JINJA_OP_LESS_EQUAL:
    case JINJA_OP_GREATER:
    case JINJA_OP_GREATER_EQUAL:
        return compare(run, at, op, a, b, value);
    case JINJA_OP_ADD:
        if (a.kind == JINJA_STR && b.kind == JINJA_STR) return join_texts(run, a.str, b.str, value);
        if (a.kind == JINJA_ARRAY && b.kind == JINJA_ARRAY)
            return join_arrays(run, a.array, b.array, value);
        break;
    case JINJA_OP_MULTIPLY:
        if (a.kind == JINJA_STR && jinja_is_whole(b))
            return repeat_text(run, a.str, jinja_whole_of(b), value);
        if (b.kind == JINJA_STR && jinja_is_whole(a))
            return repeat_text(run, b.str, jinja_whole_of(a), value);
        break;
    default:
        break;
    }
    if (!jinja_is_number(a) || !jinja_is_number(b)) return refuse(run, at, op, a, b);
    return arithmetic(run, at, op, a, b, value);
}
