// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_BYTE_LEVEL_H
#define TOKENIZER_BYTE_LEVEL_H

#include <stdint.h>

/* The printable alphabet of GPT-2: bytes that are visible in Latin-1 are themselves, the others are
   the characters from U+0100 on, in order. */

/* The character of a byte. */
int32_t tokenizer_char_of_byte(unsigned char byte);

/* Writes the character of a byte in UTF-8; its length, 1 or 2. */
int tokenizer_put_byte(unsigned char byte, char to[2]);

/* Length of the word that a text [n_bytes > 0] begins with, as GPT-2 cuts a text into words (Radford
   et al. 2019): what this expression matches there,
   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
int64_t tokenizer_byte_level_word(const char *text, int64_t n_bytes);

/* The byte of a character; -1 if it is none of the alphabet. */
int tokenizer_byte_of_char(int32_t c);

#endif
