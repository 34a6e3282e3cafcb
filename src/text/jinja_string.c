// SPDX-License-Identifier: Apache-2.0
#include "jinja_string.h"

#include <string.h>
#include <utf8proc.h>

int64_t jinja_character_length(jinja_text text, int64_t at)
{
    int64_t n = 1;

    while (at + n < text.n && ((unsigned char)text.data[at + n] & 0xc0u) == 0x80u)
        n++;
    return n;
}

int64_t jinja_string_length(jinja_text text)
{
    int64_t n = 0;

    for (int64_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.data[i] & 0xc0u) != 0x80u;
    return n;
}

int64_t jinja_string_offset(jinja_text text, int64_t index)
{
    int64_t at = 0;

    for (; index > 0 && at < text.n; index--)
        at += jinja_character_length(text, at);
    return at;
}

int64_t jinja_string_find(jinja_text text, jinja_text part, int64_t begin)
{
    if (part.n == 0) return begin <= text.n ? begin : -1;
    for (int64_t i = begin; i + part.n <= text.n; i++) {
        const char *first = memchr(text.data + i, part.data[0], (size_t)(text.n - part.n - i + 1));

        if (first == NULL) return -1;
        i = first - text.data;
        if (memcmp(first, part.data, (size_t)part.n) == 0) return i;
    }
    return -1;
}

bool jinja_string_starts(jinja_text text, jinja_text part)
{
    return text.n >= part.n && jinja_text_equal((jinja_text){text.data, part.n}, part);
}

bool jinja_string_ends(jinja_text text, jinja_text part)
{
    return text.n >= part.n &&
           jinja_text_equal((jinja_text){text.data + text.n - part.n, part.n}, part);
}

/* What Python's str.isspace() holds for. */
static bool is_white_code(utf8proc_int32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_white(jinja_text character)
{
    utf8proc_int32_t c;

    return utf8proc_iterate((const utf8proc_uint8_t *)character.data, character.n, &c) > 0 &&
           is_white_code(c);
}

static bool is_in_set(jinja_text character, jinja_text set)
{
    return set.data == NULL ? is_white(character) : jinja_string_find(set, character, 0) >= 0;
}

jinja_text jinja_string_strip(jinja_text text, jinja_text set, bool left, bool right)
{
    while (left && text.n > 0) {
        jinja_text first = {text.data, jinja_character_length(text, 0)};

        if (!is_in_set(first, set)) break;
        text.data += first.n;
        text.n -= first.n;
    }
    while (right && text.n > 0) {
        int64_t at = text.n - 1;

        while (at > 0 && ((unsigned char)text.data[at] & 0xc0u) == 0x80u)
            at--;
        if (!is_in_set((jinja_text){text.data + at, text.n - at}, set)) break;
        text.n = at;
    }
    return text;
}

dpo_status jinja_string_join(jinja_pool *pool, jinja_text a, jinja_text b, jinja_text *joined)
{
    void *memory;

    DPO_TRY(jinja_pool_take(pool, a.n + b.n, 1, &memory));
    if (a.n > 0) memcpy(memory, a.data, (size_t)a.n);
    if (b.n > 0) memcpy((char *)memory + a.n, b.data, (size_t)b.n);
    *joined = (jinja_text){memory, a.n + b.n};
    return DPO_OK;
}

/* Where the next replacement happens; an empty `from` is found before every character and at the end. */
static int64_t next_match(jinja_text text, jinja_text from, int64_t at, bool is_first)
{
    if (from.n > 0) return jinja_string_find(text, from, at);
    if (is_first) return 0;
    return at < text.n ? at + jinja_character_length(text, at) : -1;
}

/* Counts the bytes of the result if out == NULL, else writes them. */
static int64_t replace_into(jinja_text text, jinja_text from, jinja_text to, int64_t limit,
                            char *out)
{
    int64_t n = 0;
    int64_t at = 0;

    for (int64_t i = 0; limit < 0 || i < limit; i++) {
        int64_t match = next_match(text, from, at, i == 0);

        if (match < 0) break;
        if (out != NULL) {
            memcpy(out + n, text.data + at, (size_t)(match - at));
            memcpy(out + n + (match - at), to.data, (size_t)to.n);
        }
        n += match - at + to.n;
        at = match + from.n;
    }
    if (out != NULL) memcpy(out + n, text.data + at, (size_t)(text.n - at));
    return n + text.n - at;
}

dpo_status jinja_string_replace(jinja_pool *pool, jinja_text text, jinja_text from, jinja_text to,
                                int64_t limit, jinja_text *replaced)
{
    int64_t n = replace_into(text, from, to, limit, NULL);
    void *memory;

    DPO_TRY(jinja_pool_take(pool, n, 1, &memory));
    (void)replace_into(text, from, to, limit, memory);
    *replaced = (jinja_text){memory, n};
    return DPO_OK;
}

static utf8proc_int32_t change_case(utf8proc_int32_t c, jinja_case what, bool begins)
{
    if (what == JINJA_UPPER || (what != JINJA_LOWER && begins))
        return what == JINJA_UPPER ? utf8proc_toupper(c) : utf8proc_totitle(c);
    return utf8proc_tolower(c);
}

static bool is_letter(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);

    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT;
}

/* Whether a word begins behind this character. */
static bool ends_word(utf8proc_int32_t c, jinja_case what)
{
    if (what == JINJA_TITLE) return !is_letter(c);
    return what == JINJA_TITLE_WORDS &&
           (is_white_code(c) || (c < 128 && strchr("-({[<", c) != NULL));
}

dpo_status jinja_string_case(jinja_pool *pool, jinja_text text, jinja_case what,
                             jinja_text *changed)
{
    bool begins = true;
    int64_t n = 0;
    void *memory;

    /* A simple mapping makes a character at most one byte longer, and only one of two bytes. */
    DPO_TRY(jinja_pool_take(pool, 2 * text.n + 4, 1, &memory));
    for (int64_t i = 0; i < text.n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n_bytes =
            utf8proc_iterate((const utf8proc_uint8_t *)text.data + i, text.n - i, &c);

        if (n_bytes <= 0) return DPO_FAIL(DPO_EDATA, "chat template: a text that is not UTF-8");
        n += utf8proc_encode_char(change_case(c, what, begins), (utf8proc_uint8_t *)memory + n);
        begins = ends_word(c, what);
        i += n_bytes;
    }
    *changed = (jinja_text){memory, n};
    return DPO_OK;
}
