// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_TEXT_ORDER_H
#define DPO_TRAIN_TEXT_ORDER_H

/*
 * Texts of a micro-batch, a prompt and a response each, in an order in which those that begin alike are
 * neighbours.
 */

#include <stdbool.h>
#include <stdint.h>

/* Shorter beginnings are not worth pieces of attention of their own. */
enum { MIN_SHARED_TOKENS = 16 };

/* A text; its last token is predicted, but not fed to the model. */
typedef struct {
    const int32_t *prompt;   /* borrowed, [n_prompt] */
    const int32_t *response; /* borrowed, [n_response] */
    int64_t n_prompt;        /* > 0 */
    int64_t n_response;      /* > 0 */
    int64_t index;           /* of the response in its micro-batch */
} token_text;

/* Tokens at the beginning of a, [n_a], that are also those of b, [n_b]. */
int64_t text_common(const int32_t *a, int64_t n_a, const int32_t *b, int64_t n_b);

/* For qsort: by prompt, then by response, then by index. The responses to a prompt lie together. */
int text_compare(const void *a, const void *b);

/* Whether prompts and responses are the same. */
bool text_is_same(const token_text *a, const token_text *b);

/*
 * How many of the first tokens of two neighbours are laid out once: all if they are the same, a whole prompt, however
 * short, and beginnings of prompts and of responses to one prompt that are worth it.
 */
int64_t text_shared(const token_text *a, const token_text *b);

/* Tokens that are fed. */
static inline int64_t text_length(const token_text *text)
{
    return text->n_prompt + text->n_response - 1;
}

static inline int32_t text_token(const token_text *text, int64_t i)
{
    return i < text->n_prompt ? text->prompt[i] : text->response[i - text->n_prompt];
}

#endif
