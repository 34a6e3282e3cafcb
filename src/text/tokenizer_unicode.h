// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_UNICODE_H
#define TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/buffer.h"

/* Characters and their classes, as the regular expressions and the standard library of Rust see
   them. Texts are valid UTF-8. */

/* The character at the beginning of text [n_bytes > 0] and its length. */
int32_t tokenizer_char_at(const char *text, int64_t n_bytes, int64_t *length);

/* The character that ends at text[n_bytes - 1] and its length; n_bytes > 0. */
int32_t tokenizer_char_before(const char *text, int64_t n_bytes, int64_t *length);

/* \p{L}, \p{N}, White_Space, and what is none of them. */
typedef enum {
    TOKENIZER_LETTER,
    TOKENIZER_NUMBER,
    TOKENIZER_SPACE,
    TOKENIZER_OTHER
} tokenizer_class;

tokenizer_class tokenizer_class_of(int32_t c);

/* White_Space. */
bool tokenizer_is_space(int32_t c);

/* Nd, Nl or No. */
bool tokenizer_is_numeric(int32_t c);

/* \w of UTS 18: Alphabetic, marks, Nd, Pc, Join_Control. */
bool tokenizer_is_word(int32_t c);

/* Appends a character in UTF-8. */
DPO_MUST_CHECK dpo_status tokenizer_append_char(dpo_buffer *out, int32_t c);

/* Takes back what was appended behind size_bytes. */
void tokenizer_shrink(dpo_buffer *buffer, int64_t size_bytes);

/* Appends bytes as text: each longest beginning of a character that does not continue as one
   becomes U+FFFD. */
DPO_MUST_CHECK dpo_status tokenizer_append_lossy(dpo_buffer *out, const char *bytes,
                                                 int64_t n_bytes);

#endif
