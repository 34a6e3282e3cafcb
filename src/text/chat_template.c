// SPDX-License-Identifier: Apache-2.0
#include "dpo/text/chat_template.h"

#include <string.h>
#include <sys/stat.h>

#include "dpo/base/memory.h"
#include "dpo/base/utf8.h"
#include "jinja_parser.h"
#include "jinja_run.h"

/* Invariant: source's texts and the tree live in the pool. */
struct dpo_chat_template {
    jinja_source source;
    jinja_pool pool;
    const jinja_node *tree; /* NULL if the template is empty */
    dpo_digest digest;      /* of the text as it was given */
};

static dpo_status copy_text(jinja_pool *pool, const char *text, jinja_text *copy)
{
    int64_t n = (int64_t)strlen(text);
    void *memory;

    DPO_TRY(jinja_pool_take(pool, n + 1, 1, &memory));
    memcpy(memory, text, (size_t)n);
    *copy = (jinja_text){memory, n};
    return DPO_OK;
}

/* Makes "\n" of every line end. */
static dpo_status copy_lines(jinja_pool *pool, const char *text, jinja_text *copy)
{
    void *memory;
    char *end;

    DPO_TRY(jinja_pool_take(pool, (int64_t)strlen(text) + 1, 1, &memory));
    end = memory;
    for (const char *c = text; *c != '\0'; c++) {
        *end++ = (char)(*c == '\r' ? '\n' : *c);
        c += c[0] == '\r' && c[1] == '\n';
    }
    *copy = (jinja_text){memory, end - (char *)memory};
    return DPO_OK;
}

static dpo_status parse_into(const char *source, const char *text, dpo_chat_template *chat_template)
{
    jinja_text name;
    jinja_node *tree;
    int64_t valid;

    chat_template->pool.source = source;
    chat_template->digest = dpo_digest_of(text, (int64_t)strlen(text));
    DPO_TRY(copy_text(&chat_template->pool, source, &name));
    chat_template->source.name = name.data;
    chat_template->pool.source = name.data;
    DPO_TRY(copy_lines(&chat_template->pool, text, &chat_template->source.text));
    valid = dpo_utf8_valid_length(chat_template->source.text.data, chat_template->source.text.n);
    if (valid < chat_template->source.text.n)
        return JINJA_FAIL(&chat_template->source, valid, "a byte that is not UTF-8");
    DPO_TRY(jinja_parse(&chat_template->source, &chat_template->pool, &tree));
    chat_template->tree = tree;
    return DPO_OK;
}

dpo_status dpo_chat_template_parse(const char *source, const char *text,
                                   dpo_chat_template **chat_template)
{
    DPO_TRY(DPO_NEW(*chat_template, 1));
    dpo_status status = parse_into(source, text, *chat_template);

    if (status != DPO_OK) dpo_chat_template_destroy(chat_template);
    return status;
}

void dpo_chat_template_destroy(dpo_chat_template **chat_template)
{
    if (*chat_template == NULL) return;
    jinja_pool_destroy(&(*chat_template)->pool);
    dpo_free(*chat_template);
    *chat_template = NULL;
}

dpo_digest dpo_chat_template_digest(const dpo_chat_template *chat_template)
{
    return chat_template->digest;
}

static dpo_status bind_text(jinja_run *run, jinja_text name, const char *text)
{
    if (text == NULL) return DPO_OK;
    return jinja_bind(run, name, jinja_of_terminated(text));
}

static dpo_status render_with(jinja_run *run, const jinja_node *tree, const dpo_json *messages,
                              bool add_generation_prompt, const char *bos_text,
                              const char *eos_text)
{
    jinja_value none = {.kind = JINJA_NONE};
    jinja_value list;

    DPO_TRY(jinja_of_json(run->pool, messages, &list));
    DPO_TRY(jinja_bind(run, JINJA_TEXT("messages"), list));
    DPO_TRY(jinja_bind(run, JINJA_TEXT("tools"), none));
    DPO_TRY(jinja_bind(run, JINJA_TEXT("documents"), none));
    DPO_TRY(
        jinja_bind(run, JINJA_TEXT("add_generation_prompt"), jinja_of_bool(add_generation_prompt)));
    DPO_TRY(bind_text(run, JINJA_TEXT("bos_token"), bos_text));
    DPO_TRY(bind_text(run, JINJA_TEXT("eos_token"), eos_text));
    return jinja_render(run, tree);
}

dpo_status dpo_chat_template_render(const dpo_chat_template *chat_template,
                                    const dpo_json *messages, bool add_generation_prompt,
                                    const char *bos_text, const char *eos_text, dpo_buffer *out)
{
    jinja_pool pool = {.source = chat_template->source.name};
    jinja_run run = {.source = &chat_template->source, .pool = &pool, .out = out};
    dpo_status status =
        render_with(&run, chat_template->tree, messages, add_generation_prompt, bos_text, eos_text);

    dpo_buffer_destroy(&run.bindings);
    jinja_pool_destroy(&pool);
    return status;
}

/* The text "chat_template" of a configuration; NULL if there is none. */
static dpo_status find_in_config(const dpo_json *config, const char *path, const char **text)
{
    const dpo_json *node = dpo_json_find(config, "chat_template");

    *text = NULL;
    if (node == NULL || dpo_json_type_of(node) == DPO_JSON_NULL) return DPO_OK;
    if (dpo_json_type_of(node) == DPO_JSON_TEXT) {
        *text = dpo_json_text(node);
        return DPO_OK;
    }
    for (const dpo_json *i = dpo_json_first(node); i != NULL; i = dpo_json_next(i)) {
        const char *name = NULL;

        DPO_TRY(dpo_json_maybe_text(i, path, "name", &name));
        if (name != NULL && strcmp(name, "default") == 0)
            return dpo_json_get_text(i, path, "template", text);
    }
    return DPO_FAIL(DPO_EDATA,
                    "%s: \"chat_template\" is %s without a template named \"default\", expected a "
                    "text or a list with one",
                    path, dpo_json_type_name(dpo_json_type_of(node)));
}

static dpo_status load_from_config(const char *path, dpo_chat_template **chat_template)
{
    dpo_buffer source = {0};
    dpo_json *config;
    const char *text;

    DPO_TRY(dpo_json_read_file(path, DPO_JSON_STRICT, &config));
    dpo_status status = find_in_config(config, path, &text);

    if (status == DPO_OK) status = dpo_buffer_printf(&source, "%s, chat_template", path);
    if (status == DPO_OK && text != NULL)
        status = dpo_chat_template_parse(dpo_buffer_text(&source), text, chat_template);
    dpo_buffer_destroy(&source);
    dpo_json_destroy(&config);
    return status;
}

static dpo_status load_from_file(const char *path, dpo_chat_template **chat_template)
{
    dpo_buffer text = {0};
    dpo_status status = dpo_buffer_append_file(&text, path);

    if (status == DPO_OK && (int64_t)strlen(dpo_buffer_text(&text)) != text.size_bytes)
        status = DPO_FAIL(DPO_EDATA, "%s: a zero byte", path);
    if (status == DPO_OK)
        status = dpo_chat_template_parse(path, dpo_buffer_text(&text), chat_template);
    dpo_buffer_destroy(&text);
    return status;
}

static bool exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

dpo_status dpo_chat_template_load(const char *folder, dpo_chat_template **chat_template)
{
    dpo_buffer jinja = {0};
    dpo_buffer config = {0};
    dpo_status status = dpo_buffer_printf(&jinja, "%s/chat_template.jinja", folder);

    *chat_template = NULL;
    if (status == DPO_OK) status = dpo_buffer_printf(&config, "%s/tokenizer_config.json", folder);
    if (status == DPO_OK && exists(dpo_buffer_text(&jinja)))
        status = load_from_file(dpo_buffer_text(&jinja), chat_template);
    else if (status == DPO_OK && exists(dpo_buffer_text(&config)))
        status = load_from_config(dpo_buffer_text(&config), chat_template);
    dpo_buffer_destroy(&config);
    dpo_buffer_destroy(&jinja);
    return status;
}
