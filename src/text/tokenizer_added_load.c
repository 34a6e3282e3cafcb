// SPDX-License-Identifier: Apache-2.0
/* The "added_tokens" of a tokenizer.json. */
#include <stdlib.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "tokenizer_added.h"

static int64_t count_tokens(const tokenizer_added *added)
{
    return added->tokens.size_bytes / (int64_t)sizeof(tokenizer_added_token);
}

static dpo_status load_flags(const char *where, const dpo_json *node, tokenizer_added_token *token)
{
    token->normalized = true;
    DPO_TRY(dpo_json_maybe_bool(node, where, "special", &token->special));
    token->normalized = !token->special;
    DPO_TRY(dpo_json_maybe_bool(node, where, "normalized", &token->normalized));
    DPO_TRY(dpo_json_maybe_bool(node, where, "lstrip", &token->lstrip));
    DPO_TRY(dpo_json_maybe_bool(node, where, "rstrip", &token->rstrip));
    return dpo_json_maybe_bool(node, where, "single_word", &token->single_word);
}

/* The id that `tokenizers` gives a token: the model's, or the next one behind all. */
static dpo_status check_id(const char *where, const dpo_json *node, const char *content,
                           const tokenizer_vocab *model, tokenizer_added *added, int32_t *id)
{
    int64_t stated;
    int64_t next = model->n_tokens > added->vocab.n_ids ? model->n_tokens : added->vocab.n_ids;

    *id = tokenizer_vocab_find(model, content, (int64_t)strlen(content));
    if (*id < 0) *id = (int32_t)next;
    DPO_TRY(dpo_json_get_int(node, where, "id", 0, TOKENIZER_MAX_ID, &stated));
    if (stated == *id) return DPO_OK;
    return DPO_FAIL(
        DPO_EDATA,
        "%s: \"%s\" has the id %lld, expected %d: its id in the vocabulary, or the next "
        "one behind it",
        where, content, (long long)stated, (int)*id);
}

/* What a normalized token is looked for as. */
static dpo_status make_match(const char *where, const char *content,
                             const tokenizer_normalizers *normalizers, tokenizer_added_token *token)
{
    dpo_buffer text = {0};
    dpo_status status = token->normalized ? tokenizer_normalize(normalizers, content,
                                                                (int64_t)strlen(content), &text)
                                          : dpo_buffer_append_text(&text, content);

    token->n_bytes = text.size_bytes;
    if (status == DPO_OK && token->n_bytes == 0)
        status = DPO_FAIL(DPO_EDATA, "%s: the token \"%s\" is empty when normalized; remove it",
                          where, content);
    if (status == DPO_OK) status = dpo_text_copy(dpo_buffer_text(&text), &token->match);
    dpo_buffer_destroy(&text);
    return status;
}

static dpo_status load_token(const char *where, const dpo_json *node, const tokenizer_vocab *model,
                             const tokenizer_normalizers *normalizers, tokenizer_added *added)
{
    tokenizer_added_token token = {0};
    const char *content;
    dpo_status status;

    DPO_TRY(dpo_json_get_text(node, where, "content", &content));
    DPO_TRY(load_flags(where, node, &token));
    DPO_TRY(check_id(where, node, content, model, added, &token.id));
    DPO_TRY(tokenizer_vocab_add(&added->vocab, where, content, token.id));
    added->special[token.id] = token.special;
    DPO_TRY(make_match(where, content, normalizers, &token));
    status = dpo_buffer_append(&added->tokens, &token, sizeof token);
    if (status != DPO_OK) dpo_free(token.match);
    return status;
}

static dpo_status load_item(const char *source, int64_t i, const dpo_json *node,
                            const tokenizer_vocab *model, const tokenizer_normalizers *normalizers,
                            tokenizer_added *added)
{
    dpo_buffer place = {0};
    dpo_status status = dpo_buffer_printf(&place, "%s: added_tokens[%lld]", source, (long long)i);

    if (status == DPO_OK)
        status = load_token(dpo_buffer_text(&place), node, model, normalizers, added);
    dpo_buffer_destroy(&place);
    return status;
}

/* Of two tokens with the same match the one with the smaller id counts. */
static int compare_tokens(const void *left, const void *right)
{
    const tokenizer_added_token *a = left;
    const tokenizer_added_token *b = right;
    unsigned char first_a = (unsigned char)a->match[0];
    unsigned char first_b = (unsigned char)b->match[0];

    if (a->normalized != b->normalized) return a->normalized ? 1 : -1;
    if (first_a != first_b) return first_a < first_b ? -1 : 1;
    if (a->n_bytes != b->n_bytes) return a->n_bytes > b->n_bytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void sort_tokens(tokenizer_added *added)
{
    tokenizer_added_token *tokens = added->tokens.data;
    int64_t n = count_tokens(added);
    int64_t i = 0;

    if (n > 0) qsort(tokens, (size_t)n, sizeof *tokens, compare_tokens);
    for (int set = 0; set < 2; set++)
        for (int byte = 0; byte <= 256; byte++) {
            while (byte > 0 && i < n && tokens[i].normalized == (set == 1) &&
                   (unsigned char)tokens[i].match[0] < byte)
                i++;
            added->begin[set][byte] = i;
        }
}

static void find_only_first(tokenizer_added *added)
{
    for (int set = 0; set < 2; set++) {
        const int64_t *begin = added->begin[set];

        added->only_first[set] = -1;
        for (int byte = 0; byte < 256; byte++)
            if (begin[byte] < begin[byte + 1] && begin[byte] == begin[0] &&
                begin[byte + 1] == begin[256])
                added->only_first[set] = byte;
    }
}

dpo_status tokenizer_added_load(const char *source, const dpo_json *list,
                                const tokenizer_vocab *model,
                                const tokenizer_normalizers *normalizers, tokenizer_added *added)
{
    int64_t n = dpo_json_count(list);
    int64_t max_ids = (model->n_ids > model->n_tokens ? model->n_ids : model->n_tokens) + n;
    int64_t i = 0;

    if (list != NULL && dpo_json_type_of(list) != DPO_JSON_ARRAY)
        return DPO_FAIL(DPO_EDATA, "%s: \"added_tokens\" is %s, expected an array", source,
                        dpo_json_type_name(dpo_json_type_of(list)));
    DPO_TRY(tokenizer_vocab_create(n, max_ids, &added->vocab));
    DPO_TRY(DPO_NEW(added->special, max_ids));
    for (const dpo_json *node = dpo_json_first(list); node != NULL; node = dpo_json_next(node))
        DPO_TRY(load_item(source, i++, node, model, normalizers, added));
    sort_tokens(added);
    find_only_first(added);
    return DPO_OK;
}

static const tokenizer_added_token *token_of(const tokenizer_added *added, long id)
{
    const tokenizer_added_token *tokens = added->tokens.data;

    for (int64_t i = 0; i < count_tokens(added); i++)
        if (tokens[i].id == id) return &tokens[i];
    return NULL;
}

static bool have_equal_flags(const tokenizer_added_token *a, const tokenizer_added_token *b)
{
    return a->special == b->special && a->normalized == b->normalized && a->lstrip == b->lstrip &&
           a->rstrip == b->rstrip && a->single_word == b->single_word;
}

dpo_status tokenizer_added_check(const char *where, const dpo_json *member,
                                 const tokenizer_added *added)
{
    char *end;
    const tokenizer_added_token *token = token_of(added, strtol(dpo_json_key(member), &end, 10));
    tokenizer_added_token stated = {0};
    const char *content;

    DPO_TRY(dpo_json_get_text(member, where, "content", &content));
    DPO_TRY(load_flags(where, member, &stated));
    if (*end == '\0' && token != NULL && have_equal_flags(token, &stated) &&
        strcmp(tokenizer_vocab_text(&added->vocab, token->id), content) == 0)
        return DPO_OK;
    return DPO_FAIL(
        DPO_EDATA,
        "%s: added_tokens_decoder gives \"%s\" the id %s, but tokenizer.json has no such "
        "added token or one with other flags; load and save the tokenizer with "
        "transformers",
        where, content, dpo_json_key(member));
}

void tokenizer_added_destroy(tokenizer_added *added)
{
    tokenizer_added_token *tokens = added->tokens.data;

    for (int64_t i = 0; i < count_tokens(added); i++)
        dpo_free(tokens[i].match);
    dpo_buffer_destroy(&added->tokens);
    tokenizer_vocab_destroy(&added->vocab);
    dpo_free(added->special);
    *added = (tokenizer_added){0};
}
