// SPDX-License-Identifier: Apache-2.0
/* What tokenizer_config.json and special_tokens_map.json say about tokens. transformers adds tokens
   that they name and tokenizer.json does not have; here those are refused, since they would not be
   found in a text. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_private.h"

static const char *const role_keys[TOKENIZER_N_ROLES] = {"bos_token", "eos_token", "pad_token",
                                                         "unk_token"};

static bool is_list(const char *key)
{
    return strcmp(key, "additional_special_tokens") == 0 ||
           strcmp(key, "extra_special_tokens") == 0;
}

static bool is_token_key(const char *key)
{
    static const char end[] = "_token";
    size_t n = strlen(key);

    return n >= sizeof end - 1 && strcmp(key + n - (sizeof end - 1), end) == 0;
}

/* The role of a key; TOKENIZER_N_ROLES if it has none. */
static int role_of(const char *key)
{
    int role = 0;

    while (role < TOKENIZER_N_ROLES && strcmp(key, role_keys[role]) != 0)
        role++;
    return role;
}

/* The added token that a text, or an object with "content", names under a key. */
static dpo_status find_token(const char *where, const char *key, const dpo_json *node,
                             const dpo_tokenizer *tokenizer, int32_t *id)
{
    const char *text;

    *id = -1;
    if (dpo_json_type_of(node) == DPO_JSON_TEXT)
        text = dpo_json_text(node);
    else if (dpo_json_type_of(node) == DPO_JSON_OBJECT)
        DPO_TRY(dpo_json_get_text(node, where, "content", &text));
    else
        return DPO_FAIL(DPO_EDATA, "%s: %s is %s, expected a text or an object with \"content\"",
                        where, key, dpo_json_type_name(dpo_json_type_of(node)));
    *id = tokenizer_vocab_find(&tokenizer->added.vocab, text, (int64_t)strlen(text));
    if (*id >= 0) return DPO_OK;
    return DPO_FAIL(
        DPO_EDATA,
        "%s: %s \"%s\" is not among the added_tokens of tokenizer.json, so it would not "
        "be found in a text; add it there, or load and save the tokenizer with "
        "transformers",
        where, key, text);
}

static dpo_status check_list(const char *where, const dpo_json *list,
                             const dpo_tokenizer *tokenizer)
{
    int32_t unused;

    for (const dpo_json *i = dpo_json_first(list); i != NULL; i = dpo_json_next(i))
        DPO_TRY(find_token(where, dpo_json_key(list), i, tokenizer, &unused));
    return DPO_OK;
}

/* Tokens with a name are special, whatever tokenizer.json says. */
static dpo_status apply_token(const char *where, const dpo_json *member, dpo_tokenizer *tokenizer)
{
    const char *key = dpo_json_key(member);
    int role = role_of(key);
    dpo_json_type type = dpo_json_type_of(member);
    int32_t id = -1;

    if (type == DPO_JSON_NULL) return DPO_OK;
    if (role == TOKENIZER_N_ROLES && type != DPO_JSON_TEXT && type != DPO_JSON_OBJECT)
        return DPO_OK; /* a switch such as add_bos_token */
    DPO_TRY(find_token(where, key, member, tokenizer, &id));
    tokenizer->added.special[id] = true;
    if (role < TOKENIZER_N_ROLES) tokenizer->role[role] = id;
    return DPO_OK;
}

/* What `stronger` has too is left out; lists add up. */
static dpo_status apply(const tokenizer_config *config, const dpo_json *stronger,
                        dpo_tokenizer *tokenizer)
{
    for (const dpo_json *i = dpo_json_first(config->root); i != NULL; i = dpo_json_next(i)) {
        const char *key = dpo_json_key(i);

        if (is_list(key))
            DPO_TRY(check_list(config->where, i, tokenizer));
        else if (is_token_key(key) && dpo_json_find(stronger, key) == NULL)
            DPO_TRY(apply_token(config->where, i, tokenizer));
    }
    return DPO_OK;
}

static dpo_status check_object(const tokenizer_config *config)
{
    if (config->root == NULL || dpo_json_type_of(config->root) == DPO_JSON_OBJECT) return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s: is %s, expected an object", config->where,
                    dpo_json_type_name(dpo_json_type_of(config->root)));
}

static dpo_status check_added(const char *where, const dpo_json *list,
                              const dpo_tokenizer *tokenizer)
{
    for (const dpo_json *i = dpo_json_first(list); i != NULL; i = dpo_json_next(i))
        DPO_TRY(tokenizer_added_check(where, i, &tokenizer->added));
    return DPO_OK;
}

/* transformers reads the map only where the configuration is of the time before
   added_tokens_decoder; what it names then goes before what the configuration names. */
dpo_status tokenizer_config_apply(const tokenizer_config *config, const tokenizer_config *map,
                                  dpo_tokenizer *tokenizer)
{
    const dpo_json *added;

    DPO_TRY(check_object(config));
    DPO_TRY(check_object(map));
    added = dpo_json_find(config->root, "added_tokens_decoder");
    if (added != NULL) {
        DPO_TRY(check_added(config->where, added, tokenizer));
        return apply(config, NULL, tokenizer);
    }
    DPO_TRY(apply(config, map->root, tokenizer));
    return apply(map, NULL, tokenizer);
}
