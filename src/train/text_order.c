// SPDX-License-Identifier: Apache-2.0
#include "text_order.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t text_common(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b)
{
    int64_t n = smaller(n_a, n_b), i = 0;

    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* A beginning comes before what it is the beginning of. */
static int compare_tokens(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b)
{
    int64_t common = text_common(a, n_a, b, n_b);

    if (common == n_a || common == n_b) return compare_numbers(n_a, n_b);
    return compare_numbers(a[common], b[common]);
}

static int compare_texts(const token_text *a, const token_text *b)
{
    int order = compare_tokens(a->prompt, a->n_prompt, b->prompt, b->n_prompt);

    return order != 0 ? order
                      : compare_tokens(a->response, a->n_response, b->response, b->n_response);
}

int text_compare(const void *a, const void *b)
{
    const token_text *x = a;
    const token_text *y = b;
    int order = compare_texts(x, y);

    return order != 0 ? order : compare_numbers(x->index, y->index);
}

bool text_is_same(const token_text *a, const token_text *b)
{
    return compare_texts(a, b) == 0;
}

static int64_t worth(int64_t n_tokens)
{
    return n_tokens >= MIN_SHARED_TOKENS ? n_tokens : 0;
}

int64_t text_shared(const token_text *a, const token_text *b)
{
    int64_t common = text_common(a->prompt, a->n_prompt, b->prompt, b->n_prompt);

    if (text_is_same(a, b)) return text_length(b);
    if (common < a->n_prompt || common < b->n_prompt) return worth(common);
    return common +
           worth(text_common(a->response, a->n_response - 1, b->response, b->n_response - 1));
}
