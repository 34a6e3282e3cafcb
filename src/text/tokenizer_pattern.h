// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_PATTERN_H
#define TOKENIZER_PATTERN_H

#include "dpo/base/json.h"

/* A text or a regular expression (of Oniguruma's Ruby syntax, run by PCRE2) to look for. */
typedef struct {
    char *literal; /* owned, zero-terminated; NULL for a regular expression */
    void *code;    /* owned, a pcre2_code */
    bool has_jit;  /* code runs as machine code */
} tokenizer_pattern;

/* Working memory of a search, whatever the pattern; zero-initialised. */
typedef struct {
    dpo_buffer matches; /* tokenizer_match: of the last tokenizer_pattern_match() */
    void *data;         /* owned, a pcre2_match_data; NULL before the first expression */
} tokenizer_search;

void tokenizer_search_destroy(tokenizer_search *search);

/* [begin, end) of a text, matched or between matches. */
typedef struct {
    int64_t begin;
    int64_t end;
    bool is_match;
} tokenizer_match;

/* Loads {"String": text} or {"Regex": expression} under "pattern" of node; an expression that PCRE2
   would read otherwise than Oniguruma is refused. On error the pattern is empty. */
DPO_MUST_CHECK dpo_status tokenizer_pattern_load(const char *where, const dpo_json *node,
                                                 tokenizer_pattern *pattern);

/* The same for an expression. */
DPO_MUST_CHECK dpo_status tokenizer_pattern_compile(const char *where, const char *expression,
                                                    tokenizer_pattern *pattern);

void tokenizer_pattern_destroy(tokenizer_pattern *pattern);

/* Fills search->matches with tokenizer_match items that cover the UTF-8 text [n_bytes] in order; an
   empty text has none. DPO_EDATA if the expression gives up. */
DPO_MUST_CHECK dpo_status tokenizer_pattern_match(const tokenizer_pattern *pattern,
                                                  const char *text, int64_t n_bytes,
                                                  tokenizer_search *search);

/* Appends the text with content in place of every match. */
DPO_MUST_CHECK dpo_status tokenizer_pattern_replace(const tokenizer_pattern *pattern,
                                                    const char *content, const char *text,
                                                    int64_t n_bytes, dpo_buffer *out);

#endif
