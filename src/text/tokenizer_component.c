// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_component.h"

#include <string.h>

#include "tokenizer_unicode.h"

static dpo_status refuse(const char *where, const tokenizer_component_kind *kind, const char *type)
{
    dpo_buffer known = {0};
    dpo_status status = DPO_OK;

    for (int i = 0; i < kind->n_components && status == DPO_OK; i++)
        status = dpo_buffer_printf(&known, ", %s", kind->component[i].type);
    if (status == DPO_OK)
        status =
            DPO_FAIL(DPO_EDATA, "%s: the type \"%s\" is not supported, expected one of Sequence%s",
                     where, type, dpo_buffer_text(&known));
    dpo_buffer_destroy(&known);
    return status;
}

/* NOLINTBEGIN(misc-no-recursion): sequences are as deep as the JSON, which is bounded. */

static dpo_status load_item(const char *where, int64_t i, const tokenizer_component_kind *kind,
                            const dpo_json *node, void *list)
{
    dpo_buffer place = {0};
    dpo_status status = dpo_buffer_printf(&place, "%s.%s[%lld]", where, kind->items, (long long)i);

    if (status == DPO_OK)
        status = tokenizer_components_load(dpo_buffer_text(&place), kind, node, list);
    dpo_buffer_destroy(&place);
    return status;
}

static dpo_status load_sequence(const char *where, const tokenizer_component_kind *kind,
                                const dpo_json *node, void *list)
{
    const dpo_json *items;
    int64_t i = 0;

    DPO_TRY(dpo_json_get(node, where, kind->items, DPO_JSON_ARRAY, &items));
    for (const dpo_json *item = dpo_json_first(items); item != NULL; item = dpo_json_next(item))
        DPO_TRY(load_item(where, i++, kind, item, list));
    return DPO_OK;
}

dpo_status tokenizer_components_load(const char *where, const tokenizer_component_kind *kind,
                                     const dpo_json *node, void *list)
{
    const char *type;

    if (node == NULL || dpo_json_type_of(node) == DPO_JSON_NULL) return DPO_OK;
    DPO_TRY(dpo_json_get_text(node, where, "type", &type));
    if (strcmp(type, "Sequence") == 0) return load_sequence(where, kind, node, list);
    for (int i = 0; i < kind->n_components; i++)
        if (strcmp(type, kind->component[i].type) == 0)
            return kind->component[i].load(where, node, list);
    return refuse(where, kind, type);
}

/* NOLINTEND(misc-no-recursion) */

dpo_status tokenizer_get_char(const dpo_json *node, const char *where, const char *key,
                              const char **c)
{
    int64_t length = 0;

    DPO_TRY(dpo_json_get_text(node, where, key, c));
    if (**c != '\0') (void)tokenizer_char_at(*c, (int64_t)strlen(*c), &length);
    if (length > 0 && (*c)[length] == '\0') return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s.%s is \"%s\", expected one character", where, key, *c);
}
