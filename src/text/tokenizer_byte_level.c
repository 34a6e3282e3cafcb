// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_byte_level.h"

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
