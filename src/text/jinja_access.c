// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "jinja_run.h"
#include "jinja_string.h"

/* Attributes, indices and slices. What is not there is undefined; only of undefined nothing may be asked. */

static dpo_status make_method(jinja_run *run, jinja_value self, jinja_text name, jinja_value *value)
{
    jinja_method *method;
    void *memory;

    DPO_TRY(jinja_pool_take(run->pool, 1, sizeof *method, &memory));
    method = memory;
    method->self = self;
    method->name = name;
    *value = (jinja_value){.kind = JINJA_METHOD, .method = method};
    return DPO_OK;
}

static jinja_value find_member(jinja_value object, jinja_text name)
{
    const jinja_value *member = NULL;

    if (object.kind == JINJA_MAPPING || object.kind == JINJA_SPACE)
        member = jinja_mapping_find(object.mapping, name);
    return member != NULL ? *member : (jinja_value){.kind = JINJA_UNDEFINED};
}

dpo_status jinja_attribute(jinja_run *run, int64_t at, jinja_value object, jinja_text name,
                           jinja_value *value)
{
    if (object.kind == JINJA_UNDEFINED)
        return JINJA_FAIL(run->source, at, "asks for \"%.*s\" of something undefined", (int)name.n,
                          name.data);
    if (jinja_find_method(object, name) != NULL) return make_method(run, object, name, value);
    *value = find_member(object, name);
    return DPO_OK;
}

static dpo_status index_by_text(jinja_run *run, jinja_value object, jinja_text name,
                                jinja_value *value)
{
    *value = find_member(object, name);
    if (value->kind == JINJA_UNDEFINED && jinja_find_method(object, name) != NULL)
        return make_method(run, object, name, value);
    return DPO_OK;
}

static jinja_text character_at(jinja_text text, int64_t index)
{
    int64_t at = jinja_string_offset(text, index);

    return (jinja_text){text.data + at, jinja_character_length(text, at)};
}

dpo_status jinja_index(jinja_run *run, int64_t at, jinja_value object, jinja_value index,
                       jinja_value *value)
{
    *value = (jinja_value){.kind = JINJA_UNDEFINED};
    if (object.kind == JINJA_UNDEFINED)
        return JINJA_FAIL(run->source, at, "an index into something undefined");
    if (index.kind == JINJA_STR) return index_by_text(run, object, index.str, value);
    if (!jinja_is_whole(index) || (object.kind != JINJA_ARRAY && object.kind != JINJA_STR))
        return DPO_OK;
    int64_t n = jinja_length(object);
    int64_t i = jinja_whole_of(index);

    if (i < 0) i += n;
    if (i < 0 || i >= n) return DPO_OK;
    *value = object.kind == JINJA_ARRAY ? object.array->items[i]
                                        : jinja_of_text(character_at(object.str, i));
    return DPO_OK;
}

static bool is_absent(jinja_value bound)
{
    return bound.kind == JINJA_UNDEFINED || bound.kind == JINJA_NONE;
}

/* A bound of a slice as Python reads it: negative counts from the end; then into [low, high]. */
static int64_t clamp_bound(jinja_value bound, int64_t absent, int64_t n, int64_t low, int64_t high)
{
    if (is_absent(bound)) return absent;
    int64_t i = jinja_whole_of(bound);

    if (i < 0) i += n;
    return i < low ? low : i > high ? high : i;
}

static dpo_status join_characters(jinja_run *run, const jinja_array *characters, jinja_value *value)
{
    int64_t n = 0;
    void *memory;

    for (int64_t i = 0; i < characters->n; i++)
        n += characters->items[i].str.n;
    DPO_TRY(jinja_pool_take(run->pool, n, 1, &memory));
    *value = jinja_of_text((jinja_text){memory, n});
    n = 0;
    for (int64_t i = 0; i < characters->n; i++) {
        jinja_text c = characters->items[i].str;

        memcpy((char *)memory + n, c.data, (size_t)c.n);
        n += c.n;
    }
    return DPO_OK;
}

static dpo_status check_slice(jinja_run *run, int64_t at, jinja_value object,
                              const jinja_value bound[3])
{
    for (int i = 0; i < 3; i++)
        if (!is_absent(bound[i]) && !jinja_is_whole(bound[i]))
            return JINJA_FAIL(run->source, at, "a slice with %s, expected a whole number",
                              jinja_kind_name(bound[i].kind));
    if (!is_absent(bound[2]) && jinja_whole_of(bound[2]) == 0)
        return JINJA_FAIL(run->source, at, "a slice with step 0");
    if (object.kind != JINJA_ARRAY && object.kind != JINJA_STR)
        return JINJA_FAIL(run->source, at, "a slice of %s, expected a list or a text",
                          jinja_kind_name(object.kind));
    return DPO_OK;
}

dpo_status jinja_slice(jinja_run *run, int64_t at, jinja_value object, const jinja_value bound[3],
                       jinja_value *value)
{
    jinja_array *items;
    jinja_value slice;

    DPO_TRY(check_slice(run, at, object, bound));
    DPO_TRY(jinja_iterate(run->pool, object, &items));
    int64_t n = items->n;
    int64_t step = is_absent(bound[2]) ? 1 : jinja_whole_of(bound[2]);
    bool forward = step > 0;

    int64_t begin =
        forward ? clamp_bound(bound[0], 0, n, 0, n) : clamp_bound(bound[0], n - 1, n, -1, n - 1);
    int64_t end =
        forward ? clamp_bound(bound[1], n, n, 0, n) : clamp_bound(bound[1], -1, n, -1, n - 1);

    DPO_TRY(jinja_new_array(run->pool, 0, &slice));
    for (int64_t i = begin; forward ? i < end : i > end; i += step) {
        DPO_TRY(jinja_array_add(run->pool, slice.array, items->items[i]));
        if (step > n || step < -n) break;
    }
    *value = slice;
    return object.kind == JINJA_ARRAY ? DPO_OK : join_characters(run, slice.array, value);
}
