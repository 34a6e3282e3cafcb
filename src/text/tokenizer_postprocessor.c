// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_postprocessor.h"

#include <string.h>

#include "tokenizer_component.h"

/* What is filled, and the tokens that there are. */
typedef struct {
    tokenizer_postprocessor *postprocessor;
    const tokenizer_vocab *model;
    const tokenizer_vocab *added;
} loader;

static dpo_status append_ids(const char *where, const dpo_json *special_token, const char *name,
                             const loader *l, dpo_buffer *ids)
{
    const dpo_json *list;

    DPO_TRY(dpo_json_get(special_token, where, "ids", DPO_JSON_ARRAY, &list));
    for (const dpo_json *i = dpo_json_first(list); i != NULL; i = dpo_json_next(i)) {
        double number = dpo_json_type_of(i) == DPO_JSON_NUMBER ? dpo_json_number(i) : -1;
        int32_t id = number >= 0 && number <= TOKENIZER_MAX_ID ? (int32_t)number : -1;

        if ((double)id != number || (tokenizer_vocab_text(l->model, id) == NULL &&
                                     tokenizer_vocab_text(l->added, id) == NULL))
            return DPO_FAIL(
                DPO_EDATA,
                "%s.special_tokens: an id of \"%s\" is that of no token, expected one of "
                "the vocabulary or of \"added_tokens\"; the file is damaged",
                where, name);
        DPO_TRY(dpo_buffer_append(ids, &id, sizeof id));
    }
    return DPO_OK;
}

/* One item of the template: the text itself, or a special token with its ids in the table
   special_tokens. */
static dpo_status load_item(const char *where, const dpo_json *item, const dpo_json *special_tokens,
                            int *n_texts, const loader *l)
{
    tokenizer_postprocessor *postprocessor = l->postprocessor;
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
    return append_ids(where, token, name, l,
                      *n_texts == 0 ? &postprocessor->before : &postprocessor->after);
}

static dpo_status load_template(const char *where, const dpo_json *node, void *list)
{
    const loader *l = list;
    const dpo_json *single;
    const dpo_json *special_tokens;
    int n_texts = 0;

    if (l->postprocessor->has_template)
        return DPO_FAIL(DPO_EDATA, "%s: a second TemplateProcessing, expected one", where);
    l->postprocessor->has_template = true;
    DPO_TRY(dpo_json_get(node, where, "single", DPO_JSON_ARRAY, &single));
    DPO_TRY(dpo_json_get(node, where, "special_tokens", DPO_JSON_OBJECT, &special_tokens));
    for (const dpo_json *i = dpo_json_first(single); i != NULL; i = dpo_json_next(i))
        DPO_TRY(load_item(where, i, special_tokens, &n_texts, l));
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
                                        const tokenizer_vocab *model, const tokenizer_vocab *added,
                                        tokenizer_postprocessor *postprocessor)
{
    loader l = {postprocessor, model, added};

    return tokenizer_components_load(where, &kind, node, &l);
}

void tokenizer_postprocessor_destroy(tokenizer_postprocessor *postprocessor)
{
    dpo_buffer_destroy(&postprocessor->before);
    dpo_buffer_destroy(&postprocessor->after);
}
