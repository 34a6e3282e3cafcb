// SPDX-License-Identifier: Apache-2.0
#include "dpo/text/encoder.h"

#include "dpo/base/memory.h"
#include "dpo/base/utf8.h"
#include "tokenizer_private.h"
#include "tokenizer_unicode.h"

/* Working memory for a text after the other. */
typedef struct {
    dpo_buffer spans;            /* of the text */
    dpo_buffer normalized;       /* one plain span */
    dpo_buffer normalized_spans; /* of that */
    tokenizer_pieces pieces;     /* of one of those */
    tokenizer_split_scratch split;
    tokenizer_bpe_scratch bpe;
} scratch;

static void destroy_scratch(scratch *s)
{
    dpo_buffer_destroy(&s->spans);
    dpo_buffer_destroy(&s->normalized);
    dpo_buffer_destroy(&s->normalized_spans);
    tokenizer_pieces_destroy(&s->pieces);
    tokenizer_split_scratch_destroy(&s->split);
    tokenizer_bpe_scratch_destroy(&s->bpe);
}

static dpo_status encode_plain(const dpo_tokenizer *t, const char *text, int64_t n_bytes,
                               bool at_start, scratch *s, dpo_buffer *ids)
{
    tokenizer_pieces_clear(&s->pieces);
    s->pieces.at_start = at_start;
    DPO_TRY(dpo_buffer_append(&s->pieces.text, text, n_bytes));
    DPO_TRY(tokenizer_pieces_add(&s->pieces, 0, n_bytes));
    DPO_TRY(tokenizer_pretokenize(&t->pretokenizers, &s->split, &s->pieces));
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
    dpo_buffer_clear(&s->spans);
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

static dpo_status encode(const dpo_tokenizer *t, const char *text, int64_t n_bytes,
                         bool add_special, scratch *s, dpo_buffer *ids)
{
    int64_t before = ids->size_bytes;
    int64_t valid = dpo_utf8_valid_length(text, n_bytes);

    if (valid < n_bytes)
        return DPO_FAIL(DPO_EDATA,
                        "text: byte %lld of %lld is not UTF-8, expected UTF-8; convert the text",
                        (long long)valid, (long long)n_bytes);
    dpo_status status = encode_with(t, text, n_bytes, add_special, s, ids);

    if (status != DPO_OK) tokenizer_shrink(ids, before);
    return status;
}

dpo_status dpo_tokenizer_encode(const dpo_tokenizer *tokenizer, const char *text, int64_t n_bytes,
                                bool add_special, dpo_buffer *ids)
{
    scratch s = {0};
    dpo_status status = encode(tokenizer, text, n_bytes, add_special, &s, ids);

    destroy_scratch(&s);
    return status;
}

struct dpo_encoder {
    const dpo_tokenizer *tokenizer; /* borrowed */
    scratch scratch;
};

dpo_status dpo_encoder_create(const dpo_tokenizer *tokenizer, dpo_encoder **encoder)
{
    DPO_TRY(DPO_NEW(*encoder, 1));
    (*encoder)->tokenizer = tokenizer;
    dpo_status status = tokenizer_words_create(&(*encoder)->scratch.bpe.words);

    if (status != DPO_OK) dpo_encoder_destroy(encoder);
    return status;
}

void dpo_encoder_destroy(dpo_encoder **encoder)
{
    if (*encoder == NULL) return;
    destroy_scratch(&(*encoder)->scratch);
    dpo_free(*encoder);
    *encoder = NULL;
}

dpo_status dpo_encoder_run(dpo_encoder *encoder, const char *text, int64_t n_bytes,
                           bool add_special, dpo_buffer *ids)
{
    return encode(encoder->tokenizer, text, n_bytes, add_special, &encoder->scratch, ids);
}
