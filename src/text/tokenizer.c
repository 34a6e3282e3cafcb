// SPDX-License-Identifier: Apache-2.0
#include "dpo/text/tokenizer.h"

#include <string.h>

#include "tokenizer_private.h"
#include "tokenizer_unicode.h"

/* Texts of the ids that have one and are wanted. */
static dpo_status find_texts(const dpo_tokenizer *t, const int32_t *ids, int64_t n_ids,
                             bool skip_special, tokenizer_texts *tokens)
{
    for (int64_t i = 0; i < n_ids; i++) {
        const char *text = dpo_tokenizer_token_text(t, ids[i]);
        bool special =
            tokenizer_vocab_text(&t->added.vocab, ids[i]) != NULL && t->added.special[ids[i]];

        if (text == NULL || (skip_special && special)) continue;
        DPO_TRY(tokenizer_texts_append(tokens, text, (int64_t)strlen(text)));
    }
    return DPO_OK;
}

dpo_status dpo_tokenizer_decode(const dpo_tokenizer *tokenizer, const int32_t *ids, int64_t n_ids,
                                bool skip_special, dpo_buffer *text)
{
    tokenizer_texts tokens = {0};
    int64_t before = text->size_bytes;
    dpo_status status = find_texts(tokenizer, ids, n_ids, skip_special, &tokens);

    if (status == DPO_OK) status = tokenizer_decode(&tokenizer->decoders, &tokens, text);
    tokenizer_texts_destroy(&tokens);
    if (status != DPO_OK) tokenizer_shrink(text, before);
    return status;
}

int32_t dpo_tokenizer_bos(const dpo_tokenizer *tokenizer)
{
    return tokenizer->role[TOKENIZER_BOS];
}

int32_t dpo_tokenizer_eos(const dpo_tokenizer *tokenizer)
{
    return tokenizer->role[TOKENIZER_EOS];
}

int32_t dpo_tokenizer_pad(const dpo_tokenizer *tokenizer)
{
    return tokenizer->role[TOKENIZER_PAD];
}

int32_t dpo_tokenizer_unk(const dpo_tokenizer *tokenizer)
{
    return tokenizer->role[TOKENIZER_UNK];
}

static const char *role_text(const dpo_tokenizer *tokenizer, tokenizer_role role)
{
    const char *text = dpo_tokenizer_token_text(tokenizer, tokenizer->role[role]);

    return text != NULL ? text : "";
}

const char *dpo_tokenizer_bos_text(const dpo_tokenizer *tokenizer)
{
    return role_text(tokenizer, TOKENIZER_BOS);
}

const char *dpo_tokenizer_eos_text(const dpo_tokenizer *tokenizer)
{
    return role_text(tokenizer, TOKENIZER_EOS);
}

int64_t dpo_tokenizer_size(const dpo_tokenizer *tokenizer)
{
    int64_t n_model = tokenizer->bpe.vocab.n_ids;
    int64_t n_added = tokenizer->added.vocab.n_ids;

    return n_model > n_added ? n_model : n_added;
}

const char *dpo_tokenizer_token_text(const dpo_tokenizer *tokenizer, int32_t id)
{
    const char *text = tokenizer_vocab_text(&tokenizer->added.vocab, id);

    return text != NULL ? text : tokenizer_vocab_text(&tokenizer->bpe.vocab, id);
}

int32_t dpo_tokenizer_token_id(const dpo_tokenizer *tokenizer, const char *text)
{
    int64_t n_bytes = (int64_t)strlen(text);
    int32_t id = tokenizer_vocab_find(&tokenizer->added.vocab, text, n_bytes);

    return id >= 0 ? id : tokenizer_vocab_find(&tokenizer->bpe.vocab, text, n_bytes);
}

dpo_digest dpo_tokenizer_digest(const dpo_tokenizer *tokenizer)
{
    return tokenizer->digest;
}
