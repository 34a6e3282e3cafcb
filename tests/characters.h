// SPDX-License-Identifier: Apache-2.0
#ifndef CHARACTERS_H
#define CHARACTERS_H

#include "dpo/base/buffer.h"
#include "unit_test.h"

/* All bytes in the alphabet of byte-level models, each with its own number as id. */
static inline void append_byte_vocab(dpo_buffer *text)
{
    int n_hidden = 0;

    for (int byte = 0; byte < 256; byte++) {
        bool shown = (byte >= 33 && byte < 127) || (byte >= 161 && byte != 173);
        int c = shown ? byte : 256 + n_hidden++;

        ASSERT_OK(
            dpo_buffer_printf(text, "%s\"\\u%04x\":%d", byte > 0 ? "," : "", (unsigned)c, byte));
    }
}

static inline void append_character(int c, dpo_buffer *text)
{
    unsigned char u[4] = {(unsigned char)c};
    int64_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (int64_t i = n - 1; i > 0; i--)
        u[i] = (unsigned char)(0x80 | ((c >> (6 * (n - 1 - i))) & 0x3F));
    if (n > 1) u[0] = (unsigned char)((0xF00 >> n) | (c >> (6 * (n - 1))));
    ASSERT_OK(dpo_buffer_append(text, u, n));
}

/* Every character below U+3000, zero too, and every 251st above. */
static inline void append_characters(dpo_buffer *text)
{
    for (int c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 251)
        if (c < 0xD800 || c >= 0xE000) append_character(c, text);
}

#endif
