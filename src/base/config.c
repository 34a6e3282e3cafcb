// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/nearest.h"

/* Invariant: value[i] is NULL (absent) or a checked value of fields[i], owned. */
struct dpo_config {
    const dpo_field *fields;
    int n_fields;
    dpo_json **value;
};

enum { MAX_PATH = 128 };

dpo_status dpo_config_create(const dpo_field *fields, int n_fields, dpo_config **config)
{
    DPO_TRY(DPO_NEW(*config, 1));
    **config = (dpo_config){fields, n_fields, NULL};
    dpo_status status = DPO_NEW((*config)->value, n_fields);

    if (status != DPO_OK) dpo_config_destroy(config);
    return status;
}

void dpo_config_destroy(dpo_config **config)
{
    if (*config == NULL) return;
    for (int i = 0; (*config)->value != NULL && i < (*config)->n_fields; i++)
        dpo_json_destroy(&(*config)->value[i]);
    dpo_free((*config)->value);
    dpo_free(*config);
    *config = NULL;
}

static int index_of(const dpo_config *config, const char *path)
{
    for (int i = 0; i < config->n_fields; i++)
        if (strcmp(config->fields[i].path, path) == 0) return i;
    return -1;
}

static bool is_group(const dpo_config *config, const char *path)
{
    size_t n = strlen(path);

    for (int i = 0; i < config->n_fields; i++)
        if (strncmp(config->fields[i].path, path, n) == 0 && config->fields[i].path[n] == '.')
            return true;
    return false;
}

static dpo_status unknown_key(const dpo_config *config, const char *source, const char *path)
{
    const char **names;

    DPO_TRY(DPO_NEW(names, config->n_fields));
    for (int i = 0; i < config->n_fields; i++) names[i] = config->fields[i].path;
    dpo_status status = dpo_unknown_name(source, "configuration key", path, names, config->n_fields);

    dpo_free(names);
    return status;
}

const dpo_field *dpo_config_find(const dpo_config *config, const char *source, const char *path)
{
    int i = index_of(config, path);

    if (i >= 0) return &config->fields[i];
    (void)unknown_key(config, source, path);
    return NULL;
}

static dpo_status wrong_type(const char *source, const dpo_field *field, const dpo_json *value,
                             const char *expected)
{
    dpo_buffer text = {0};

    DPO_TRY(dpo_json_print(value, false, &text));
    dpo_status status = DPO_FAIL(DPO_EUSAGE, "%s: %s is %.60s, expected %s", source, field->path,
                                 dpo_buffer_text(&text), expected);

    dpo_buffer_destroy(&text);
    return status;
}

static dpo_status check_number(const char *source, const dpo_field *field, const dpo_json *value)
{
    bool whole = field->type == DPO_FIELD_INT;
    char expected[128];

    if (dpo_json_type_of(value) != DPO_JSON_NUMBER)
        return wrong_type(source, field, value, whole ? "a whole number" : "a number");
    double number = dpo_json_number(value);
    bool limited = field->min != field->max;

    if (whole && number == floor(number) && fabs(number) < 0x1p53 && !limited) return DPO_OK;
    if (!whole && isfinite(number) && !limited) return DPO_OK;
    if (limited && number >= field->min && number <= field->max &&
        (!whole || number == floor(number)))
        return DPO_OK;
    (void)snprintf(expected, sizeof expected, "a %snumber from %g to %g", whole ? "whole " : "",
                   limited ? field->min : -0x1p53, limited ? field->max : 0x1p53);
    return wrong_type(source, field, value, expected);
}

static int choice_index(const dpo_field *field, const char *name)
{
    for (int i = 0; field->choices[i] != NULL; i++)
        if (strcmp(field->choices[i], name) == 0) return i;
    return -1;
}

static dpo_status check_choice(const char *source, const dpo_field *field, const dpo_json *value)
{
    dpo_buffer expected = {0};
    dpo_status status = dpo_buffer_append_text(&expected, "one of");

    if (dpo_json_type_of(value) == DPO_JSON_TEXT &&
        choice_index(field, dpo_json_text(value)) >= 0) {
        dpo_buffer_destroy(&expected);
        return DPO_OK;
    }
    for (int i = 0; field->choices[i] != NULL && status == DPO_OK; i++)
        status = dpo_buffer_printf(&expected, "%s \"%s\"", i > 0 ? "," : "", field->choices[i]);
    if (status == DPO_OK) status = wrong_type(source, field, value, dpo_buffer_text(&expected));
    dpo_buffer_destroy(&expected);
    return status;
}

static dpo_status check_pair(const char *source, const dpo_field *field, const dpo_json *value)
{
    const dpo_json *first = dpo_json_first(value);

    if (dpo_json_type_of(value) != DPO_JSON_ARRAY || dpo_json_count(value) != 2)
        return wrong_type(source, field, value, "a list of two numbers");
    DPO_TRY(check_number(source, field, first));
    return check_number(source, field, dpo_json_next(first));
}

static dpo_status check(const char *source, const dpo_field *field, const dpo_json *value)
{
    switch (field->type) {
    case DPO_FIELD_BOOL:
        if (dpo_json_type_of(value) == DPO_JSON_BOOL) return DPO_OK;
        return wrong_type(source, field, value, "true or false");
    case DPO_FIELD_INT:
    case DPO_FIELD_REAL:
        return check_number(source, field, value);
    case DPO_FIELD_TEXT:
        if (dpo_json_type_of(value) == DPO_JSON_TEXT) return DPO_OK;
        return wrong_type(source, field, value, "a text");
    case DPO_FIELD_CHOICE:
        return check_choice(source, field, value);
    case DPO_FIELD_PAIR:
        return check_pair(source, field, value);
    case DPO_FIELD_JSON:
        return DPO_OK;
    }
    return DPO_OK;
}

/* Takes over *value on success. */
static dpo_status take(dpo_config *config, const char *source, int i, dpo_json **value)
{
    DPO_TRY(check(source, &config->fields[i], *value));
    dpo_json_destroy(&config->value[i]);
    config->value[i] = *value;
    *value = NULL;
    return DPO_OK;
}

static dpo_status add_member(dpo_config *config, const char *source, const char *path,
                             const dpo_json *node)
{
    int i = index_of(config, path);
    dpo_json *value;

    if (i < 0) return unknown_key(config, source, path);
    if (dpo_json_type_of(node) == DPO_JSON_NULL) return DPO_OK; /* null means: the default */
    DPO_TRY(dpo_json_copy(node, &value));
    dpo_status status = take(config, source, i, &value);

    dpo_json_destroy(&value);
    return status;
}

static bool is_repeated(const dpo_json *object, const dpo_json *member)
{
    return dpo_json_find(object, dpo_json_key(member)) != member;
}

/* Groups are one level deep, so this does not recurse. */
static dpo_status add_group(dpo_config *config, const char *source, const char *group,
                            const dpo_json *object)
{
    char path[MAX_PATH];

    for (const dpo_json *m = dpo_json_first(object); m != NULL; m = dpo_json_next(m)) {
        (void)snprintf(path, sizeof path, "%s.%s", group, dpo_json_key(m));
        if (is_repeated(object, m))
            return DPO_FAIL(DPO_EUSAGE, "%s: %s is given twice; keep one", source, path);
        DPO_TRY(add_member(config, source, path, m));
    }
    return DPO_OK;
}

static dpo_status add_root(dpo_config *config, const char *source, const dpo_json *root)
{
    if (dpo_json_type_of(root) != DPO_JSON_OBJECT)
        return DPO_FAIL(DPO_EUSAGE, "%s: is %s, expected an object of configuration keys", source,
                        dpo_json_type_name(dpo_json_type_of(root)));
    for (const dpo_json *m = dpo_json_first(root); m != NULL; m = dpo_json_next(m)) {
        const char *key = dpo_json_key(m);

        if (is_repeated(root, m))
            return DPO_FAIL(DPO_EUSAGE, "%s: %s is given twice; keep one", source, key);
        if (!is_group(config, key)) {
            DPO_TRY(add_member(config, source, key, m));
        } else if (dpo_json_type_of(m) == DPO_JSON_OBJECT) {
            DPO_TRY(add_group(config, source, key, m));
        } else {
            return DPO_FAIL(DPO_EUSAGE, "%s: %s is %s, expected an object of keys (see --help)",
                            source, key, dpo_json_type_name(dpo_json_type_of(m)));
        }
    }
    return DPO_OK;
}

dpo_status dpo_config_add_text(dpo_config *config, const char *source, const char *text)
{
    dpo_json *root;

    DPO_TRY(dpo_json_parse(source, text, (int64_t)strlen(text), DPO_JSON_COMMENTS, &root));
    dpo_status status = add_root(config, source, root);

    dpo_json_destroy(&root);
    return status;
}

dpo_status dpo_config_add_file(dpo_config *config, const char *path)
{
    dpo_json *root;

    DPO_TRY(dpo_json_read_file(path, DPO_JSON_COMMENTS, &root));
    dpo_status status = add_root(config, path, root);

    dpo_json_destroy(&root);
    return status;
}

/* A bare text needs no quotes on a command line; anything that is no JSON is a text too. */
static dpo_status parse_value(const dpo_field *field, const char *source, const char *value,
                              dpo_json **node)
{
    bool is_text = field->type == DPO_FIELD_TEXT || field->type == DPO_FIELD_CHOICE;
    dpo_json *array;

    if (!is_text && dpo_json_parse(source, value, (int64_t)strlen(value), DPO_JSON_STRICT, node) ==
                        DPO_OK)
        return DPO_OK;
    DPO_TRY(dpo_json_new_array(&array));
    dpo_status status = dpo_json_put_text(array, NULL, value);

    if (status == DPO_OK) status = dpo_json_copy(dpo_json_first(array), node);
    dpo_json_destroy(&array);
    return status;
}

dpo_status dpo_config_set(dpo_config *config, const char *source, const char *path,
                          const char *value)
{
    int i = index_of(config, path);
    dpo_json *node;

    if (i < 0) return unknown_key(config, source, path);
    DPO_TRY(parse_value(&config->fields[i], source, value, &node));
    dpo_status status = take(config, source, i, &node);

    dpo_json_destroy(&node);
    return status;
}

bool dpo_config_is_given(const dpo_config *config, const char *path)
{
    int i = index_of(config, path);

    DPO_ASSERT(i >= 0);
    return config->value[i] != NULL;
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
        *(int *)member = choice_index(field, dpo_json_text(value));
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

    DPO_TRY(dpo_json_new_array(&list));
    dpo_status status = dpo_json_put_number(list, NULL, pair[0]);

    if (status == DPO_OK) status = dpo_json_put_number(list, NULL, pair[1]);
    if (status == DPO_OK) return dpo_json_put_node(group, key, &list);
    dpo_json_destroy(&list);
    return status;
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
        return dpo_json_put_number(group, key, *(const double *)member);
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
    char name[MAX_PATH];
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
