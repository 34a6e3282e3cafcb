// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_postprocessor.h"

#include <string.h>

#include "tokenizer_component.h"
#include "tokenizer_vocab.h"

static dpo_status append_ids(const char *where, const dpo_json *special_token, dpo_buffer *ids)
{
    const dpo_json *list;

    DPO_TRY(dpo_json_get(special_token, where, "ids", DPO_JSON_ARRAY, &list));
    for (const dpo_json *i = dpo_json_first(list); i != NULL; i = dpo_json_next(i)) {
        double number = dpo_json_type_of(i) == DPO_JSON_NUMBER ? dpo_json_number(i) : -1;
        int32_t id = number >= 0 && number <= TOKENIZER_MAX_ID ? (int32_t)number : -1;

        if (id < 0 || (double)id != number)
            return DPO_FAIL(DPO_EDATA, "%s: an item of \"ids\" is no token id", where);
        DPO_TRY(dpo_buffer_append(ids, &id, sizeof id));
    }
    return DPO_OK;
}

/* One item of the template: the text itself, or a special token with its ids in the table
   special_tokens. */
static dpo_status load_item(const char *where, const dpo_json *item, const dpo_json *special_tokens,
                            int *n_texts, tokenizer_postprocessor *postprocessor)
{
    const dpo_json *text = dpo_json_find(item, "Sequence");
    const dpo_json *token;
    const char *name;

    if (text != NULL) {
        DPO_TRY(dpo_json_get_text(text, where, "id", &name));
        if (strcmp(name, "A") == 0 && ++*n_texts == 1) return DPO_OK;
        return DPO_FAIL(DPO_EDATA, "%s.single: \"Sequence\" must be there once, with the id \"A\"",
                        where);
    }
    DPO_TRY(dpo_json_get(item, where, "SpecialToken", DPO_JSON_OBJECT, &token));
    DPO_TRY(dpo_json_get_text(token, where, "id", &name));
    DPO_TRY(dpo_json_get(special_tokens, where, name, DPO_JSON_OBJECT, &token));
    return append_ids(where, token, *n_texts == 0 ? &postprocessor->before : &postprocessor->after);
}

static dpo_status load_template(const char *where, const dpo_json *node, void *list)
{
    tokenizer_postprocessor *postprocessor = list;
    const dpo_json *single;
    const dpo_json *special_tokens;
    int n_texts = 0;

    if (postprocessor->has_template)
        return DPO_FAIL(DPO_EDATA, "%s: a second TemplateProcessing, expected one", where);
    postprocessor->has_template = true;
    DPO_TRY(dpo_json_get(node, where, "single", DPO_JSON_ARRAY, &single));
    DPO_TRY(dpo_json_get(node, where, "special_tokens", DPO_JSON_OBJECT, &special_tokens));
    for (const dpo_json *i = dpo_json_first(single); i != NULL; i = dpo_json_next(i))
        DPO_TRY(load_item(where, i, special_tokens, &n_texts, postprocessor));
    if (n_texts == 1) return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s.single: no \"Sequence\", expected the text somewhere", where);
}

/* It changes offsets into the text only, which nobody asks for. */
static dpo_status load_byte_level(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    (void)list;
    return DPO_OK;
}

static const tokenizer_component components[] = {
    {"TemplateProcessing", load_template},
    {"ByteLevel", load_byte_level},
};

static const tokenizer_component_kind kind = {"processors", components,
                                              sizeof components / sizeof *components};

dpo_status tokenizer_postprocessor_load(const char *where, const dpo_json *node,
                                        tokenizer_postprocessor *postprocessor)
{
    return tokenizer_components_load(where, &kind, node, postprocessor);
}

void tokenizer_postprocessor_destroy(tokenizer_postprocessor *postprocessor)
{
    dpo_buffer_destroy(&postprocessor->before);
    dpo_buffer_destroy(&postprocessor->after);
}
