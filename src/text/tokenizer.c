// SPDX-License-Identifier: Apache-2.0
#include "dpo/text/tokenizer.h"

#include <string.h>

#include "dpo/base/utf8.h"
#include "tokenizer_private.h"

/* Working memory of one call of dpo_tokenizer_encode(). */
typedef struct {
    dpo_buffer spans;            /* of the text */
    dpo_buffer normalized;       /* one plain span */
    dpo_buffer normalized_spans; /* of that */
    tokenizer_pieces pieces;     /* of one of those */
    tokenizer_bpe_scratch bpe;
} scratch;

static void destroy_scratch(scratch *s)
{
    dpo_buffer_destroy(&s->spans);
    dpo_buffer_destroy(&s->normalized);
    dpo_buffer_destroy(&s->normalized_spans);
    tokenizer_pieces_destroy(&s->pieces);
    dpo_buffer_destroy(&s->bpe.symbols);
    dpo_buffer_destroy(&s->bpe.queue);
}

static dpo_status encode_plain(const dpo_tokenizer *t, const char *text, int64_t n_bytes,
                               bool at_start, scratch *s, dpo_buffer *ids)
{
    tokenizer_pieces_clear(&s->pieces);
    s->pieces.at_start = at_start;
    DPO_TRY(dpo_buffer_append(&s->pieces.text, text, n_bytes));
    DPO_TRY(tokenizer_pieces_cut(&s->pieces));
    DPO_TRY(tokenizer_pretokenize(&t->pretokenizers, &s->pieces));
    for (int64_t i = 0; i < tokenizer_pieces_count(&s->pieces); i++) {
        int64_t n;
        const char *piece = tokenizer_pieces_get(&s->pieces, i, &n);

        DPO_TRY(tokenizer_bpe_encode(&t->bpe, &s->bpe, piece, n, ids));
    }
    return DPO_OK;
}

static dpo_status encode_normalized(const dpo_tokenizer *t, bool at_start, scratch *s,
                                    dpo_buffer *ids)
{
    const char *text = dpo_buffer_text(&s->normalized);

    dpo_buffer_clear(&s->normalized_spans);
    DPO_TRY(tokenizer_added_find(&t->added, true, text, s->normalized.size_bytes,
                                 &s->normalized_spans));
    const tokenizer_span *span = s->normalized_spans.data;
    int64_t n = s->normalized_spans.size_bytes / (int64_t)sizeof *span;

    for (int64_t i = 0; i < n; i++)
        DPO_TRY(span[i].id >= 0 ? dpo_buffer_append(ids, &span[i].id, sizeof span[i].id)
                                : encode_plain(t, text + span[i].begin, span[i].end - span[i].begin,
                                               at_start && span[i].begin == 0, s, ids));
    return DPO_OK;
}

static dpo_status encode_text(const dpo_tokenizer *t, const char *text, int64_t n_bytes, scratch *s,
                              dpo_buffer *ids)
{
    DPO_TRY(tokenizer_added_find(&t->added, false, text, n_bytes, &s->spans));
    const tokenizer_span *span = s->spans.data;
    int64_t n = s->spans.size_bytes / (int64_t)sizeof *span;

    for (int64_t i = 0; i < n; i++) {
        if (span[i].id >= 0) {
            DPO_TRY(dpo_buffer_append(ids, &span[i].id, sizeof span[i].id));
            continue;
        }
        DPO_TRY(tokenizer_normalize(&t->normalizers, text + span[i].begin,
                                    span[i].end - span[i].begin, &s->normalized));
        DPO_TRY(encode_normalized(t, span[i].begin == 0, s, ids));
    }
    return DPO_OK;
}

static dpo_status encode_with(const dpo_tokenizer *t, const char *text, int64_t n_bytes,
                              bool add_special, scratch *s, dpo_buffer *ids)
{
    const dpo_buffer *before = &t->postprocessor.before;
    const dpo_buffer *after = &t->postprocessor.after;

    if (add_special) DPO_TRY(dpo_buffer_append(ids, before->data, before->size_bytes));
    DPO_TRY(encode_text(t, text, n_bytes, s, ids));
    return add_special ? dpo_buffer_append(ids, after->data, after->size_bytes) : DPO_OK;
}

static void shrink(dpo_buffer *buffer, int64_t size_bytes)
{
    if (buffer->data == NULL) return;
    buffer->size_bytes = size_bytes;
    ((char *)buffer->data)[size_bytes] = '\0';
}

dpo_status dpo_tokenizer_encode(const dpo_tokenizer *tokenizer, const char *text, int64_t n_bytes,
                                bool add_special, dpo_buffer *ids)
{
    scratch s = {0};
    int64_t before = ids->size_bytes;
    int64_t valid = dpo_utf8_valid_length(text, n_bytes);
    dpo_status status;

    if (valid < n_bytes)
        return DPO_FAIL(DPO_EDATA,
                        "text: byte %lld of %lld is not UTF-8, expected UTF-8; convert the text",
                        (long long)valid, (long long)n_bytes);
    status = encode_with(tokenizer, text, n_bytes, add_special, &s, ids);
    destroy_scratch(&s);
    if (status != DPO_OK) shrink(ids, before);
    return status;
}

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
    if (status != DPO_OK) shrink(text, before);
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
