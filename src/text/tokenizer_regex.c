// SPDX-License-Identifier: Apache-2.0
#include "tokenizer_regex.h"

#include <stdbool.h>
#include <string.h>

/* An escape outside and inside of [...]; NULL: not allowed there. */
typedef struct {
    char letter;
    const char *outside;
    const char *inside;
} escape;

/* Outside of [...] Oniguruma's \w has six superscripts and fractions of Latin-1 besides. */
#define WORD  "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define LATIN "\\xB2\\xB3\\xB9\\xBC-\\xBE"

static const escape escapes[] = {
    {'s', "\\p{White_Space}", "\\p{White_Space}"},
    {'S', "\\P{White_Space}", "\\P{White_Space}"},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'w', "[" WORD LATIN "]", WORD},
    {'W', "[^" WORD LATIN "]", NULL},
    {'p', "\\p", "\\p"},
    {'P', "\\P", "\\P"},
    {'n', "\\n", "\\n"},
    {'r', "\\r", "\\r"},
    {'t', "\\t", "\\t"},
    {'f', "\\f", "\\f"},
    {'x', "\\x", "\\x"},
};

static dpo_status refuse(const char *where, const char *expression, const char *what, int n)
{
    return DPO_FAIL(DPO_EDATA, "%s: the pattern \"%s\" has \"%.*s\", which is not supported here",
                    where, expression, n, what);
}

static bool is_letter_or_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Bytes of the escape at c: "\\s", "\\p{...}". */
static int64_t escape_length(const char *c)
{
    const char *end = c[2] == '{' && strchr("pPx", c[1]) != NULL ? strchr(c, '}') : NULL;

    return end != NULL ? end + 1 - c : 2;
}

/* Appends the name of a property, "{L}", "{^Han}". What is longer than a general category is a
   script; PCRE2 would take characters that are used with the script as well. */
static dpo_status translate_name(const char *c, int64_t n, dpo_buffer *out)
{
    int64_t n_front = n > 1 && c[1] == '^' ? 2 : 1;

    if (n <= n_front + 3) return dpo_buffer_append(out, c, n);
    DPO_TRY(dpo_buffer_append(out, c, n_front));
    DPO_TRY(dpo_buffer_append_text(out, "sc:"));
    return dpo_buffer_append(out, c + n_front, n - n_front);
}

/* Appends the escape at c [n]. */
static dpo_status translate_escape(const char *where, const char *expression, const char *c,
                                   int64_t n, bool inside, dpo_buffer *out)
{
    if (!is_letter_or_digit(c[1])) return dpo_buffer_append(out, c, n);
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        const char *text = inside ? escapes[i].inside : escapes[i].outside;

        if (escapes[i].letter != c[1] || text == NULL) continue;
        DPO_TRY(dpo_buffer_append_text(out, text));
        return c[1] == 'p' || c[1] == 'P' ? translate_name(c + 2, n - 2, out)
                                          : dpo_buffer_append(out, c + 2, n - 2);
    }
    return refuse(where, expression, c, 2);
}

/* What would mean something else: nested and intersected classes, PCRE2's verbs, {n,m}+ (possessive
   in PCRE2 only), and groups other than (?:, (?i:, (?=, (?!, (?<=, (?<!, (?>. */
static const char *find_difference(const char *c, bool inside)
{
    static const char *const groups[] = {":", "i:", "=", "!", "<=", "<!", ">"};

    if (inside) return c[0] == '[' ? "[" : strncmp(c, "&&", 2) == 0 ? "&&" : NULL;
    if (strncmp(c, "}+", 2) == 0) return "}+";
    if (strncmp(c, "(*", 2) == 0) return "(*";
    if (strncmp(c, "(?", 2) != 0) return NULL;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (strncmp(c + 2, groups[i], strlen(groups[i])) == 0) return NULL;
    return "(?";
}

dpo_status tokenizer_regex_translate(const char *where, const char *expression, dpo_buffer *out)
{
    bool inside = false;
    const char *class_begin = NULL; /* its first member; a "]" there is an ordinary character */

    for (const char *c = expression; *c != '\0'; c++) {
        const char *difference = find_difference(c, inside);

        if (difference != NULL) return refuse(where, expression, difference, 2);
        if (*c == '\\' && c[1] == '\0') return refuse(where, expression, c, 1);
        if (*c == '\\') {
            int64_t n = escape_length(c);

            DPO_TRY(translate_escape(where, expression, c, n, inside, out));
            c += n - 1;
            continue;
        }
        if (!inside && *c == '[') {
            inside = true;
            class_begin = c + 1 + (c[1] == '^');
        } else if (inside && *c == ']' && c != class_begin) {
            inside = false;
        }
        DPO_TRY(dpo_buffer_append(out, c, 1));
    }
    return DPO_OK;
}
