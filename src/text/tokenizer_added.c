// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_added.h"

#include <string.h>

#include "tokenizer_unicode.h"

static const tokenizer_added_token *all_tokens(const tokenizer_added *added)
{
    return added->tokens.data;
}

/* The longest token of a set at the beginning of text [n_bytes > 0]; NULL if there is none. */
static const tokenizer_added_token *token_at(const tokenizer_added *added, bool normalized,
                                             const char *text, int64_t n_bytes)
{
    const int64_t *begin = &added->begin[normalized][(unsigned char)text[0]];

    for (int64_t i = begin[0]; i < begin[1]; i++) {
        const tokenizer_added_token *token = &all_tokens(added)[i];

        if (token->n_bytes <= n_bytes && memcmp(token->match, text, (size_t)token->n_bytes) == 0)
            return token;
    }
    return NULL;
}

/* The next place where a token of a set may begin; n_bytes if there is none. */
static int64_t skip_to_token(const tokenizer_added *added, bool normalized, const char *text,
                             int64_t n_bytes, int64_t at)
{
    const int64_t *begin = added->begin[normalized];
    int only = added->only_first[normalized];

    if (begin[0] == begin[256]) return n_bytes;
    if (only >= 0) {
        const char *found = memchr(text + at, only, (size_t)(n_bytes - at));

        return found != NULL ? found - text : n_bytes;
    }
    while (at < n_bytes && begin[(unsigned char)text[at]] == begin[(unsigned char)text[at] + 1])
        at++;
    return at;
}

static bool touches_a_word(const char *text, int64_t n_bytes, int64_t begin, int64_t end)
{
    int64_t length;

    if (begin > 0 && tokenizer_is_word(tokenizer_char_before(text, begin, &length))) return true;
    return end < n_bytes &&
           tokenizer_is_word(tokenizer_char_at(text + end, n_bytes - end, &length));
}

/* Where the white space that ends at `at` begins. */
static int64_t skip_space_left(const char *text, int64_t at)
{
    int64_t length;

    while (at > 0 && tokenizer_is_space(tokenizer_char_before(text, at, &length)))
        at -= length;
    return at;
}

static int64_t skip_space_right(const char *text, int64_t n_bytes, int64_t at)
{
    int64_t length;

    while (at < n_bytes && tokenizer_is_space(tokenizer_char_at(text + at, n_bytes - at, &length)))
        at += length;
    return at;
}

static dpo_status append_span(dpo_buffer *spans, int64_t begin, int64_t end, int32_t id)
{
    tokenizer_span span = {begin, end, id};

    return dpo_buffer_append(spans, &span, sizeof span);
}

/* Appends a token at [at, at + its length) and the plain text since *done, which moves behind it. A
   token of spaces may be found within the white space that another one took: nothing is left of it.
   */
static dpo_status append_token(const tokenizer_added_token *token, const char *text,
                               int64_t n_bytes, int64_t at, int64_t *done, dpo_buffer *spans)
{
    int64_t begin = token->lstrip ? skip_space_left(text, at) : at;
    int64_t end = at + token->n_bytes;

    if (begin < *done && token->lstrip) begin = *done;
    if (token->rstrip) end = skip_space_right(text, n_bytes, end);
    if (*done < begin) DPO_TRY(append_span(spans, *done, begin, -1));
    *done = end;
    return begin < end ? append_span(spans, begin, end, token->id) : DPO_OK;
}

/* A token that is turned down because it touches a word still hides shorter ones within it. */
dpo_status tokenizer_added_find(const tokenizer_added *added, bool normalized, const char *text,
                                int64_t n_bytes, dpo_buffer *spans)
{
    int64_t done = 0;
    int64_t at = 0;

    while ((at = skip_to_token(added, normalized, text, n_bytes, at)) < n_bytes) {
        const tokenizer_added_token *token = token_at(added, normalized, text + at, n_bytes - at);

        if (token == NULL) {
            at++;
            continue;
        }
        if (!token->single_word || !touches_a_word(text, n_bytes, at, at + token->n_bytes))
            DPO_TRY(append_token(token, text, n_bytes, at, &done, spans));
        at += token->n_bytes;
    }
    return done < n_bytes ? append_span(spans, done, n_bytes, -1) : DPO_OK;
}
