// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config_private.h"
#include "dpo/base/memory.h"
#include "dpo/base/nearest.h"

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
    for (int i = 0; i < config->n_fields; i++)
        names[i] = config->fields[i].path;
    dpo_status status =
        dpo_unknown_name(source, "configuration key", path, names, config->n_fields);

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

static dpo_status check_choice(const char *source, const dpo_field *field, const dpo_json *value)
{
    dpo_buffer expected = {0};
    dpo_status status = dpo_buffer_append_text(&expected, "one of");

    if (dpo_json_type_of(value) == DPO_JSON_TEXT &&
        dpo_choice_index(field, dpo_json_text(value)) >= 0) {
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
    char path[DPO_MAX_KEY_BYTES];

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
    bool is_text = (field->type == DPO_FIELD_TEXT || field->type == DPO_FIELD_CHOICE) &&
                   strcmp(value, "null") != 0;
    dpo_json *array;

    if (!is_text &&
        dpo_json_parse(source, value, (int64_t)strlen(value), DPO_JSON_STRICT, node) == DPO_OK)
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
    dpo_status status = DPO_OK;

    if (dpo_json_type_of(node) == DPO_JSON_NULL)
        dpo_json_destroy(&config->value[i]);
    else
        status = take(config, source, i, &node);
    dpo_json_destroy(&node);
    return status;
}

bool dpo_config_is_given(const dpo_config *config, const char *path)
{
    int i = index_of(config, path);

    DPO_ASSERT(i >= 0);
    return config->value[i] != NULL;
}
