// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_BYTE_LEVEL_H
#define TOKENIZER_BYTE_LEVEL_H

#include <stdint.h>

/* The printable alphabet of GPT-2: bytes that are visible in Latin-1 are themselves, the others are
   the characters from U+0100 on, in order. */

/* The character of a byte. */
int32_t tokenizer_char_of_byte(unsigned char byte);

/* The byte of a character; -1 if it is none of the alphabet. */
int tokenizer_byte_of_char(int32_t c);

#endif
