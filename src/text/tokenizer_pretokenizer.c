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
    /* Appends the pieces that one piece [n_bytes > 0] becomes. makes_text: they are of the text that
       is appended to out->text; else of the old one, in which the piece begins at `begin`. at_start:
       it begins where the whole text does. */
    dpo_status (*run)(const struct step *step, const char *text, tokenizer_piece piece,
                      bool at_start, tokenizer_split_scratch *scratch, tokenizer_pieces *out);
    bool makes_text;
    tokenizer_pattern pattern; /* Split; Metaspace: the replacement character */
    tokenizer_behavior behavior;
    prepend_scheme prepend; /* Metaspace */
    bool use_pattern;       /* ByteLevel, Metaspace */
    bool prefix_space;      /* ByteLevel */
    bool individual_digits; /* Digits */
    bool invert;            /* Split: what lies between the matches counts as matched */
} step;

static dpo_status run_split(const step *s, const char *text, tokenizer_piece piece, bool at_start,
                            tokenizer_split_scratch *scratch, tokenizer_pieces *out)
{
    dpo_buffer *matches = &scratch->search.matches;

    (void)at_start;
    DPO_TRY(tokenizer_pattern_match(&s->pattern, text + piece.begin, piece.end - piece.begin,
                                    &scratch->search));
    tokenizer_match *match = matches->data;

    for (int64_t i = 0; i < matches->size_bytes / (int64_t)sizeof *match && s->invert; i++)
        match[i].is_match = !match[i].is_match;
    return tokenizer_pieces_split(out, piece.begin, matches, s->behavior);
}

/* Most texts are ASCII. */
static bool is_digit_at(const char *text, int64_t n_bytes, int64_t *length)
{
    *length = 1;
    if ((unsigned char)*text < 0x80) return *text >= '0' && *text <= '9';
    return tokenizer_is_numeric(tokenizer_char_at(text, n_bytes, length));
}

static dpo_status run_digits(const step *s, const char *text, tokenizer_piece piece, bool at_start,
                             tokenizer_split_scratch *scratch, tokenizer_pieces *out)
{
    int64_t begin = piece.begin;
    bool was_digit = false;
    int64_t length;

    (void)at_start;
    (void)scratch;
    for (int64_t at = piece.begin; at < piece.end; at += length) {
        bool is_digit = is_digit_at(text + at, piece.end - at, &length);

        if (is_digit != was_digit || (is_digit && s->individual_digits)) {
            DPO_TRY(tokenizer_pieces_add(out, begin, at));
            begin = at;
        }
        was_digit = is_digit;
    }
    return tokenizer_pieces_add(out, begin, piece.end);
}

/* Bytes that the alphabet makes of one byte at most. */
enum { MOST_OF_A_BYTE = 2 };

static dpo_status append_byte_level(const step *s, const char *bytes, int64_t n_bytes,
                                    tokenizer_pieces *out)
{
    int64_t begin = out->text.size_bytes;

    DPO_TRY(dpo_buffer_append(&out->text, NULL, MOST_OF_A_BYTE * n_bytes));
    char *to = out->text.data;
    int64_t end = begin;

    for (int64_t at = 0; at < n_bytes;) {
        int64_t n = s->use_pattern ? tokenizer_byte_level_word(bytes + at, n_bytes - at) : n_bytes;
        int64_t first = end;

        for (int64_t i = 0; i < n; i++)
            end += tokenizer_put_byte((unsigned char)bytes[at + i], to + end);
        DPO_TRY(tokenizer_pieces_add(out, first, end));
        at += n;
    }
    tokenizer_shrink(&out->text, end);
    return DPO_OK;
}

static dpo_status run_byte_level(const step *s, const char *text, tokenizer_piece piece,
                                 bool at_start, tokenizer_split_scratch *scratch,
                                 tokenizer_pieces *out)
{
    int64_t n_bytes = piece.end - piece.begin;

    (void)at_start;
    text += piece.begin;
    if (!s->prefix_space || text[0] == ' ') return append_byte_level(s, text, n_bytes, out);
    dpo_buffer_clear(&scratch->text);
    DPO_TRY(dpo_buffer_append_text(&scratch->text, " "));
    DPO_TRY(dpo_buffer_append(&scratch->text, text, n_bytes));
    return append_byte_level(s, dpo_buffer_text(&scratch->text), scratch->text.size_bytes, out);
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

static dpo_status run_metaspace(const step *s, const char *text, tokenizer_piece piece,
                                bool at_start, tokenizer_split_scratch *scratch,
                                tokenizer_pieces *out)
{
    int64_t begin = out->text.size_bytes;

    DPO_TRY(replace_spaces(s, text + piece.begin, piece.end - piece.begin, at_start, &out->text));
    tokenizer_piece made = {begin, out->text.size_bytes};

    if (!s->use_pattern) return tokenizer_pieces_add(out, made.begin, made.end);
    return run_split(s, dpo_buffer_text(&out->text), made, at_start, scratch, out);
}

/* Takes over what the step owns. */
static dpo_status append_step(void *list, step *s)
{
    tokenizer_pretokenizers *pretokenizers = list;
    dpo_status status = dpo_buffer_append(&pretokenizers->steps, s, sizeof *s);

    if (status != DPO_OK) tokenizer_pattern_destroy(&s->pattern);
    return status;
}

static dpo_status load_byte_level(const char *where, const dpo_json *node, void *list)
{
    step s = {.run = run_byte_level, .makes_text = true, .use_pattern = true, .prefix_space = true};

    DPO_TRY(dpo_json_maybe_bool(node, where, "use_regex", &s.use_pattern));
    DPO_TRY(dpo_json_maybe_bool(node, where, "add_prefix_space", &s.prefix_space));
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
    step s = {.run = run_metaspace,
              .makes_text = true,
              .behavior = TOKENIZER_MERGED_WITH_NEXT,
              .use_pattern = true};
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

static void swap(dpo_buffer *a, dpo_buffer *b)
{
    dpo_buffer c = *a;

    *a = *b;
    *b = c;
}

/* Replaces the pieces by what a step makes of them. */
static dpo_status run(const step *s, tokenizer_split_scratch *scratch, tokenizer_pieces *pieces)
{
    tokenizer_pieces *next = &scratch->next;
    const tokenizer_piece *piece = pieces->pieces.data;
    const char *text = dpo_buffer_text(&pieces->text);
    int64_t n = tokenizer_pieces_count(pieces);

    tokenizer_pieces_clear(next);
    next->at_start = pieces->at_start;
    for (int64_t i = 0; i < n; i++)
        DPO_TRY(s->run(s, text, piece[i], i == 0 && pieces->at_start, scratch, next));
    swap(&pieces->pieces, &next->pieces);
    if (s->makes_text) swap(&pieces->text, &next->text);
    pieces->at_start = next->at_start;
    return DPO_OK;
}

dpo_status tokenizer_pretokenize(const tokenizer_pretokenizers *pretokenizers,
                                 tokenizer_split_scratch *scratch, tokenizer_pieces *pieces)
{
    const step *s = pretokenizers->steps.data;

    for (int64_t i = 0; i < count(pretokenizers); i++)
        DPO_TRY(run(&s[i], scratch, pieces));
    return DPO_OK;
}

void tokenizer_split_scratch_destroy(tokenizer_split_scratch *scratch)
{
    tokenizer_search_destroy(&scratch->search);
    dpo_buffer_destroy(&scratch->text);
    tokenizer_pieces_destroy(&scratch->next);
}
