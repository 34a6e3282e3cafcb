// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_pattern.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "dpo/base/memory.h"
#include "tokenizer_regex.h"
#include "tokenizer_unicode.h"

static void *get(size_t n_bytes, void *unused)
{
    (void)unused;
    return dpo_memory_get((int64_t)n_bytes, 1);
}

static void put(void *block, void *unused)
{
    (void)unused;
    dpo_free(block);
}

static dpo_status no_memory(void)
{
    return dpo_memory_failed(1, 1, __FILE__, __LINE__);
}

static dpo_status compile_failed(const char *where, const char *expression, int code)
{
    char reason[128];

    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED) return no_memory();
    (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
    return DPO_FAIL(DPO_EDATA, "%s: the pattern \"%s\" cannot be used: %s", where, expression,
                    reason);
}

/* In Ruby's syntax ^ and $ always mean lines, and only "\n" ends one. */
static dpo_status compile_in(const char *where, const char *expression,
                             pcre2_compile_context *context, tokenizer_pattern *pattern)
{
    int error;
    size_t at;

    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &at, context);
    if (pattern->code == NULL) return compile_failed(where, expression, error);
    /* Where it is not available matching is slower, that is all. */
    pattern->has_jit = pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0;
    return DPO_OK;
}

static dpo_status compile(const char *where, const char *expression, tokenizer_pattern *pattern)
{
    pcre2_general_context *memory = pcre2_general_context_create(get, put, NULL);
    pcre2_compile_context *context = NULL;
    dpo_status status;

    if (memory != NULL) context = pcre2_compile_context_create(memory);
    status = context == NULL ? no_memory() : compile_in(where, expression, context, pattern);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    return status;
}

dpo_status tokenizer_pattern_compile(const char *where, const char *expression,
                                     tokenizer_pattern *pattern)
{
    dpo_buffer translated = {0};
    dpo_status status;

    *pattern = (tokenizer_pattern){0};
    status = tokenizer_regex_translate(where, expression, &translated);
    if (status == DPO_OK) status = compile(where, dpo_buffer_text(&translated), pattern);
    dpo_buffer_destroy(&translated);
    return status;
}

dpo_status tokenizer_pattern_load(const char *where, const dpo_json *node,
                                  tokenizer_pattern *pattern)
{
    const dpo_json *member;
    const char *text = NULL;

    *pattern = (tokenizer_pattern){0};
    DPO_TRY(dpo_json_get(node, where, "pattern", DPO_JSON_OBJECT, &member));
    DPO_TRY(dpo_json_maybe_text(member, where, "Regex", &text));
    if (text != NULL) return tokenizer_pattern_compile(where, text, pattern);
    DPO_TRY(dpo_json_get_text(member, where, "String", &text));
    return dpo_text_copy(text, &pattern->literal);
}

void tokenizer_pattern_destroy(tokenizer_pattern *pattern)
{
    pcre2_code_free(pattern->code);
    dpo_free(pattern->literal);
    *pattern = (tokenizer_pattern){0};
}

/* A text that is searched. */
typedef struct {
    const tokenizer_pattern *pattern;
    pcre2_match_data *data;
    const char *text;
    int64_t n_bytes;
} subject;

static dpo_status find_literal(const subject *s, int64_t from, tokenizer_match *match)
{
    const char *literal = s->pattern->literal;
    int64_t n = (int64_t)strlen(literal);

    for (int64_t i = from; i + n <= s->n_bytes; i++) {
        if (n > 0) { /* to the next place where its first byte is */
            const char *at = memchr(s->text + i, literal[0], (size_t)(s->n_bytes - n + 1 - i));

            if (at == NULL) return DPO_OK;
            i = at - s->text;
        }
        bool at_char = i == s->n_bytes || ((unsigned char)s->text[i] & 0xC0) != 0x80;

        if (!at_char || memcmp(s->text + i, literal, (size_t)n) != 0) continue;
        *match = (tokenizer_match){i, i + n, true};
        return DPO_OK;
    }
    return DPO_OK;
}

static int run_code(const subject *s, int64_t from)
{
    const uint32_t options = PCRE2_NO_UTF_CHECK;
    PCRE2_SPTR text = (PCRE2_SPTR)s->text;
    int code = PCRE2_ERROR_JIT_STACKLIMIT;

    if (s->pattern->has_jit)
        code = pcre2_jit_match(s->pattern->code, text, (size_t)s->n_bytes, (size_t)from, options,
                               s->data, NULL);
    if (code != PCRE2_ERROR_JIT_STACKLIMIT) return code;
    /* the interpreter has more room */
    return pcre2_match(s->pattern->code, text, (size_t)s->n_bytes, (size_t)from,
                       options | PCRE2_NO_JIT, s->data, NULL);
}

static dpo_status find_regex(const subject *s, int64_t from, tokenizer_match *match)
{
    char reason[128];
    int code = run_code(s, from);

    if (code == PCRE2_ERROR_NOMATCH) return DPO_OK;
    if (code == PCRE2_ERROR_NOMEMORY) return no_memory();
    if (code < 0) {
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)reason, sizeof reason);
        return DPO_FAIL(
            DPO_EDATA,
            "the pre-tokenizer's pattern gives up on a text of %lld bytes: %s; shorten it",
            (long long)s->n_bytes, reason);
    }
    const size_t *range = pcre2_get_ovector_pointer(s->data);

    *match = (tokenizer_match){(int64_t)range[0], (int64_t)range[1], true};
    return DPO_OK;
}

/* The first match that begins at or behind `from`; is_match is false if there is none. */
static dpo_status find(const subject *s, int64_t from, tokenizer_match *match)
{
    *match = (tokenizer_match){0};
    if (s->pattern->code == NULL) return find_literal(s, from, match);
    return find_regex(s, from, match);
}

static dpo_status append_match(dpo_buffer *matches, int64_t begin, int64_t end, bool is_match)
{
    tokenizer_match match = {begin, end, is_match};

    return dpo_buffer_append(matches, &match, sizeof match);
}

/* An empty match right behind the last one does not count. */
static dpo_status match_all(const subject *s, dpo_buffer *matches)
{
    tokenizer_match match;
    int64_t from = 0;
    int64_t last_end = -1;
    int64_t done = 0;

    while (from <= s->n_bytes) {
        DPO_TRY(find(s, from, &match));
        if (!match.is_match) break;
        if (match.begin == match.end && match.end == last_end) {
            int64_t length = 1;

            if (from < s->n_bytes)
                (void)tokenizer_char_at(s->text + from, s->n_bytes - from, &length);
            from += length;
            continue;
        }
        if (done < match.begin) DPO_TRY(append_match(matches, done, match.begin, false));
        DPO_TRY(append_match(matches, match.begin, match.end, true));
        done = from = last_end = match.end;
    }
    return done < s->n_bytes ? append_match(matches, done, s->n_bytes, false) : DPO_OK;
}

static dpo_status get_match_data(tokenizer_search *search)
{
    pcre2_general_context *memory;

    if (search->data != NULL) return DPO_OK;
    memory = pcre2_general_context_create(get, put, NULL);
    if (memory != NULL) search->data = pcre2_match_data_create(1, memory);
    pcre2_general_context_free(memory);
    return search->data != NULL ? DPO_OK : no_memory();
}

dpo_status tokenizer_pattern_match(const tokenizer_pattern *pattern, const char *text,
                                   int64_t n_bytes, tokenizer_search *search)
{
    dpo_buffer_clear(&search->matches);
    if (n_bytes == 0) return DPO_OK;
    if (pattern->code != NULL) DPO_TRY(get_match_data(search));
    const subject s = {pattern, search->data, text, n_bytes};

    return match_all(&s, &search->matches);
}

void tokenizer_search_destroy(tokenizer_search *search)
{
    pcre2_match_data_free(search->data);
    dpo_buffer_destroy(&search->matches);
    *search = (tokenizer_search){0};
}

dpo_status tokenizer_pattern_replace(const tokenizer_pattern *pattern, const char *content,
                                     const char *text, int64_t n_bytes, dpo_buffer *out)
{
    tokenizer_search search = {0};
    dpo_status status = tokenizer_pattern_match(pattern, text, n_bytes, &search);
    const tokenizer_match *match = search.matches.data;
    int64_t n = search.matches.size_bytes / (int64_t)sizeof *match;

    for (int64_t i = 0; i < n && status == DPO_OK; i++)
        status = match[i].is_match
                     ? dpo_buffer_append_text(out, content)
                     : dpo_buffer_append(out, text + match[i].begin, match[i].end - match[i].begin);
    tokenizer_search_destroy(&search);
    return status;
}
