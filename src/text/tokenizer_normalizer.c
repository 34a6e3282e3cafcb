// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_normalizer.h"

#include <string.h>
#include <utf8proc.h>

#include "dpo/base/memory.h"
#include "tokenizer_component.h"
#include "tokenizer_pattern.h"
#include "tokenizer_unicode.h"

/* One normalizer; which members count depends on run. */
typedef struct step {
    dpo_status (*run)(const struct step *step, const char *text, int64_t n_bytes, dpo_buffer *out);
    tokenizer_pattern pattern; /* Replace */
    char *content;             /* Replace, Prepend; owned */
    int options;               /* utf8proc */
    bool left;                 /* Strip */
    bool right;
} step;

static dpo_status run_prepend(const step *s, const char *text, int64_t n_bytes, dpo_buffer *out)
{
    if (n_bytes > 0) DPO_TRY(dpo_buffer_append_text(out, s->content));
    return dpo_buffer_append(out, text, n_bytes);
}

static dpo_status run_replace(const step *s, const char *text, int64_t n_bytes, dpo_buffer *out)
{
    return tokenizer_pattern_replace(&s->pattern, s->content, text, n_bytes, out);
}

/* Characters of a text, decomposed but not yet composed. */
static dpo_status decompose(const step *s, const char *text, int64_t n_bytes, dpo_buffer *chars)
{
    utf8proc_ssize_t room = n_bytes;
    utf8proc_ssize_t n = 0;

    for (;;) { /* a second time if the first guess was too small */
        dpo_buffer_clear(chars);
        DPO_TRY(dpo_buffer_append(chars, NULL, room * (int64_t)sizeof(utf8proc_int32_t)));
        n = utf8proc_decompose((const utf8proc_uint8_t *)text, n_bytes, chars->data, room,
                               (utf8proc_option_t)s->options);
        if (n < 0)
            return DPO_FAIL(DPO_EDATA, "a text of %lld bytes is too long to be normalized",
                            (long long)n_bytes);
        if (n <= room) break;
        room = n;
    }
    chars->size_bytes = n * (int64_t)sizeof(utf8proc_int32_t);
    return DPO_OK;
}

static dpo_status run_form_in(const step *s, const char *text, int64_t n_bytes, dpo_buffer *chars,
                              dpo_buffer *out)
{
    DPO_TRY(decompose(s, text, n_bytes, chars));
    utf8proc_int32_t *c = chars->data;
    utf8proc_ssize_t n = chars->size_bytes / (int64_t)sizeof *c;

    n = utf8proc_normalize_utf32(c, n, (utf8proc_option_t)s->options);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        DPO_TRY(tokenizer_append_char(out, c[i]));
    return DPO_OK;
}

static dpo_status run_form(const step *s, const char *text, int64_t n_bytes, dpo_buffer *out)
{
    dpo_buffer chars = {0};
    dpo_status status = n_bytes > 0 ? run_form_in(s, text, n_bytes, &chars, out) : DPO_OK;

    dpo_buffer_destroy(&chars);
    return status;
}

/* The only character whose lower case is two is the capital I with a dot. */
static dpo_status run_lowercase(const step *s, const char *text, int64_t n_bytes, dpo_buffer *out)
{
    int64_t length;

    (void)s;
    for (int64_t at = 0; at < n_bytes; at += length) {
        int32_t c = tokenizer_char_at(text + at, n_bytes - at, &length);

        DPO_TRY(tokenizer_append_char(out, c == 0x130 ? 'i' : utf8proc_tolower(c)));
        if (c == 0x130) DPO_TRY(tokenizer_append_char(out, 0x307));
    }
    return DPO_OK;
}

static dpo_status run_strip(const step *s, const char *text, int64_t n_bytes, dpo_buffer *out)
{
    int64_t begin = 0;
    int64_t length;

    while (s->left && begin < n_bytes &&
           tokenizer_is_space(tokenizer_char_at(text + begin, n_bytes - begin, &length)))
        begin += length;
    while (s->right && n_bytes > begin &&
           tokenizer_is_space(tokenizer_char_before(text, n_bytes, &length)))
        n_bytes -= length;
    return dpo_buffer_append(out, text + begin, n_bytes - begin);
}

static void destroy_step(step *s)
{
    tokenizer_pattern_destroy(&s->pattern);
    dpo_free(s->content);
}

/* Takes over what the step owns. */
static dpo_status append_step(void *list, step *s)
{
    tokenizer_normalizers *normalizers = list;
    dpo_status status = dpo_buffer_append(&normalizers->steps, s, sizeof *s);

    if (status != DPO_OK) destroy_step(s);
    return status;
}

static dpo_status load_prepend(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_prepend};
    const char *text;

    DPO_TRY(dpo_json_get_text(node, where, "prepend", &text));
    DPO_TRY(dpo_text_copy(text, &s.content));
    return append_step(list, &s);
}

static dpo_status load_replace(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_replace};
    const char *text;
    dpo_status status;

    DPO_TRY(dpo_json_get_text(node, where, "content", &text));
    DPO_TRY(tokenizer_pattern_load(where, node, &s.pattern));
    status = dpo_text_copy(text, &s.content);
    if (status == DPO_OK) return append_step(list, &s);
    destroy_step(&s);
    return status;
}

static dpo_status load_strip(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_strip};

    DPO_TRY(dpo_json_maybe_bool(node, where, "strip_left", &s.left));
    DPO_TRY(dpo_json_maybe_bool(node, where, "strip_right", &s.right));
    return append_step(list, &s);
}

static dpo_status load_lowercase(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_step(list, &(step){.run = run_lowercase});
}

static dpo_status append_form(void *list, int options)
{
    return append_step(list, &(step){.run = run_form, .options = options | UTF8PROC_STABLE});
}

static dpo_status load_nfc(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_form(list, UTF8PROC_COMPOSE);
}

static dpo_status load_nfd(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_form(list, UTF8PROC_DECOMPOSE);
}

static dpo_status load_nfkc(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_form(list, UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
}

static dpo_status load_nfkd(const char *where, const dpo_json *node, void *list)
{
    (void)where;
    (void)node;
    return append_form(list, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
}

static const tokenizer_component components[] = {
    {"Prepend", load_prepend},
    {"Replace", load_replace},
    {"NFC", load_nfc},
    {"NFD", load_nfd},
    {"NFKC", load_nfkc},
    {"NFKD", load_nfkd},
    {"Lowercase", load_lowercase},
    {"Strip", load_strip},
};

static const tokenizer_component_kind kind = {"normalizers", components,
                                              sizeof components / sizeof *components};

dpo_status tokenizer_normalizers_load(const char *where, const dpo_json *node,
                                      tokenizer_normalizers *normalizers)
{
    return tokenizer_components_load(where, &kind, node, normalizers);
}

static int64_t count(const tokenizer_normalizers *normalizers)
{
    return normalizers->steps.size_bytes / (int64_t)sizeof(step);
}

void tokenizer_normalizers_destroy(tokenizer_normalizers *normalizers)
{
    step *s = normalizers->steps.data;

    for (int64_t i = 0; i < count(normalizers); i++)
        destroy_step(&s[i]);
    dpo_buffer_destroy(&normalizers->steps);
}

static void swap(dpo_buffer *a, dpo_buffer *b)
{
    dpo_buffer c = *a;

    *a = *b;
    *b = c;
}

dpo_status tokenizer_normalize(const tokenizer_normalizers *normalizers, const char *text,
                               int64_t n_bytes, dpo_buffer *out)
{
    const step *s = normalizers->steps.data;
    dpo_buffer next = {0};
    dpo_status status;

    dpo_buffer_clear(out);
    status = dpo_buffer_append(out, text, n_bytes);
    for (int64_t i = 0; i < count(normalizers) && status == DPO_OK; i++) {
        dpo_buffer_clear(&next);
        status = s[i].run(&s[i], dpo_buffer_text(out), out->size_bytes, &next);
        swap(out, &next);
    }
    dpo_buffer_destroy(&next);
    return status;
}
