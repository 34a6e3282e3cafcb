// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_byte_level.h"

#include <string.h>

#include "tokenizer_unicode.h"

/* The invisible bytes are [0x00, 0x20], [0x7F, 0xA0] and 0xAD. */
enum { N_LOW = 0x21, FIRST_MIDDLE = 0x7F, N_MIDDLE = 0x22, LAST = 0xAD, N_INVISIBLE = 68 };

int32_t tokenizer_char_of_byte(unsigned char byte)
{
    if (byte < N_LOW) return 0x100 + byte;
    if (byte >= FIRST_MIDDLE && byte < FIRST_MIDDLE + N_MIDDLE)
        return 0x100 + N_LOW + byte - FIRST_MIDDLE;
    return byte == LAST ? 0x100 + N_INVISIBLE - 1 : byte;
}

int tokenizer_byte_of_char(int32_t c)
{
    int32_t i = c - 0x100;

    if (i >= N_INVISIBLE || c < 0) return -1;
    if (i == N_INVISIBLE - 1) return LAST;
    if (i >= N_LOW) return i - N_LOW + FIRST_MIDDLE;
    if (i >= 0) return i;
    return tokenizer_char_of_byte((unsigned char)c) == c ? c : -1;
}

int tokenizer_put_byte(unsigned char byte, char to[2])
{
    int32_t c = tokenizer_char_of_byte(byte);

    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    to[0] = (char)(0xC0 | c >> 6);
    to[1] = (char)(0x80 | (c & 0x3F));
    return 2;
}

static tokenizer_class class_of_ascii(char c)
{
    char lower = (char)(c | 0x20);

    if (lower >= 'a' && lower <= 'z') return TOKENIZER_LETTER;
    if (c == ' ' || (c >= '\t' && c <= '\r')) return TOKENIZER_SPACE;
    return c >= '0' && c <= '9' ? TOKENIZER_NUMBER : TOKENIZER_OTHER;
}

static tokenizer_class class_at(const char *text, int64_t n_bytes, int64_t *length)
{
    *length = 1;
    if ((unsigned char)*text < 0x80) return class_of_ascii(*text);
    return tokenizer_class_of(tokenizer_char_at(text, n_bytes, length));
}

/* End of the characters of one class from `at` on; last: where the last of them begins. */
static int64_t end_of_run(const char *text, int64_t n_bytes, int64_t at, tokenizer_class class,
                          int64_t *last)
{
    int64_t length;

    for (*last = at; at < n_bytes; at += length) {
        if (class_at(text + at, n_bytes - at, &length) != class) break;
        *last = at;
    }
    return at;
}

/* Length of the contraction at the beginning, 0 if there is none. */
static int64_t contraction(const char *text, int64_t n_bytes)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);

        if ((int64_t)n < n_bytes && memcmp(text + 1, endings[i], n) == 0) return (int64_t)n + 1;
    }
    return 0;
}

int64_t tokenizer_byte_level_word(const char *text, int64_t n_bytes)
{
    int64_t length;
    int64_t last;
    tokenizer_class class = class_at(text, n_bytes, &length);

    if (text[0] == '\'') {
        int64_t n = contraction(text, n_bytes);

        if (n > 0) return n;
    }
    if (class != TOKENIZER_SPACE) return end_of_run(text, n_bytes, 0, class, &last);
    if (text[0] == ' ' && n_bytes > 1) {
        class = class_at(text + 1, n_bytes - 1, &length);
        if (class != TOKENIZER_SPACE) return end_of_run(text, n_bytes, 1, class, &last);
    }
    /* the last space before a word belongs to the word, or stands alone */
    int64_t end = end_of_run(text, n_bytes, 0, TOKENIZER_SPACE, &last);

    return end == n_bytes || last == 0 ? end : last;
}
