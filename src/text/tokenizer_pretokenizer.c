// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_pretokenizer.h"

#include <string.h>

#include "dpo/base/memory.h"
#include "tokenizer_byte_level.h"
#include "tokenizer_component.h"
#include "tokenizer_unicode.h"

/* Which pieces get the replacement character in front. */
typedef enum { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS } prepend_scheme;

/* One pre-tokenizer; which members count depends on run. */
typedef struct step {
    /* Appends what becomes of one piece [n_bytes > 0]; at_start: it begins where the whole text
       does. */
    dpo_status (*run)(const struct step *step, const char *text, int64_t n_bytes, bool at_start,
                      tokenizer_pieces *out);
    tokenizer_pattern pattern; /* Split; ByteLevel; Metaspace: the replacement character */
    tokenizer_behavior behavior;
    prepend_scheme prepend; /* Metaspace */
    bool use_pattern;       /* ByteLevel, Metaspace */
    bool prefix_space;      /* ByteLevel */
    bool individual_digits; /* Digits */
    bool invert;            /* Split: what lies between the matches counts as matched */
} step;

static dpo_status run_split(const step *s, const char *text, int64_t n_bytes, bool at_start,
                            tokenizer_pieces *out)
{
    dpo_buffer matches = {0};
    dpo_status status = tokenizer_pattern_match(&s->pattern, text, n_bytes, &matches);
    tokenizer_match *match = matches.data;

    (void)at_start;
    for (int64_t i = 0; i < matches.size_bytes / (int64_t)sizeof *match && s->invert; i++)
        match[i].is_match = !match[i].is_match;
    if (status == DPO_OK) status = tokenizer_pieces_split(out, text, &matches, s->behavior);
    dpo_buffer_destroy(&matches);
    return status;
}

static dpo_status run_digits(const step *s, const char *text, int64_t n_bytes, bool at_start,
                             tokenizer_pieces *out)
{
    bool was_digit = false;
    int64_t length;

    (void)at_start;
    for (int64_t at = 0; at < n_bytes; at += length) {
        bool is_digit = tokenizer_is_numeric(tokenizer_char_at(text + at, n_bytes - at, &length));

        if (is_digit != was_digit || (is_digit && s->individual_digits))
            DPO_TRY(tokenizer_pieces_cut(out));
        DPO_TRY(dpo_buffer_append(&out->text, text + at, length));
        was_digit = is_digit;
    }
    return tokenizer_pieces_cut(out);
}

static dpo_status append_byte_level(const char *bytes, int64_t n_bytes, tokenizer_pieces *out)
{
    for (int64_t i = 0; i < n_bytes; i++)
        DPO_TRY(tokenizer_append_char(&out->text, tokenizer_char_of_byte((unsigned char)bytes[i])));
    return tokenizer_pieces_cut(out);
}

static dpo_status split_byte_level(const step *s, const char *text, int64_t n_bytes,
                                   tokenizer_pieces *out)
{
    dpo_buffer matches = {0};
    dpo_status status;

    if (!s->use_pattern) return append_byte_level(text, n_bytes, out);
    status = tokenizer_pattern_match(&s->pattern, text, n_bytes, &matches);
    const tokenizer_match *match = matches.data;

    for (int64_t i = 0; i < matches.size_bytes / (int64_t)sizeof *match && status == DPO_OK; i++)
        status = append_byte_level(text + match[i].begin, match[i].end - match[i].begin, out);
    dpo_buffer_destroy(&matches);
    return status;
}

static dpo_status run_byte_level(const step *s, const char *text, int64_t n_bytes, bool at_start,
                                 tokenizer_pieces *out)
{
    dpo_buffer prefixed = {0};
    dpo_status status;

    (void)at_start;
    if (!s->prefix_space || text[0] == ' ') return split_byte_level(s, text, n_bytes, out);
    status = dpo_buffer_append_text(&prefixed, " ");
    if (status == DPO_OK) status = dpo_buffer_append(&prefixed, text, n_bytes);
    if (status == DPO_OK)
        status = split_byte_level(s, dpo_buffer_text(&prefixed), prefixed.size_bytes, out);
    dpo_buffer_destroy(&prefixed);
    return status;
}

/* The text with the replacement character for every space, and one in front where the scheme says
   so. */
static dpo_status replace_spaces(const step *s, const char *text, int64_t n_bytes, bool at_start,
                                 dpo_buffer *out)
{
    const char *replacement = s->pattern.literal;
    int64_t n_replacement = (int64_t)strlen(replacement);
    bool wanted = s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && at_start);
    bool is_there = text[0] == ' ' || (n_bytes >= n_replacement &&
                                       memcmp(text, replacement, (size_t)n_replacement) == 0);

    if (wanted && !is_there) DPO_TRY(dpo_buffer_append_text(out, replacement));
    for (int64_t i = 0; i < n_bytes; i++)
        DPO_TRY(text[i] == ' ' ? dpo_buffer_append_text(out, replacement)
                               : dpo_buffer_append(out, text + i, 1));
    return DPO_OK;
}

static dpo_status run_metaspace(const step *s, const char *text, int64_t n_bytes, bool at_start,
                                tokenizer_pieces *out)
{
    dpo_buffer replaced = {0};
    dpo_status status = replace_spaces(s, text, n_bytes, at_start, &replaced);

    if (status == DPO_OK && s->use_pattern) {
        status = run_split(s, dpo_buffer_text(&replaced), replaced.size_bytes, at_start, out);
    } else if (status == DPO_OK) {
        status = dpo_buffer_append(&out->text, replaced.data, replaced.size_bytes);
        if (status == DPO_OK) status = tokenizer_pieces_cut(out);
    }
    dpo_buffer_destroy(&replaced);
    return status;
}

/* Takes over what the step owns. */
static dpo_status append_step(void *list, step *s)
{
    tokenizer_pretokenizers *pretokenizers = list;
    dpo_status status = dpo_buffer_append(&pretokenizers->steps, s, sizeof *s);

    if (status != DPO_OK) tokenizer_pattern_destroy(&s->pattern);
    return status;
}

/* Radford et al. 2019, code of GPT-2. */
static const char byte_level_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static dpo_status load_byte_level(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_byte_level, .use_pattern = true, .prefix_space = true};

    DPO_TRY(dpo_json_maybe_bool(node, where, "use_regex", &s.use_pattern));
    DPO_TRY(dpo_json_maybe_bool(node, where, "add_prefix_space", &s.prefix_space));
    if (s.use_pattern) DPO_TRY(tokenizer_pattern_compile(where, byte_level_pattern, &s.pattern));
    return append_step(list, &s);
}

static dpo_status load_digits(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_digits};

    DPO_TRY(dpo_json_maybe_bool(node, where, "individual_digits", &s.individual_digits));
    return append_step(list, &s);
}

static dpo_status choose(const dpo_json *node, const char *where, const char *key,
                         const char *const *names, int n, int *chosen)
{
    const char *name = names[*chosen];

    DPO_TRY(dpo_json_maybe_text(node, where, key, &name));
    for (*chosen = 0; *chosen < n; ++*chosen)
        if (strcmp(name, names[*chosen]) == 0) return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s.%s: \"%s\" is not supported", where, key, name);
}

static dpo_status load_split(const char *where, const dpo_json *node, void *list)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    step s = {.run = run_split};
    const char *behavior;
    int chosen = 0;

    DPO_TRY(dpo_json_get_text(node, where, "behavior", &behavior));
    DPO_TRY(choose(node, where, "behavior", names, sizeof names / sizeof *names, &chosen));
    s.behavior = (tokenizer_behavior)chosen;
    DPO_TRY(dpo_json_maybe_bool(node, where, "invert", &s.invert));
    DPO_TRY(tokenizer_pattern_load(where, node, &s.pattern));
    return append_step(list, &s);
}

/* Older files say add_prefix_space in place of prepend_scheme. */
static dpo_status load_prepend_scheme(const char *where, const dpo_json *node,
                                      prepend_scheme *scheme)
{
    static const char *const names[] = {"never", "first", "always"};
    bool prefix_space = true;
    int chosen = PREPEND_ALWAYS;

    DPO_TRY(dpo_json_maybe_bool(node, where, "add_prefix_space", &prefix_space));
    if (!prefix_space) chosen = PREPEND_NEVER;
    DPO_TRY(choose(node, where, "prepend_scheme", names, sizeof names / sizeof *names, &chosen));
    *scheme = (prepend_scheme)chosen;
    if (!prefix_space && *scheme != PREPEND_NEVER)
        return DPO_FAIL(DPO_EDATA,
                        "%s: add_prefix_space is false but prepend_scheme is not \"never\"", where);
    return DPO_OK;
}

static dpo_status load_metaspace(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_metaspace, .behavior = TOKENIZER_MERGED_WITH_NEXT, .use_pattern = true};
    const char *replacement;

    DPO_TRY(tokenizer_get_char(node, where, "replacement", &replacement));
    DPO_TRY(load_prepend_scheme(where, node, &s.prepend));
    DPO_TRY(dpo_json_maybe_bool(node, where, "split", &s.use_pattern));
    DPO_TRY(dpo_text_copy(replacement, &s.pattern.literal));
    return append_step(list, &s);
}

static const tokenizer_component components[] = {
    {"ByteLevel", load_byte_level},
    {"Digits", load_digits},
    {"Split", load_split},
    {"Metaspace", load_metaspace},
};

static const tokenizer_component_kind kind = {"pretokenizers", components,
                                              sizeof components / sizeof *components};

dpo_status tokenizer_pretokenizers_load(const char *where, const dpo_json *node,
                                        tokenizer_pretokenizers *pretokenizers)
{
    return tokenizer_components_load(where, &kind, node, pretokenizers);
}

static int64_t count(const tokenizer_pretokenizers *pretokenizers)
{
    return pretokenizers->steps.size_bytes / (int64_t)sizeof(step);
}

void tokenizer_pretokenizers_destroy(tokenizer_pretokenizers *pretokenizers)
{
    step *s = pretokenizers->steps.data;

    for (int64_t i = 0; i < count(pretokenizers); i++)
        tokenizer_pattern_destroy(&s[i].pattern);
    dpo_buffer_destroy(&pretokenizers->steps);
}

static dpo_status run(const step *s, const tokenizer_pieces *pieces, tokenizer_pieces *out)
{
    out->at_start = pieces->at_start;
    for (int64_t i = 0; i < tokenizer_pieces_count(pieces); i++) {
        int64_t n_bytes;
        const char *text = tokenizer_pieces_get(pieces, i, &n_bytes);

        DPO_TRY(s->run(s, text, n_bytes, i == 0 && pieces->at_start, out));
    }
    return DPO_OK;
}

static void swap(tokenizer_pieces *a, tokenizer_pieces *b)
{
    tokenizer_pieces c = *a;

    *a = *b;
    *b = c;
}

dpo_status tokenizer_pretokenize(const tokenizer_pretokenizers *pretokenizers,
                                 tokenizer_pieces *pieces)
{
    const step *s = pretokenizers->steps.data;
    tokenizer_pieces next = {0};
    dpo_status status = DPO_OK;

    for (int64_t i = 0; i < count(pretokenizers) && status == DPO_OK; i++) {
        tokenizer_pieces_clear(&next);
        status = run(&s[i], pieces, &next);
        swap(pieces, &next);
    }
    tokenizer_pieces_destroy(&next);
    return status;
}
