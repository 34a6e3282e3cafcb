// SPDX-License-Identifier: Apache-2.0
#include "jinja_lexer.h"

#include <stdlib.h>
#include <string.h>

/*
 * Two modes: outside tags, where the next tag is searched and the text before it stripped; inside, where tokens
 * are read until the tag's end. White space follows Jinja with trim_blocks and lstrip_blocks:
 *     {%- {{- {#-   strip all white space before the tag
 *     {% {#         strip blanks before the tag if nothing else is before it on its line; {%+ {#+ do not
 *     -%} -}} -#}   strip all white space behind the tag
 *     %} #}         strip one line feed behind the tag; +%} +#} do not
 */
typedef struct {
    const jinja_source *source;
    jinja_pool *pool;
    dpo_buffer *tokens;
    int64_t at;
    int64_t n;        /* length of the text that counts */
    bool line_starts; /* the last tag, with what was stripped behind it, ended with a line feed */
} lexer;

static bool is_blank(char c)
{
    return c != '\0' && strchr(" \t\n\r\v\f", c) != NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_begin(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* The character i behind the current place; zero at the end. */
static char peek(const lexer *lex, int64_t i)
{
    return (char)(lex->at + i < lex->n ? lex->source->text.data[lex->at + i] : '\0');
}

static bool looks_at(const lexer *lex, int64_t i, const char *what)
{
    int64_t n = (int64_t)strlen(what);

    return lex->at + i + n <= lex->n &&
           memcmp(lex->source->text.data + lex->at + i, what, (size_t)n) == 0;
}

static dpo_status add(lexer *lex, jinja_token_kind kind, int64_t at, jinja_text text)
{
    jinja_token token = {kind, at, text};

    return dpo_buffer_append(lex->tokens, &token, sizeof token);
}

static jinja_text slice(const lexer *lex, int64_t begin, int64_t end)
{
    return (jinja_text){lex->source->text.data + begin, end - begin};
}

/* Offset of the next tag, or the end. */
static int64_t find_tag(const lexer *lex)
{
    for (int64_t i = lex->at; i + 1 < lex->n; i++)
        if (lex->source->text.data[i] == '{' &&
            strchr("{%#", lex->source->text.data[i + 1]) != NULL)
            return i;
    return lex->n;
}

/* Where the text [lex->at, tag) ends after stripping. */
static int64_t strip_before(const lexer *lex, int64_t tag, char kind, char sign)
{
    const char *text = lex->source->text.data;
    int64_t end = tag;

    if (sign == '-') {
        while (end > lex->at && is_blank(text[end - 1]))
            end--;
        return end;
    }
    if (sign == '+' || kind == '{') return tag;
    while (end > lex->at && is_blank(text[end - 1]) && text[end - 1] != '\n')
        end--;
    bool at_line_start = end > lex->at ? text[end - 1] == '\n' : lex->line_starts;

    return at_line_start ? end : tag;
}

/* Behind the end of a tag, whose last byte is just before lex->at. */
static void strip_behind(lexer *lex, char kind, char sign)
{
    if (sign == '-')
        while (lex->at < lex->n && is_blank(peek(lex, 0)))
            lex->at++;
    else if (sign != '+' && kind != '{' && peek(lex, 0) == '\n')
        lex->at++;
    lex->line_starts = lex->source->text.data[lex->at - 1] == '\n';
}

static dpo_status skip_comment(lexer *lex, int64_t tag)
{
    while (lex->at < lex->n && !looks_at(lex, 0, "#}"))
        lex->at++;
    if (lex->at >= lex->n)
        return JINJA_FAIL(lex->source, tag, "a comment \"{#\" without its end \"#}\"");
    char sign = lex->source->text.data[lex->at - 1];

    lex->at += 2;
    strip_behind(lex, '#', sign);
    return DPO_OK;
}

static dpo_status append_code_point(lexer *lex, int64_t at, uint32_t code, char *out, int64_t *n)
{
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return JINJA_FAIL(lex->source, at, "an escape that is no character");
    if (code < 0x80) {
        out[(*n)++] = (char)code;
        return DPO_OK;
    }
    int n_more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;

    out[(*n)++] = (char)((0xff00u >> (n_more + 1) & 0xffu) | code >> (6 * n_more));
    for (int i = n_more - 1; i >= 0; i--)
        out[(*n)++] = (char)(0x80u | (code >> (6 * i) & 0x3fu));
    return DPO_OK;
}

/* \xHH, \uHHHH, \UHHHHHHHH at lex->at, which is at the backslash. */
static dpo_status read_hex_escape(lexer *lex, int n_digits, char *out, int64_t *n)
{
    char digits[9] = {0};
    char *end;

    for (int i = 0; i < n_digits; i++)
        digits[i] = peek(lex, 2 + i);
    unsigned long code = strtoul(digits, &end, 16);

    if (end != digits + n_digits || strchr("+- ", digits[0]) != NULL)
        return JINJA_FAIL(lex->source, lex->at, "an escape without its %d hexadecimal digits",
                          n_digits);
    DPO_TRY(append_code_point(lex, lex->at, (uint32_t)code, out, n));
    lex->at += 2 + n_digits;
    return DPO_OK;
}

static dpo_status read_escape(lexer *lex, char *out, int64_t *n)
{
    static const char names[] = "\\'\"abfnrtv";
    static const char values[] = "\\'\"\a\b\f\n\r\t\v";
    char c = peek(lex, 1);
    const char *name = c != '\0' ? strchr(names, c) : NULL;

    if (c == 'x' || c == 'u' || c == 'U')
        return read_hex_escape(lex, c == 'x' ? 2 : c == 'u' ? 4 : 8, out, n);
    if (is_digit(c)) return JINJA_FAIL(lex->source, lex->at, "octal escapes are not supported");
    if (name != NULL) {
        out[(*n)++] = values[name - names];
        lex->at += 2;
    } else if (c == '\n') {
        lex->at += 2;
    } else {
        out[(*n)++] = '\\';
        lex->at++;
    }
    return DPO_OK;
}

/* Offset of the closing quote, counted from the opening one; zero if there is none. */
static int64_t find_closing_quote(const lexer *lex)
{
    for (int64_t i = 1; lex->at + i < lex->n; i++) {
        if (peek(lex, i) == peek(lex, 0)) return i;
        i += peek(lex, i) == '\\';
    }
    return 0;
}

static dpo_status read_string(lexer *lex)
{
    int64_t begin = lex->at;
    int64_t end = lex->at + find_closing_quote(lex);
    int64_t n = 0;
    void *memory;
    char *out;

    if (end == begin) return JINJA_FAIL(lex->source, begin, "a text without its closing quote");
    DPO_TRY(jinja_pool_take(lex->pool, end - begin, 1, &memory));
    out = memory;
    lex->at++;
    while (lex->at < end) {
        if (peek(lex, 0) == '\\') {
            DPO_TRY(read_escape(lex, out, &n));
        } else {
            out[n++] = peek(lex, 0);
            lex->at++;
        }
    }
    lex->at = end + 1;
    return add(lex, JINJA_STRING, begin, (jinja_text){out, n});
}

/* "e5", "E-5" */
static bool skip_exponent(lexer *lex)
{
    char sign = peek(lex, 1);
    int64_t n = sign == '+' || sign == '-' ? 2 : 1;

    if ((peek(lex, 0) != 'e' && peek(lex, 0) != 'E') || !is_digit(peek(lex, n))) return false;
    lex->at += n;
    while (is_digit(peek(lex, 0)))
        lex->at++;
    return true;
}

static dpo_status read_number(lexer *lex)
{
    int64_t begin = lex->at;
    bool is_float = false;

    while (is_digit(peek(lex, 0)))
        lex->at++;
    if (peek(lex, 0) == '.' && is_digit(peek(lex, 1))) {
        is_float = true;
        lex->at++;
        while (is_digit(peek(lex, 0)))
            lex->at++;
    }
    if (skip_exponent(lex)) is_float = true;
    if (is_name_begin(peek(lex, 0)))
        return JINJA_FAIL(lex->source, begin, "a number of a form that is not supported");
    return add(lex, is_float ? JINJA_FLOAT : JINJA_INTEGER, begin, slice(lex, begin, lex->at));
}

static dpo_status read_name(lexer *lex)
{
    int64_t begin = lex->at;

    while (is_name_begin(peek(lex, 0)) || is_digit(peek(lex, 0)))
        lex->at++;
    return add(lex, JINJA_NAME, begin, slice(lex, begin, lex->at));
}

static dpo_status read_operator(lexer *lex, int *depth)
{
    static const char *const operators[] = {"**", "//", "==", "!=", "<=", ">=", "+", "-", "*",
                                            "/",  "%",  "~",  "<",  ">",  "=",  ".", ":", "|",
                                            ",",  "(",  ")",  "[",  "]",  "{",  "}"};

    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        int64_t n = (int64_t)strlen(operators[i]);

        if (!looks_at(lex, 0, operators[i])) continue;
        *depth += strchr("([{", operators[i][0]) != NULL;
        *depth -= strchr(")]}", operators[i][0]) != NULL;
        lex->at += n;
        return add(lex, JINJA_OPERATOR, lex->at - n, slice(lex, lex->at - n, lex->at));
    }
    return JINJA_FAIL(lex->source, lex->at, "the character \"%c\" has no meaning here",
                      peek(lex, 0));
}

/* Whether the tag ends here; sets the sign before its end: '-', '+' or 0. */
static bool tag_ends(const lexer *lex, char kind, char *sign)
{
    const char *end = kind == '{' ? "}}" : "%}";
    char c = peek(lex, 0);
    bool is_signed = (c == '-' || (c == '+' && kind == '%')) && looks_at(lex, 1, end);

    *sign = '\0';
    if (is_signed) *sign = c;
    return is_signed || looks_at(lex, 0, end);
}

static dpo_status read_token(lexer *lex, int *depth)
{
    char c = peek(lex, 0);

    if (is_name_begin(c)) return read_name(lex);
    if (is_digit(c)) return read_number(lex);
    return c == '"' || c == '\'' ? read_string(lex) : read_operator(lex, depth);
}

/* From behind the tag's beginning to behind its end. Braces inside may look like an end: they count. */
static dpo_status read_tag(lexer *lex, int64_t tag, char kind)
{
    int depth = 0;
    char sign;

    DPO_TRY(add(lex, kind == '{' ? JINJA_OUTPUT_BEGIN : JINJA_BLOCK_BEGIN, tag,
                slice(lex, tag, tag + 2)));
    for (;;) {
        while (is_blank(peek(lex, 0)))
            lex->at++;
        if (lex->at >= lex->n)
            return JINJA_FAIL(lex->source, tag, "a tag \"{%c\" without its end", kind);
        if (depth <= 0 && tag_ends(lex, kind, &sign)) break;
        DPO_TRY(read_token(lex, &depth));
    }
    DPO_TRY(add(lex, kind == '{' ? JINJA_OUTPUT_END : JINJA_BLOCK_END, lex->at,
                slice(lex, lex->at, lex->at + 2)));
    lex->at += sign != '\0' ? 3 : 2;
    strip_behind(lex, kind, sign);
    return DPO_OK;
}

/* The text from here to an end, if there is any. */
static dpo_status add_text(lexer *lex, int64_t end)
{
    return end > lex->at ? add(lex, JINJA_TEXT_PIECE, lex->at, slice(lex, lex->at, end)) : DPO_OK;
}

dpo_status jinja_lex(const jinja_source *source, jinja_pool *pool, dpo_buffer *tokens)
{
    lexer lex = {source, pool, tokens, 0, source->text.n, true};

    if (lex.n > 0 && source->text.data[lex.n - 1] == '\n') lex.n--;
    while (lex.at < lex.n) {
        int64_t tag = find_tag(&lex);
        char kind = peek(&lex, tag + 1 - lex.at);
        char sign = peek(&lex, tag + 2 - lex.at);

        DPO_TRY(add_text(&lex, tag < lex.n ? strip_before(&lex, tag, kind, sign) : tag));
        lex.at = tag;
        if (tag >= lex.n) break;
        lex.at += sign == '-' || sign == '+' ? 3 : 2;
        DPO_TRY(kind == '#' ? skip_comment(&lex, tag) : read_tag(&lex, tag, kind));
    }
    return add(&lex, JINJA_END, lex.n, slice(&lex, lex.n, lex.n));
}
