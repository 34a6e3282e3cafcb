// SPDX-License-Identifier: Apache-2.0
#include "jinja_json.h"

#include <string.h>

#include "dpo/base/buffer.h"

/* NOLINTBEGIN(misc-no-recursion): jinja_step_in() bounds the depth. */

typedef struct {
    const jinja_call *call;
    int64_t indent;
    int64_t level;
    dpo_buffer out;
} writer;

static dpo_status write_value(writer *w, jinja_value value);

static dpo_status write_text(writer *w, jinja_text text)
{
    static const char specials[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";

    DPO_TRY(dpo_buffer_append_text(&w->out, "\""));
    for (int64_t i = 0; i < text.n; i++) {
        char c = text.data[i];
        const char *special = c != '\0' ? strchr(specials, c) : NULL;

        if (special != NULL)
            DPO_TRY(dpo_buffer_printf(&w->out, "\\%c", letters[special - specials]));
        else if ((unsigned char)c < 0x20)
            DPO_TRY(dpo_buffer_printf(&w->out, "\\u%04x", (unsigned)c));
        else
            DPO_TRY(dpo_buffer_append(&w->out, &c, 1));
    }
    return dpo_buffer_append_text(&w->out, "\"");
}

/* Before an item (or the closing bracket, if is_end): a comma and white space. */
static dpo_status separate(writer *w, bool is_first, bool is_end)
{
    if (!is_first && !is_end) DPO_TRY(dpo_buffer_append_text(&w->out, w->indent < 0 ? ", " : ","));
    if (w->indent < 0 || (is_first && is_end)) return DPO_OK;
    DPO_TRY(dpo_buffer_append_text(&w->out, "\n"));
    for (int64_t i = 0; i < w->indent * w->level; i++)
        DPO_TRY(dpo_buffer_append_text(&w->out, " "));
    return DPO_OK;
}

static dpo_status write_array(writer *w, const jinja_array *array)
{
    DPO_TRY(dpo_buffer_append_text(&w->out, "["));
    w->level++;
    for (int64_t i = 0; i < array->n; i++) {
        DPO_TRY(separate(w, i == 0, false));
        DPO_TRY(write_value(w, array->items[i]));
    }
    w->level--;
    DPO_TRY(separate(w, array->n == 0, true));
    return dpo_buffer_append_text(&w->out, "]");
}

static dpo_status write_member(writer *w, jinja_text key, jinja_value value)
{
    DPO_TRY(write_text(w, key));
    DPO_TRY(dpo_buffer_append_text(&w->out, ": "));
    return write_value(w, value);
}

static dpo_status write_mapping(writer *w, const jinja_mapping *mapping)
{
    DPO_TRY(dpo_buffer_append_text(&w->out, "{"));
    w->level++;
    for (int64_t i = 0; i < mapping->n; i++) {
        DPO_TRY(separate(w, i == 0, false));
        DPO_TRY(write_member(w, mapping->keys[i], mapping->values[i]));
    }
    w->level--;
    DPO_TRY(separate(w, mapping->n == 0, true));
    return dpo_buffer_append_text(&w->out, "}");
}

static dpo_status write_scalar(writer *w, jinja_value value)
{
    jinja_text text;

    if (value.kind == JINJA_NONE) return dpo_buffer_append_text(&w->out, "null");
    if (value.kind == JINJA_BOOL)
        return dpo_buffer_append_text(&w->out, value.boolean ? "true" : "false");
    if (!jinja_is_number(value))
        return JINJA_FAIL(w->call->run->source, w->call->at, "\"tojson\" of %s",
                          jinja_kind_name(value.kind));
    DPO_TRY(jinja_print(w->call->run, w->call->at, value, &text));
    return dpo_buffer_append(&w->out, text.data, text.n);
}

static dpo_status write_value(writer *w, jinja_value value)
{
    DPO_TRY(jinja_step_in(w->call->run, w->call->at));
    switch (value.kind) {
    case JINJA_STR:
        DPO_TRY(write_text(w, value.str));
        break;
    case JINJA_ARRAY:
        DPO_TRY(write_array(w, value.array));
        break;
    case JINJA_MAPPING:
        DPO_TRY(write_mapping(w, value.mapping));
        break;
    default:
        DPO_TRY(write_scalar(w, value));
        break;
    }
    jinja_step_out(w->call->run);
    return DPO_OK;
}

dpo_status jinja_to_json(const jinja_call *call, jinja_value value, int64_t indent,
                         jinja_text *text)
{
    writer w = {.call = call, .indent = indent < 64 ? indent : 64};
    void *copy = NULL;
    dpo_status status = write_value(&w, value);

    if (status == DPO_OK) status = jinja_pool_take(call->run->pool, w.out.size_bytes, 1, &copy);
    if (status == DPO_OK) {
        memcpy(copy, dpo_buffer_text(&w.out), (size_t)w.out.size_bytes);
        *text = (jinja_text){copy, w.out.size_bytes};
    }
    dpo_buffer_destroy(&w.out);
    return status;
}

/* NOLINTEND(misc-no-recursion) */
