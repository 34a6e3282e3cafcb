// SPDX-License-Identifier: Apache-2.0
/* The "model" of a tokenizer.json. */
#include <stdio.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "tokenizer_bpe.h"
#include "tokenizer_unicode.h"

static dpo_status check_id(const char *where, const dpo_json *member)
{
    double id = dpo_json_type_of(member) == DPO_JSON_NUMBER ? dpo_json_number(member) : -1;

    if (id >= 0 && id <= TOKENIZER_MAX_ID && (double)(int32_t)id == id) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s.vocab: the id of \"%s\" is no whole number from 0 to %d; repair the file",
                    where, dpo_json_key(member), TOKENIZER_MAX_ID);
}

static dpo_status load_vocab(const char *where, const dpo_json *model, tokenizer_vocab *vocab)
{
    const dpo_json *tokens;
    int64_t max_ids = 0;

    DPO_TRY(dpo_json_get(model, where, "vocab", DPO_JSON_OBJECT, &tokens));
    for (const dpo_json *i = dpo_json_first(tokens); i != NULL; i = dpo_json_next(i)) {
        DPO_TRY(check_id(where, i));
        if (dpo_json_number(i) + 1 > (double)max_ids) max_ids = (int64_t)dpo_json_number(i) + 1;
    }
    DPO_TRY(tokenizer_vocab_create(dpo_json_count(tokens), max_ids, vocab));
    for (const dpo_json *i = dpo_json_first(tokens); i != NULL; i = dpo_json_next(i))
        DPO_TRY(tokenizer_vocab_add(vocab, where, dpo_json_key(i), (int32_t)dpo_json_number(i)));
    return DPO_OK;
}

static int64_t slot_of(const tokenizer_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t mask = (uint64_t)bpe->n_slots - 1;
    uint64_t h = (((uint64_t)left << 32) | right) * 0x9E3779B97F4A7C15u;

    for (uint64_t s = (h >> 32) & mask;; s = (s + 1) & mask) {
        const tokenizer_merge *m = &bpe->slot[s];

        if (m->rank_plus_1 == 0 || (m->left == left && m->right == right)) return (int64_t)s;
    }
}

const tokenizer_merge *tokenizer_bpe_merge(const tokenizer_bpe *bpe, int32_t left, int32_t right)
{
    const tokenizer_merge *merge = &bpe->slot[slot_of(bpe, (uint32_t)left, (uint32_t)right)];

    return merge->rank_plus_1 != 0 ? merge : NULL;
}

static dpo_status find_token(const char *where, const tokenizer_vocab *vocab, int64_t rank,
                             const char *text, int64_t n_bytes, int32_t *id)
{
    *id = tokenizer_vocab_find(vocab, text, n_bytes);
    if (*id >= 0) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s.merges[%lld]: \"%.*s\" is not in the vocabulary; the file is damaged",
                    where, (long long)rank, (int)n_bytes, text);
}

/* The two halves of a merge, "a b" or ["a", "b"]; NULL in left[0] if it is neither. */
static void split_merge(const dpo_json *node, const char *half[2], int64_t length[2])
{
    const dpo_json *second;

    half[0] = NULL;
    if (dpo_json_type_of(node) == DPO_JSON_TEXT) {
        const char *text = dpo_json_text(node);
        const char *space = strchr(text, ' ');

        if (space == NULL || strchr(space + 1, ' ') != NULL) return;
        half[0] = text;
        half[1] = space + 1;
        length[0] = space - text;
        length[1] = (int64_t)strlen(half[1]);
        return;
    }
    if (dpo_json_type_of(node) != DPO_JSON_ARRAY || dpo_json_count(node) != 2) return;
    node = dpo_json_first(node);
    second = dpo_json_next(node);
    if (dpo_json_type_of(node) != DPO_JSON_TEXT || dpo_json_type_of(second) != DPO_JSON_TEXT)
        return;
    half[0] = dpo_json_text(node);
    half[1] = dpo_json_text(second);
    length[0] = (int64_t)strlen(half[0]);
    length[1] = (int64_t)strlen(half[1]);
}

/* A pair that comes again takes the later rank. */
static dpo_status add_merge(const char *where, const dpo_json *node, int64_t rank,
                            dpo_buffer *joined, tokenizer_bpe *bpe)
{
    const char *half[2];
    int64_t length[2];
    int32_t left;
    int32_t right;
    int32_t id;

    split_merge(node, half, length);
    if (half[0] == NULL)
        return DPO_FAIL(DPO_EDATA, "%s.merges[%lld]: expected \"a b\" or [\"a\", \"b\"]", where,
                        (long long)rank);
    dpo_buffer_clear(joined);
    DPO_TRY(dpo_buffer_append(joined, half[0], length[0]));
    DPO_TRY(dpo_buffer_append(joined, half[1], length[1]));
    DPO_TRY(find_token(where, &bpe->vocab, rank, half[0], length[0], &left));
    DPO_TRY(find_token(where, &bpe->vocab, rank, half[1], length[1], &right));
    DPO_TRY(find_token(where, &bpe->vocab, rank, dpo_buffer_text(joined), joined->size_bytes, &id));
    bpe->slot[slot_of(bpe, (uint32_t)left, (uint32_t)right)] =
        (tokenizer_merge){(uint32_t)left, (uint32_t)right, (int32_t)rank + 1, id};
    return DPO_OK;
}

/* Files converted from a merges.txt may have kept its first line. */
static bool is_version_line(const dpo_json *node)
{
    return dpo_json_type_of(node) == DPO_JSON_TEXT &&
           strncmp(dpo_json_text(node), "#version", strlen("#version")) == 0;
}

static dpo_status load_merges(const char *where, const dpo_json *model, tokenizer_bpe *bpe)
{
    const dpo_json *merges;
    dpo_buffer joined = {0};
    dpo_status status = DPO_OK;
    int64_t rank = 0;

    DPO_TRY(dpo_json_get(model, where, "merges", DPO_JSON_ARRAY, &merges));
    int64_t n_merges = dpo_json_count(merges);

    bpe->n_slots = 16;
    while (bpe->n_slots < 2 * n_merges)
        bpe->n_slots *= 2;
    DPO_TRY(DPO_NEW(bpe->slot, bpe->n_slots));
    for (const dpo_json *i = dpo_json_first(merges); i != NULL && status == DPO_OK;
         i = dpo_json_next(i))
        if (!is_version_line(i)) status = add_merge(where, i, rank++, &joined, bpe);
    dpo_buffer_destroy(&joined);
    return status;
}

/* What would change the ids and is not done here. */
static dpo_status refuse_options(const char *where, const dpo_json *model)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    double dropout = 0;

    for (int i = 0; i < 2; i++) {
        const char *affix = "";

        DPO_TRY(dpo_json_maybe_text(model, where, affixes[i], &affix));
        if (*affix != '\0')
            return DPO_FAIL(DPO_EDATA,
                            "%s.%s is \"%s\", expected null: this kind of model is not supported",
                            where, affixes[i], affix);
    }
    DPO_TRY(dpo_json_maybe_number(model, where, "dropout", &dropout));
    if (dropout != 0)
        return DPO_FAIL(DPO_EDATA, "%s.dropout is %g, expected null: ids would be random", where,
                        dropout);
    return DPO_OK;
}

/* Files of old versions of `tokenizers` do not name the type. */
static dpo_status check_type(const char *where, const dpo_json *model)
{
    const char *type = dpo_json_find(model, "merges") != NULL ? "BPE" : "none";

    DPO_TRY(dpo_json_maybe_text(model, where, "type", &type));
    if (strcmp(type, "BPE") == 0) return DPO_OK;
    return DPO_FAIL(DPO_EDATA,
                    "%s.type is \"%s\", expected \"BPE\"; only BPE tokenizers are supported", where,
                    type);
}

static dpo_status load_options(const char *where, const dpo_json *model, tokenizer_bpe *bpe)
{
    const char *unk = NULL;

    DPO_TRY(dpo_json_maybe_bool(model, where, "fuse_unk", &bpe->fuse_unk));
    DPO_TRY(dpo_json_maybe_bool(model, where, "byte_fallback", &bpe->byte_fallback));
    DPO_TRY(dpo_json_maybe_bool(model, where, "ignore_merges", &bpe->ignore_merges));
    DPO_TRY(dpo_json_maybe_text(model, where, "unk_token", &unk));
    bpe->unk = unk == NULL ? -1 : tokenizer_vocab_find(&bpe->vocab, unk, (int64_t)strlen(unk));
    if (unk != NULL && bpe->unk < 0)
        return DPO_FAIL(DPO_EDATA,
                        "%s.unk_token: \"%s\" is not in the vocabulary; the file is damaged", where,
                        unk);
    for (int b = 0; b < 256; b++) {
        char name[8];

        (void)snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        bpe->byte[b] = tokenizer_vocab_find(&bpe->vocab, name, (int64_t)strlen(name));
    }
    return DPO_OK;
}

static dpo_status find_low_characters(tokenizer_bpe *bpe)
{
    dpo_buffer text = {0};
    dpo_status status = DPO_OK;

    for (int32_t c = 0; c < TOKENIZER_N_LOW && status == DPO_OK; c++) {
        dpo_buffer_clear(&text);
        status = tokenizer_append_char(&text, c);
        bpe->low[c] = tokenizer_vocab_find(&bpe->vocab, dpo_buffer_text(&text), text.size_bytes);
    }
    dpo_buffer_destroy(&text);
    return status;
}

/* Most words are one token; their merges are done here once. */
static dpo_status find_whole_tokens(tokenizer_bpe *bpe)
{
    tokenizer_bpe_scratch scratch = {0};
    dpo_buffer ids = {0};
    dpo_status status = DPO_NEW(bpe->is_whole, bpe->vocab.n_ids);

    for (int32_t id = 0; id < bpe->vocab.n_ids && status == DPO_OK; id++) {
        const char *text = tokenizer_vocab_text(&bpe->vocab, id);

        if (text == NULL) continue;
        dpo_buffer_clear(&ids);
        status = tokenizer_bpe_encode(bpe, &scratch, text, (int64_t)strlen(text), &ids);
        bpe->is_whole[id] =
            status == DPO_OK && ids.size_bytes == sizeof id && *(const int32_t *)ids.data == id;
    }
    tokenizer_bpe_scratch_destroy(&scratch);
    dpo_buffer_destroy(&ids);
    return status;
}

static bool has_space_inside(const char *text)
{
    const char *at = text;

    while (strncmp(at, tokenizer_space, strlen(tokenizer_space)) == 0)
        at += strlen(tokenizer_space);
    return strstr(at, tokenizer_space) != NULL;
}

/* Models without a pre-tokenizer: if no merge makes a token with a space marker behind another character,
   the words of a text can be looked at one by one. */
static bool cuts_words(const tokenizer_bpe *bpe)
{
    if (bpe->ignore_merges) return false;
    if (tokenizer_vocab_find(&bpe->vocab, tokenizer_space, (int64_t)strlen(tokenizer_space)) < 0)
        return false;
    for (int64_t i = 0; i < bpe->n_slots; i++)
        if (bpe->slot[i].rank_plus_1 != 0 &&
            has_space_inside(tokenizer_vocab_text(&bpe->vocab, bpe->slot[i].id)))
            return false;
    return true;
}

dpo_status tokenizer_bpe_load(const char *where, const dpo_json *model, tokenizer_bpe *bpe)
{
    DPO_TRY(check_type(where, model));
    DPO_TRY(refuse_options(where, model));
    DPO_TRY(load_vocab(where, model, &bpe->vocab));
    DPO_TRY(load_merges(where, model, bpe));
    DPO_TRY(load_options(where, model, bpe));
    DPO_TRY(find_low_characters(bpe));
    DPO_TRY(find_whole_tokens(bpe));
    bpe->cuts_words = cuts_words(bpe);
    return DPO_OK;
}

void tokenizer_bpe_destroy(tokenizer_bpe *bpe)
{
    tokenizer_vocab_destroy(&bpe->vocab);
    dpo_free(bpe->slot);
    dpo_free(bpe->is_whole);
    *bpe = (tokenizer_bpe){0};
}
