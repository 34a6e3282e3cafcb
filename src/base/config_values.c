// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config_private.h"
#include "dpo/base/memory.h"

int dpo_choice_index(const dpo_field *field, const char *name)
{
    for (int i = 0; field->choices[i] != NULL; i++)
        if (strcmp(field->choices[i], name) == 0) return i;
    return -1;
}

static dpo_status fill_field(const dpo_field *field, const dpo_json *value, void *member)
{
    switch (field->type) {
    case DPO_FIELD_BOOL:
        *(bool *)member = dpo_json_bool(value);
        return DPO_OK;
    case DPO_FIELD_INT:
        *(int64_t *)member = (int64_t)dpo_json_number(value);
        return DPO_OK;
    case DPO_FIELD_REAL:
        *(double *)member = dpo_json_number(value);
        return DPO_OK;
    case DPO_FIELD_TEXT:
        return dpo_text_copy(dpo_json_text(value), (char **)member);
    case DPO_FIELD_CHOICE:
        *(int *)member = dpo_choice_index(field, dpo_json_text(value));
        return DPO_OK;
    case DPO_FIELD_PAIR:
        ((double *)member)[0] = dpo_json_number(dpo_json_first(value));
        ((double *)member)[1] = dpo_json_number(dpo_json_next(dpo_json_first(value)));
        return DPO_OK;
    case DPO_FIELD_JSON:
        return dpo_json_copy(value, (dpo_json **)member);
    }
    return DPO_OK;
}

/* A number that is absent is NaN; all else is zero as the caller made it. */
static void leave_absent(const dpo_field *field, void *member)
{
    if (field->type == DPO_FIELD_REAL) *(double *)member = (double)NAN;
    if (field->type == DPO_FIELD_PAIR) ((double *)member)[0] = ((double *)member)[1] = (double)NAN;
}

dpo_status dpo_config_fill(const dpo_config *config, void *values)
{
    for (int i = 0; i < config->n_fields; i++) {
        const dpo_field *field = &config->fields[i];
        void *member = (char *)values + field->offset;
        dpo_json *initial = NULL;

        if (config->value[i] != NULL) {
            DPO_TRY(fill_field(field, config->value[i], member));
        } else if (field->initial != NULL) {
            DPO_TRY(dpo_json_parse(field->path, field->initial, (int64_t)strlen(field->initial),
                                   DPO_JSON_STRICT, &initial));
            dpo_status status = fill_field(field, initial, member);

            dpo_json_destroy(&initial);
            DPO_TRY(status);
        } else {
            leave_absent(field, member);
        }
    }
    return DPO_OK;
}

void dpo_config_values_destroy(const dpo_field *fields, int n_fields, void *values)
{
    for (int i = 0; i < n_fields; i++) {
        void *member = (char *)values + fields[i].offset;

        if (fields[i].type == DPO_FIELD_TEXT) {
            dpo_free(*(char **)member);
            *(char **)member = NULL;
        }
        if (fields[i].type == DPO_FIELD_JSON) dpo_json_destroy((dpo_json **)member);
    }
}

static dpo_status put_pair(dpo_json *group, const char *key, const double *pair)
{
    dpo_json *list;

    if (isnan(pair[0])) return dpo_json_put_null(group, key);
    DPO_TRY(dpo_json_new_array(&list));
    dpo_status status = dpo_json_put_number(list, NULL, pair[0]);

    if (status == DPO_OK) status = dpo_json_put_number(list, NULL, pair[1]);
    if (status == DPO_OK) return dpo_json_put_node(group, key, &list);
    dpo_json_destroy(&list);
    return status;
}

static dpo_status put_real(dpo_json *group, const char *key, double value)
{
    return isnan(value) ? dpo_json_put_null(group, key) : dpo_json_put_number(group, key, value);
}

static dpo_status put_json(dpo_json *group, const char *key, const dpo_json *value)
{
    dpo_json *copy;

    if (value == NULL) return dpo_json_put_null(group, key);
    DPO_TRY(dpo_json_copy(value, &copy));
    return dpo_json_put_node(group, key, &copy);
}

static dpo_status put_field(const dpo_field *field, const void *member, dpo_json *group,
                            const char *key)
{
    const char *text;

    switch (field->type) {
    case DPO_FIELD_BOOL:
        return dpo_json_put_bool(group, key, *(const bool *)member);
    case DPO_FIELD_INT:
        return dpo_json_put_int(group, key, *(const int64_t *)member);
    case DPO_FIELD_REAL:
        return put_real(group, key, *(const double *)member);
    case DPO_FIELD_TEXT:
        text = *(char *const *)member;
        return text != NULL ? dpo_json_put_text(group, key, text) : dpo_json_put_null(group, key);
    case DPO_FIELD_CHOICE:
        return dpo_json_put_text(group, key, field->choices[*(const int *)member]);
    case DPO_FIELD_PAIR:
        return put_pair(group, key, member);
    case DPO_FIELD_JSON:
        return put_json(group, key, *(dpo_json *const *)member);
    }
    return DPO_OK;
}

/* The object that holds a path's last part: root or one of its groups, made when first needed. */
static dpo_status group_of(dpo_json *root, const char *path, dpo_json **group, const char **key)
{
    const char *dot = strchr(path, '.');
    char name[DPO_MAX_KEY_BYTES];
    dpo_json *made;

    *group = root;
    *key = path;
    if (dot == NULL) return DPO_OK;
    (void)snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
    *key = dot + 1;
    *group = dpo_json_find(root, name);
    if (*group != NULL) return DPO_OK;
    DPO_TRY(dpo_json_new_object(&made));
    *group = made;
    return dpo_json_put_node(root, name, &made);
}

dpo_status dpo_config_to_json(const dpo_field *fields, int n_fields, const void *values,
                              dpo_json **root)
{
    dpo_status status;

    DPO_TRY(dpo_json_new_object(root));
    status = DPO_OK;
    for (int i = 0; i < n_fields && status == DPO_OK; i++) {
        dpo_json *group;
        const char *key;

        status = group_of(*root, fields[i].path, &group, &key);
        if (status == DPO_OK)
            status = put_field(&fields[i], (const char *)values + fields[i].offset, group, key);
    }
    if (status != DPO_OK) dpo_json_destroy(root);
    return status;
}

static dpo_status help_of_type(const dpo_field *field, dpo_buffer *out)
{
    static const char *const names[] = {"true|false", "whole number", "number", "text",
                                        "",           "[a, b]",       "JSON"};

    if (field->type != DPO_FIELD_CHOICE) return dpo_buffer_append_text(out, names[field->type]);
    for (int i = 0; field->choices[i] != NULL; i++)
        DPO_TRY(dpo_buffer_printf(out, "%s%s", i > 0 ? "|" : "", field->choices[i]));
    return DPO_OK;
}

dpo_status dpo_config_help(const dpo_field *fields, int n_fields, unsigned flags, dpo_buffer *out)
{
    for (int i = 0; i < n_fields; i++) {
        const dpo_field *field = &fields[i];
        const char *initial = field->initial_help ? field->initial_help : field->initial;

        if ((field->flags & flags) != flags) continue;
        DPO_TRY(dpo_buffer_printf(out, "  %-24s ", field->path));
        DPO_TRY(help_of_type(field, out));
        if (field->unit != NULL) DPO_TRY(dpo_buffer_printf(out, ", %s", field->unit));
        if (initial != NULL) DPO_TRY(dpo_buffer_printf(out, " [%s]", initial));
        DPO_TRY(dpo_buffer_printf(out, "\n      %s\n", field->help));
    }
    return DPO_OK;
}
