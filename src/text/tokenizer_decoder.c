// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_decoder.h"

#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/utf8.h"
#include "tokenizer_byte_level.h"
#include "tokenizer_component.h"
#include "tokenizer_pattern.h"
#include "tokenizer_unicode.h"

/* One decoder; which members count depends on run. */
typedef struct step {
    dpo_status (*run)(const struct step *step, const tokenizer_texts *in, tokenizer_texts *out);
    tokenizer_pattern pattern; /* Replace */
    char *content;  /* Replace: in place of matches; Strip, Metaspace: one character; owned */
    int64_t start;  /* Strip: at most so many characters at the beginning of each token */
    int64_t stop;   /* Strip: and at its end */
    bool prepended; /* Metaspace: the first token's replacement characters were added */
} step;

static int64_t count_texts(const tokenizer_texts *texts)
{
    return texts->end.size_bytes / (int64_t)sizeof(int64_t);
}

static const char *get_text(const tokenizer_texts *texts, int64_t i, int64_t *n_bytes)
{
    const int64_t *end = texts->end.data;
    int64_t begin = i > 0 ? end[i - 1] : 0;

    *n_bytes = end[i] - begin;
    return dpo_buffer_text(&texts->text) + begin;
}

static dpo_status end_text(tokenizer_texts *texts)
{
    return dpo_buffer_append(&texts->end, &texts->text.size_bytes, sizeof texts->text.size_bytes);
}

dpo_status tokenizer_texts_append(tokenizer_texts *texts, const char *text, int64_t n_bytes)
{
    DPO_TRY(dpo_buffer_append(&texts->text, text, n_bytes));
    return end_text(texts);
}

void tokenizer_texts_destroy(tokenizer_texts *texts)
{
    dpo_buffer_destroy(&texts->text);
    dpo_buffer_destroy(&texts->end);
}

/* Bytes of a token in the byte-level alphabet; a token with another character stays as it is. */
static dpo_status append_bytes_of(const char *token, int64_t n_bytes, dpo_buffer *bytes)
{
    int64_t before = bytes->size_bytes;
    int64_t length;

    for (int64_t at = 0; at < n_bytes; at += length) {
        int byte = tokenizer_byte_of_char(tokenizer_char_at(token + at, n_bytes - at, &length));
        char c = (char)byte;

        if (byte < 0) {
            bytes->size_bytes = before;
            return dpo_buffer_append(bytes, token, n_bytes);
        }
        DPO_TRY(dpo_buffer_append(bytes, &c, 1));
    }
    return DPO_OK;
}

static dpo_status run_byte_level(const step *s, const tokenizer_texts *in, tokenizer_texts *out)
{
    dpo_buffer bytes = {0};
    dpo_status status = DPO_OK;

    (void)s;
    for (int64_t i = 0; i < count_texts(in) && status == DPO_OK; i++) {
        int64_t n_bytes;
        const char *token = get_text(in, i, &n_bytes);

        status = append_bytes_of(token, n_bytes, &bytes);
    }
    if (status == DPO_OK)
        status = tokenizer_append_lossy(&out->text, dpo_buffer_text(&bytes), bytes.size_bytes);
    if (status == DPO_OK) status = end_text(out);
    dpo_buffer_destroy(&bytes);
    return status;
}

static dpo_status run_replace(const step *s, const tokenizer_texts *in, tokenizer_texts *out)
{
    for (int64_t i = 0; i < count_texts(in); i++) {
        int64_t n_bytes;
        const char *token = get_text(in, i, &n_bytes);

        DPO_TRY(tokenizer_pattern_replace(&s->pattern, s->content, token, n_bytes, &out->text));
        DPO_TRY(end_text(out));
    }
    return DPO_OK;
}

static int digit_value(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at == NULL ? -1 : (int)((at - digits) % 16);
}

/* The byte of a token "<0x41>"; -1 if it is none. */
static int byte_of_token(const char *token, int64_t n_bytes)
{
    if (n_bytes != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') return -1;
    int high = digit_value(token[3]);
    int low = digit_value(token[4]);

    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* A run of bytes becomes one text, or as many U+FFFD as bytes if it is no UTF-8. */
static dpo_status end_bytes(dpo_buffer *bytes, tokenizer_texts *out)
{
    int64_t n = bytes->size_bytes;
    dpo_status status = DPO_OK;

    if (n == 0) return DPO_OK;
    if (dpo_utf8_valid_length(bytes->data, n) == n) {
        status = tokenizer_texts_append(out, bytes->data, n);
    } else {
        for (int64_t i = 0; i < n && status == DPO_OK; i++)
            status = tokenizer_texts_append(out, "\xEF\xBF\xBD", 3);
    }
    dpo_buffer_clear(bytes);
    return status;
}

static dpo_status fall_back(const tokenizer_texts *in, dpo_buffer *bytes, tokenizer_texts *out)
{
    for (int64_t i = 0; i < count_texts(in); i++) {
        int64_t n_bytes;
        const char *token = get_text(in, i, &n_bytes);
        int byte = byte_of_token(token, n_bytes);
        char c = (char)byte;

        if (byte >= 0) {
            DPO_TRY(dpo_buffer_append(bytes, &c, 1));
            continue;
        }
        DPO_TRY(end_bytes(bytes, out));
        DPO_TRY(tokenizer_texts_append(out, token, n_bytes));
    }
    return end_bytes(bytes, out);
}

static dpo_status run_byte_fallback(const step *s, const tokenizer_texts *in, tokenizer_texts *out)
{
    dpo_buffer bytes = {0};
    dpo_status status = fall_back(in, &bytes, out);

    (void)s;
    dpo_buffer_destroy(&bytes);
    return status;
}

static dpo_status run_fuse(const step *s, const tokenizer_texts *in, tokenizer_texts *out)
{
    (void)s;
    return tokenizer_texts_append(out, dpo_buffer_text(&in->text), in->text.size_bytes);
}

/* Characters are whole texts here: content is one character. */
static bool begins_with(const char *text, int64_t n_bytes, const char *content)
{
    int64_t n = (int64_t)strlen(content);

    return n_bytes >= n && memcmp(text, content, (size_t)n) == 0;
}

static dpo_status run_strip(const step *s, const tokenizer_texts *in, tokenizer_texts *out)
{
    int64_t n_content = (int64_t)strlen(s->content);

    for (int64_t i = 0; i < count_texts(in); i++) {
        int64_t n_bytes;
        const char *token = get_text(in, i, &n_bytes);

        for (int64_t k = 0; k < s->start && begins_with(token, n_bytes, s->content); k++) {
            token += n_content;
            n_bytes -= n_content;
        }
        for (int64_t k = 0; k < s->stop && n_bytes >= n_content &&
                            begins_with(token + n_bytes - n_content, n_content, s->content);
             k++)
            n_bytes -= n_content;
        DPO_TRY(tokenizer_texts_append(out, token, n_bytes));
    }
    return DPO_OK;
}

/* Appends a token with a text in place of every replacement character. */
static dpo_status append_spaced(const char *token, int64_t n_bytes, const char *content,
                                const char *space, dpo_buffer *out)
{
    int64_t n_content = (int64_t)strlen(content);

    for (int64_t at = 0; at < n_bytes;) {
        bool is_space = begins_with(token + at, n_bytes - at, content);

        DPO_TRY(is_space ? dpo_buffer_append_text(out, space)
                         : dpo_buffer_append(out, token + at, 1));
        at += is_space ? n_content : 1;
    }
    return DPO_OK;
}

static dpo_status run_metaspace(const step *s, const tokenizer_texts *in, tokenizer_texts *out)
{
    for (int64_t i = 0; i < count_texts(in); i++) {
        int64_t n_bytes;
        const char *token = get_text(in, i, &n_bytes);
        const char *space = i == 0 && s->prepended ? "" : " ";

        DPO_TRY(append_spaced(token, n_bytes, s->content, space, &out->text));
        DPO_TRY(end_text(out));
    }
    return DPO_OK;
}

static void destroy_step(step *s)
{
    tokenizer_pattern_destroy(&s->pattern);
    dpo_free(s->content);
}

/* Copies content (may be NULL) and takes over what else the step owns. */
static dpo_status append_step(void *list, step *s, const char *content)
{
    tokenizer_decoders *decoders = list;
    dpo_status status = content != NULL ? dpo_text_copy(content, &s->content) : DPO_OK;

    if (status == DPO_OK) status = dpo_buffer_append(&decoders->steps, s, sizeof *s);
    if (status != DPO_OK) destroy_step(s);
    return status;
}

static dpo_status load_byte_level(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_step(list, &(step){.run = run_byte_level}, NULL);
}

static dpo_status load_byte_fallback(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_step(list, &(step){.run = run_byte_fallback}, NULL);
}

static dpo_status load_fuse(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_step(list, &(step){.run = run_fuse}, NULL);
}

static dpo_status load_replace(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_replace};
    const char *content;

    DPO_TRY(dpo_json_get_text(node, where, "content", &content));
    DPO_TRY(tokenizer_pattern_load(where, node, &s.pattern));
    return append_step(list, &s, content);
}

static dpo_status load_strip(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_strip};
    const char *content;

    DPO_TRY(tokenizer_get_char(node, where, "content", &content));
    DPO_TRY(dpo_json_get_int(node, where, "start", 0, INT32_MAX, &s.start));
    DPO_TRY(dpo_json_get_int(node, where, "stop", 0, INT32_MAX, &s.stop));
    return append_step(list, &s, content);
}

static dpo_status load_metaspace(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_metaspace};
    const char *replacement;
    const char *scheme = "always";
    bool prefix_space = true;

    DPO_TRY(tokenizer_get_char(node, where, "replacement", &replacement));
    DPO_TRY(dpo_json_maybe_bool(node, where, "add_prefix_space", &prefix_space));
    DPO_TRY(dpo_json_maybe_text(node, where, "prepend_scheme", &scheme));
    s.prepended = prefix_space && strcmp(scheme, "never") != 0;
    return append_step(list, &s, replacement);
}

static const tokenizer_component components[] = {
    {"ByteLevel", load_byte_level},
    {"Replace", load_replace},
    {"ByteFallback", load_byte_fallback},
    {"Fuse", load_fuse},
    {"Strip", load_strip},
    {"Metaspace", load_metaspace},
};

static const tokenizer_component_kind kind = {"decoders", components,
                                              sizeof components / sizeof *components};

dpo_status tokenizer_decoders_load(const char *where, const dpo_json *node,
                                   tokenizer_decoders *decoders)
{
    decoders->is_there = node != NULL && dpo_json_type_of(node) != DPO_JSON_NULL;
    return tokenizer_components_load(where, &kind, node, decoders);
}

static int64_t count(const tokenizer_decoders *decoders)
{
    return decoders->steps.size_bytes / (int64_t)sizeof(step);
}

void tokenizer_decoders_destroy(tokenizer_decoders *decoders)
{
    step *s = decoders->steps.data;

    for (int64_t i = 0; i < count(decoders); i++)
        destroy_step(&s[i]);
    dpo_buffer_destroy(&decoders->steps);
}

static dpo_status run(const step *s, tokenizer_texts *tokens, tokenizer_texts *next)
{
    tokenizer_texts used;

    dpo_buffer_clear(&next->text);
    dpo_buffer_clear(&next->end);
    DPO_TRY(s->run(s, tokens, next));
    used = *tokens;
    *tokens = *next;
    *next = used;
    return DPO_OK;
}

static dpo_status join(const tokenizer_texts *tokens, const char *between, dpo_buffer *text)
{
    for (int64_t i = 0; i < count_texts(tokens); i++) {
        int64_t n_bytes;
        const char *token = get_text(tokens, i, &n_bytes);

        if (i > 0) DPO_TRY(dpo_buffer_append_text(text, between));
        DPO_TRY(dpo_buffer_append(text, token, n_bytes));
    }
    return DPO_OK;
}

dpo_status tokenizer_decode(const tokenizer_decoders *decoders, tokenizer_texts *tokens,
                            dpo_buffer *text)
{
    const step *s = decoders->steps.data;
    tokenizer_texts next = {0};
    dpo_status status = DPO_OK;

    for (int64_t i = 0; i < count(decoders) && status == DPO_OK; i++)
        status = run(&s[i], tokens, &next);
    if (status == DPO_OK) status = join(tokens, decoders->is_there ? "" : " ", text);
    tokenizer_texts_destroy(&next);
    return status;
}
