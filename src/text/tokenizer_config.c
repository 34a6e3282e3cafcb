// SPDX-License-Identifier: Apache-2.0
/* What tokenizer_config.json and special_tokens_map.json say about tokens. */
#include <stdlib.h>

#include "tokenizer_private.h"

static const char *const role_keys[TOKENIZER_N_ROLES] = {"bos_token", "eos_token", "pad_token",
                                                         "unk_token"};

/* A token as a text or as an object with "content"; NULL if it is absent or null. */
static dpo_status find_token(const char *where, const dpo_json *config, const char *key,
                             const char **text)
{
    const dpo_json *node = dpo_json_find(config, key);

    *text = NULL;
    if (node == NULL) return DPO_OK;
    switch (dpo_json_type_of(node)) {
    case DPO_JSON_NULL:
        return DPO_OK;
    case DPO_JSON_OBJECT:
        return dpo_json_get_text(node, where, "content", text);
    default:
        return dpo_json_get_text(config, where, key, text);
    }
}

static dpo_status set_role(const char *where, const dpo_json *config, int role,
                           dpo_tokenizer *tokenizer)
{
    const char *text;

    DPO_TRY(find_token(where, config, role_keys[role], &text));
    if (text == NULL || tokenizer->role[role] >= 0) return DPO_OK;
    tokenizer->role[role] = dpo_tokenizer_token_id(tokenizer, text);
    if (tokenizer->role[role] >= 0) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s: %s \"%s\" is no token of tokenizer.json; add it there or correct it",
                    where, role_keys[role], text);
}

/* Tokens that transformers would add to those of tokenizer.json. */
static dpo_status check_added(const char *where, const dpo_json *member,
                              const dpo_tokenizer *tokenizer)
{
    const char *text;
    char *end;
    long id = strtol(dpo_json_key(member), &end, 10);

    DPO_TRY(dpo_json_get_text(member, where, "content", &text));
    if (*end == '\0' && dpo_tokenizer_token_id(tokenizer, text) == id) return DPO_OK;
    return DPO_FAIL(
        DPO_EDATA,
        "%s: added_tokens_decoder gives \"%s\" the id %s, tokenizer.json %d (-1: none); "
        "save the tokenizer again",
        where, text, dpo_json_key(member), (int)dpo_tokenizer_token_id(tokenizer, text));
}

dpo_status tokenizer_config_apply(const char *where, const dpo_json *config,
                                  dpo_tokenizer *tokenizer)
{
    const dpo_json *added = dpo_json_find(config, "added_tokens_decoder");

    for (int role = 0; role < TOKENIZER_N_ROLES; role++)
        DPO_TRY(set_role(where, config, role, tokenizer));
    if (added == NULL || dpo_json_type_of(added) != DPO_JSON_OBJECT) return DPO_OK;
    for (const dpo_json *i = dpo_json_first(added); i != NULL; i = dpo_json_next(i))
        DPO_TRY(check_added(where, i, tokenizer));
    return DPO_OK;
}
