// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_unicode.h"

#include <utf8proc.h>

#include "dpo/base/utf8.h"

int32_t tokenizer_char_at(const char *text, int64_t n_bytes, int64_t *length)
{
    utf8proc_int32_t c;

    *length = utf8proc_iterate((const utf8proc_uint8_t *)text, n_bytes, &c);
    DPO_ASSERT(*length > 0);
    return c;
}

int32_t tokenizer_char_before(const char *text, int64_t n_bytes, int64_t *length)
{
    int64_t begin = n_bytes - 1;

    while (begin > 0 && ((unsigned char)text[begin] & 0xC0) == 0x80)
        begin--;
    return tokenizer_char_at(text + begin, n_bytes - begin, length);
}

bool tokenizer_is_space(int32_t c)
{
    return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool tokenizer_is_numeric(int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);

    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
           category == UTF8PROC_CATEGORY_NO;
}

tokenizer_class tokenizer_class_of(int32_t c)
{
    if (tokenizer_is_space(c)) return TOKENIZER_SPACE;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return TOKENIZER_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return TOKENIZER_NUMBER;
    default:
        return TOKENIZER_OTHER;
    }
}

/* Symbols that are Alphabetic: circled, squared and negative letters. */
static bool is_enclosed_letter(int32_t c)
{
    return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

bool tokenizer_is_word(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return c == 0x200C || c == 0x200D || is_enclosed_letter(c);
    }
}

dpo_status tokenizer_append_char(dpo_buffer *out, int32_t c)
{
    utf8proc_uint8_t bytes[4];

    return dpo_buffer_append(out, bytes, utf8proc_encode_char(c, bytes));
}

void tokenizer_shrink(dpo_buffer *buffer, int64_t size_bytes)
{
    if (buffer->data == NULL) return;
    buffer->size_bytes = size_bytes;
    ((char *)buffer->data)[size_bytes] = '\0';
}

/* Whether a byte may follow a lead byte as the second of a character (Unicode 15, table 3-7). */
static bool is_second(unsigned char lead, unsigned char byte)
{
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;

    return byte >= low && byte <= high;
}

/* Bytes of the bad sequence at the beginning that one U+FFFD stands for. */
static int64_t bad_length(const unsigned char *bytes, int64_t n_bytes)
{
    unsigned char lead = bytes[0];
    int64_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    int64_t n = 1;

    if (lead < 0xC2 || lead > 0xF4 || n_bytes < 2 || !is_second(lead, bytes[1])) return 1;
    for (n = 2; n < length && n < n_bytes; n++)
        if ((bytes[n] & 0xC0) != 0x80) break;
    return n;
}

dpo_status tokenizer_append_lossy(dpo_buffer *out, const char *bytes, int64_t n_bytes)
{
    int64_t at = 0;

    for (;;) {
        int64_t n_valid = dpo_utf8_valid_length(bytes + at, n_bytes - at);

        DPO_TRY(dpo_buffer_append(out, bytes + at, n_valid));
        at += n_valid;
        if (at == n_bytes) return DPO_OK;
        DPO_TRY(tokenizer_append_char(out, 0xFFFD));
        at += bad_length((const unsigned char *)bytes + at, n_bytes - at);
    }
}
