// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/utf8.h"

/* cJSON does not say why it gave up. */
static _Thread_local bool no_memory;

static void *cjson_get(size_t bytes)
{
    void *block = dpo_memory_get((int64_t)bytes, 1);

    if (block == NULL) no_memory = true;
    return block;
}

/* cJSON's own memory is counted with ours. Its hooks are process-wide and setting them again is harmless. */
static void use_counted_memory(void)
{
    cJSON_Hooks hooks = {cjson_get, dpo_free};

    cJSON_InitHooks(&hooks);
}

static void place_of(const char *text, int64_t at, int64_t *line, int64_t *column)
{
    *line = 1;
    *column = 1;
    for (int64_t i = 0; i < at; i++) {
        *column = text[i] == '\n' ? 1 : *column + 1;
        *line += text[i] == '\n';
    }
}

static dpo_status syntax_error(const char *source, const char *text, int64_t at, const char *what)
{
    int64_t line;
    int64_t column;

    place_of(text, at, &line, &column);
    if (line == 1)
        return DPO_FAIL(DPO_EDATA, "%s, column %lld: %s", source, (long long)column, what);
    return DPO_FAIL(DPO_EDATA, "%s, line %lld, column %lld: %s", source, (long long)line,
                    (long long)column, what);
}

/* Length of the string token at text[at] == '"', quotes included. */
static int64_t string_length(const char *text, int64_t n_bytes, int64_t at)
{
    int64_t i = at + 1;

    while (i < n_bytes && text[i] != '"')
        i += (text[i] == '\\') ? 2 : 1;
    return (i < n_bytes ? i + 1 : n_bytes) - at;
}

/* cJSON would cut a text at an escaped NUL. */
static bool string_has_nul(const char *string, int64_t n)
{
    for (int64_t i = 0; i + 5 < n; i++) {
        if (string[i] != '\\') continue;
        if (memcmp(string + i, "\\u0000", 6) == 0) return true;
        i++;
    }
    return false;
}

/* Length of the comment at text[at], 0 if there is none. */
static int64_t comment_length(const char *text, int64_t n_bytes, int64_t at)
{
    int64_t i = at + 2;

    if (at + 1 >= n_bytes || text[at] != '/') return 0;
    if (text[at + 1] == '/') {
        while (i < n_bytes && text[i] != '\n')
            i++;
        return i - at;
    }
    if (text[at + 1] != '*') return 0;
    while (i + 1 < n_bytes && !(text[i] == '*' && text[i + 1] == '/'))
        i++;
    return (i + 1 < n_bytes ? i + 2 : n_bytes) - at;
}

/* Blanks comments in place (so that positions stay true) and refuses what cJSON would let pass. */
static dpo_status clean(const char *source, char *text, int64_t n_bytes, dpo_json_syntax syntax)
{
    int64_t valid = dpo_utf8_valid_length(text, n_bytes);

    if (valid < n_bytes)
        return syntax_error(source, text, valid, "a byte that is not UTF-8; convert the file");
    for (int64_t i = 0; i < n_bytes;) {
        int64_t n = 1;

        if (text[i] == '"') {
            n = string_length(text, n_bytes, i);
            if (string_has_nul(text + i, n))
                return syntax_error(source, text, i,
                                    "a text with the NUL character (\\u0000); remove it");
        } else if (text[i] == '\0') {
            return syntax_error(source, text, i, "a zero byte");
        } else if (syntax == DPO_JSON_COMMENTS) {
            int64_t n_comment = comment_length(text, n_bytes, i);

            for (int64_t j = i; j < i + n_comment; j++)
                if (text[j] != '\n') text[j] = ' ';
            n = n_comment > 0 ? n_comment : 1;
        }
        i += n;
    }
    return DPO_OK;
}

static dpo_status parse_clean(const char *source, const char *text, int64_t n_bytes,
                              dpo_json **root)
{
    const char *end = text;

    no_memory = false;
    *root = cJSON_ParseWithLengthOpts(text, (size_t)n_bytes + 1, &end, 0);
    if (*root == NULL && no_memory) return dpo_memory_failed(n_bytes, 1, __FILE__, __LINE__);
    if (*root == NULL) {
        int64_t at = end - text < n_bytes ? end - text : n_bytes;

        if (n_bytes == 0) return DPO_FAIL(DPO_EDATA, "%s: empty, expected JSON", source);
        return syntax_error(source, text, at,
                            at >= n_bytes ? "the text ends too early" : "not valid JSON");
    }
    while (end < text + n_bytes && strchr(" \t\r\n", *end) != NULL)
        end++;
    if (end == text + n_bytes) return DPO_OK;
    dpo_json_destroy(root);
    return syntax_error(source, text, end - text, "more text behind the JSON value");
}

dpo_status dpo_json_parse(const char *source, const char *text, int64_t n_bytes,
                          dpo_json_syntax syntax, dpo_json **root)
{
    dpo_buffer copy = {0};
    dpo_status status;

    *root = NULL;
    use_counted_memory();
    DPO_TRY(dpo_buffer_append(&copy, text, n_bytes));
    status = clean(source, copy.data, n_bytes, syntax);
    if (status == DPO_OK) status = parse_clean(source, copy.data, n_bytes, root);
    dpo_buffer_destroy(&copy);
    return status;
}

dpo_status dpo_json_read_file(const char *path, dpo_json_syntax syntax, dpo_json **root)
{
    dpo_buffer text = {0};
    dpo_status status = dpo_buffer_append_file(&text, path);

    *root = NULL;
    if (status == DPO_OK)
        status = dpo_json_parse(path, dpo_buffer_text(&text), text.size_bytes, syntax, root);
    dpo_buffer_destroy(&text);
    return status;
}

void dpo_json_destroy(dpo_json **root)
{
    cJSON_Delete(*root);
    *root = NULL;
}

dpo_json_type dpo_json_type_of(const dpo_json *node)
{
    if (cJSON_IsBool(node)) return DPO_JSON_BOOL;
    if (cJSON_IsNumber(node)) return DPO_JSON_NUMBER;
    if (cJSON_IsString(node)) return DPO_JSON_TEXT;
    if (cJSON_IsArray(node)) return DPO_JSON_ARRAY;
    if (cJSON_IsObject(node)) return DPO_JSON_OBJECT;
    return DPO_JSON_NULL;
}

const char *dpo_json_type_name(dpo_json_type type)
{
    static const char *const names[] = {"null",   "true or false", "a number",
                                        "a text", "an array",      "an object"};

    return names[type];
}

dpo_json *dpo_json_find(const dpo_json *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

int64_t dpo_json_count(const dpo_json *node)
{
    int64_t n = 0;

    for (const dpo_json *item = dpo_json_first(node); item != NULL; item = item->next)
        n++;
    return n;
}

dpo_json *dpo_json_first(const dpo_json *node)
{
    return cJSON_IsArray(node) || cJSON_IsObject(node) ? node->child : NULL;
}

dpo_json *dpo_json_next(const dpo_json *node)
{
    return node->next;
}

const char *dpo_json_key(const dpo_json *member)
{
    return member->string;
}

const char *dpo_json_text(const dpo_json *node)
{
    DPO_ASSERT(cJSON_IsString(node));
    return node->valuestring;
}

double dpo_json_number(const dpo_json *node)
{
    DPO_ASSERT(cJSON_IsNumber(node));
    return node->valuedouble;
}

bool dpo_json_bool(const dpo_json *node)
{
    return cJSON_IsTrue(node) != 0;
}

static dpo_status check_type(const dpo_json *node, const char *where, const char *key,
                             dpo_json_type type)
{
    if (dpo_json_type_of(node) == type) return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is %s, expected %s", where, key,
                    dpo_json_type_name(dpo_json_type_of(node)), dpo_json_type_name(type));
}

/* A member that is there and not null, of the right kind; NULL if absent. */
static dpo_status find_typed(const dpo_json *object, const char *where, const char *key,
                             dpo_json_type type, const dpo_json **member)
{
    *member = dpo_json_find(object, key);
    if (*member == NULL || dpo_json_type_of(*member) == DPO_JSON_NULL) {
        *member = NULL;
        return DPO_OK;
    }
    return check_type(*member, where, key, type);
}

dpo_status dpo_json_get(const dpo_json *object, const char *where, const char *key,
                        dpo_json_type type, const dpo_json **member)
{
    *member = dpo_json_find(object, key);
    if (*member == NULL)
        return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is missing, expected %s", where, key,
                        dpo_json_type_name(type));
    dpo_status status = check_type(*member, where, key, type);

    if (status != DPO_OK) *member = NULL;
    return status;
}

dpo_status dpo_json_get_text(const dpo_json *object, const char *where, const char *key,
                             const char **value)
{
    const dpo_json *member;

    DPO_TRY(dpo_json_get(object, where, key, DPO_JSON_TEXT, &member));
    *value = member->valuestring;
    return DPO_OK;
}

static dpo_status whole_number(const dpo_json *member, const char *where, const char *key,
                               int64_t min, int64_t max, int64_t *value)
{
    double number = member->valuedouble;

    if (number != floor(number) || number < (double)min || number > (double)max)
        return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is %.17g, expected a whole number from %lld to %lld",
                        where, key, number, (long long)min, (long long)max);
    *value = (int64_t)number;
    return DPO_OK;
}

dpo_status dpo_json_get_int(const dpo_json *object, const char *where, const char *key, int64_t min,
                            int64_t max, int64_t *value)
{
    const dpo_json *member;

    DPO_TRY(dpo_json_get(object, where, key, DPO_JSON_NUMBER, &member));
    return whole_number(member, where, key, min, max, value);
}

dpo_status dpo_json_get_number(const dpo_json *object, const char *where, const char *key,
                               double *value)
{
    const dpo_json *member;

    DPO_TRY(dpo_json_get(object, where, key, DPO_JSON_NUMBER, &member));
    *value = member->valuedouble;
    return DPO_OK;
}

dpo_status dpo_json_maybe_text(const dpo_json *object, const char *where, const char *key,
                               const char **value)
{
    const dpo_json *member;

    DPO_TRY(find_typed(object, where, key, DPO_JSON_TEXT, &member));
    if (member != NULL) *value = member->valuestring;
    return DPO_OK;
}

dpo_status dpo_json_maybe_int(const dpo_json *object, const char *where, const char *key,
                              int64_t min, int64_t max, int64_t *value)
{
    const dpo_json *member;

    DPO_TRY(find_typed(object, where, key, DPO_JSON_NUMBER, &member));
    return member == NULL ? DPO_OK : whole_number(member, where, key, min, max, value);
}

dpo_status dpo_json_maybe_number(const dpo_json *object, const char *where, const char *key,
                                 double *value)
{
    const dpo_json *member;

    DPO_TRY(find_typed(object, where, key, DPO_JSON_NUMBER, &member));
    if (member != NULL) *value = member->valuedouble;
    return DPO_OK;
}

dpo_status dpo_json_maybe_bool(const dpo_json *object, const char *where, const char *key,
                               bool *value)
{
    const dpo_json *member;

    DPO_TRY(find_typed(object, where, key, DPO_JSON_BOOL, &member));
    if (member != NULL) *value = dpo_json_bool(member);
    return DPO_OK;
}

static dpo_status new_root(dpo_json *node, dpo_json **root)
{
    *root = node;
    return node != NULL ? DPO_OK : dpo_memory_failed(1, sizeof *node, __FILE__, __LINE__);
}

dpo_status dpo_json_new_object(dpo_json **root)
{
    use_counted_memory();
    return new_root(cJSON_CreateObject(), root);
}

dpo_status dpo_json_new_array(dpo_json **root)
{
    use_counted_memory();
    return new_root(cJSON_CreateArray(), root);
}

dpo_status dpo_json_copy(const dpo_json *node, dpo_json **copy)
{
    use_counted_memory();
    return new_root(cJSON_Duplicate(node, 1), copy);
}

static dpo_status put(dpo_json *node, const char *key, dpo_json *child)
{
    cJSON_bool done = 0;

    if (child != NULL && key == NULL) done = cJSON_AddItemToArray(node, child);
    if (child != NULL && key != NULL) {
        done = dpo_json_find(node, key) != NULL
                   ? cJSON_ReplaceItemInObjectCaseSensitive(node, key, child)
                   : cJSON_AddItemToObject(node, key, child);
    }
    if (done) return DPO_OK;
    cJSON_Delete(child);
    return dpo_memory_failed(1, sizeof *child, __FILE__, __LINE__);
}

dpo_status dpo_json_put_text(dpo_json *node, const char *key, const char *value)
{
    return put(node, key, cJSON_CreateString(value));
}

/* A double holds whole numbers up to 2^53 only. */
dpo_status dpo_json_put_int(dpo_json *node, const char *key, int64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%lld", (long long)value);
    if (value > -(1LL << 53) && value < (1LL << 53))
        return put(node, key, cJSON_CreateNumber((double)value));
    return put(node, key, cJSON_CreateRaw(digits));
}

dpo_status dpo_json_put_number(dpo_json *node, const char *key, double value)
{
    return put(node, key, cJSON_CreateNumber(value));
}

dpo_status dpo_json_put_bool(dpo_json *node, const char *key, bool value)
{
    return put(node, key, cJSON_CreateBool(value));
}

dpo_status dpo_json_put_null(dpo_json *node, const char *key)
{
    return put(node, key, cJSON_CreateNull());
}

dpo_status dpo_json_put_node(dpo_json *node, const char *key, dpo_json **child)
{
    dpo_json *taken = *child;

    *child = NULL;
    return put(node, key, taken);
}

/* cJSON indents by tabs; both its forms use no character that needs care here. */
static dpo_status spread(const char *text, dpo_buffer *out)
{
    bool at_line_start = true;

    for (const char *c = text; *c != '\0'; c++) {
        if (at_line_start && *c == '\t') {
            DPO_TRY(dpo_buffer_append_text(out, "  "));
            continue;
        }
        if (*c == '\t') { /* between a key's colon and its value */
            DPO_TRY(dpo_buffer_append_text(out, " "));
            continue;
        }
        at_line_start = *c == '\n';
        DPO_TRY(dpo_buffer_append(out, c, 1));
    }
    return dpo_buffer_append_text(out, "\n");
}

dpo_status dpo_json_print(const dpo_json *root, bool pretty, dpo_buffer *out)
{
    char *text = pretty ? cJSON_Print(root) : cJSON_PrintUnformatted(root);

    if (text == NULL) return dpo_memory_failed(1, 1, __FILE__, __LINE__);
    dpo_status status = pretty ? spread(text, out) : dpo_buffer_append_text(out, text);

    dpo_free(text);
    return status;
}
