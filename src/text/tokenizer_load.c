// SPDX-License-Identifier: Apache-2.0
/* From files to a tokenizer. */
#include <string.h>
#include <sys/stat.h>

#include "dpo/base/memory.h"
#include "tokenizer_private.h"

/* "source: part", for messages. */
static dpo_status load_part(const char *source, const dpo_json *root, const char *part,
                            dpo_status (*load)(const char *where, const dpo_json *node, void *to),
                            void *to)
{
    dpo_buffer where = {0};
    dpo_status status = dpo_buffer_printf(&where, "%s: %s", source, part);

    if (status == DPO_OK) status = load(dpo_buffer_text(&where), dpo_json_find(root, part), to);
    dpo_buffer_destroy(&where);
    return status;
}

static dpo_status load_model(const char *where, const dpo_json *node, void *to)
{
    if (node != NULL && dpo_json_type_of(node) == DPO_JSON_OBJECT)
        return tokenizer_bpe_load(where, node, to);
    return DPO_FAIL(DPO_EDATA, "%s: missing or no object, expected a BPE model", where);
}

static dpo_status load_normalizers(const char *where, const dpo_json *node, void *to)
{
    return tokenizer_normalizers_load(where, node, to);
}

static dpo_status load_pretokenizers(const char *where, const dpo_json *node, void *to)
{
    return tokenizer_pretokenizers_load(where, node, to);
}

static dpo_status load_postprocessor(const char *where, const dpo_json *node, void *to)
{
    dpo_tokenizer *t = to;

    return tokenizer_postprocessor_load(where, node, &t->bpe.vocab, &t->added.vocab,
                                        &t->postprocessor);
}

static dpo_status load_decoders(const char *where, const dpo_json *node, void *to)
{
    return tokenizer_decoders_load(where, node, to);
}

/* "truncation" and "padding" are the business of who calls, here as in transformers. */
static dpo_status load_root(const char *source, const dpo_json *root, dpo_tokenizer *t)
{
    DPO_TRY(load_part(source, root, "model", load_model, &t->bpe));
    DPO_TRY(load_part(source, root, "normalizer", load_normalizers, &t->normalizers));
    DPO_TRY(load_part(source, root, "pre_tokenizer", load_pretokenizers, &t->pretokenizers));
    DPO_TRY(load_part(source, root, "decoder", load_decoders, &t->decoders));
    DPO_TRY(tokenizer_added_load(source, dpo_json_find(root, "added_tokens"), &t->bpe.vocab,
                                 &t->normalizers, &t->added));
    return load_part(source, root, "post_processor", load_postprocessor, t);
}

static dpo_status create(const char *source, const char *text, int64_t n_bytes,
                         dpo_tokenizer **tokenizer)
{
    dpo_json *root = NULL;
    dpo_status status;

    DPO_TRY(DPO_NEW(*tokenizer, 1));
    for (int role = 0; role < TOKENIZER_N_ROLES; role++)
        (*tokenizer)->role[role] = -1;
    (*tokenizer)->digest = dpo_digest_of(text, n_bytes);
    status = dpo_json_parse(source, text, n_bytes, DPO_JSON_STRICT, &root);
    if (status == DPO_OK) status = load_root(source, root, *tokenizer);
    dpo_json_destroy(&root);
    if (status != DPO_OK) dpo_tokenizer_destroy(tokenizer);
    return status;
}

static dpo_status parse_config(const char *source, const char *text, int64_t n_bytes,
                               dpo_tokenizer *tokenizer, dpo_json **root)
{
    tokenizer->digest = dpo_digest_join(tokenizer->digest, dpo_digest_of(text, n_bytes));
    return dpo_json_parse(source, text, n_bytes, DPO_JSON_STRICT, root);
}

static dpo_status apply_text(const char *source, const char *text, dpo_tokenizer *tokenizer)
{
    const tokenizer_config no_map = {NULL, NULL};
    dpo_json *root = NULL;
    dpo_status status = parse_config(source, text, (int64_t)strlen(text), tokenizer, &root);

    if (status == DPO_OK)
        status = tokenizer_config_apply(&(tokenizer_config){source, root}, &no_map, tokenizer);
    dpo_json_destroy(&root);
    return status;
}

dpo_status dpo_tokenizer_parse(const char *source, const char *text, int64_t n_bytes,
                               const char *config, dpo_tokenizer **tokenizer)
{
    dpo_buffer name = {0};
    dpo_status status;

    *tokenizer = NULL;
    DPO_TRY(create(source, text, n_bytes, tokenizer));
    if (config == NULL) return DPO_OK;
    status = dpo_buffer_printf(&name, "%s, configuration", source);
    if (status == DPO_OK) status = apply_text(dpo_buffer_text(&name), config, *tokenizer);
    dpo_buffer_destroy(&name);
    if (status != DPO_OK) dpo_tokenizer_destroy(tokenizer);
    return status;
}

static dpo_status create_from_file(const char *path, dpo_tokenizer **tokenizer)
{
    dpo_buffer text = {0};
    dpo_status status = dpo_buffer_append_file(&text, path);

    if (status == DPO_OK) status = create(path, dpo_buffer_text(&text), text.size_bytes, tokenizer);
    dpo_buffer_destroy(&text);
    return status;
}

/* The file need not be there. */
static dpo_status parse_config_file(const char *path, dpo_tokenizer *tokenizer, dpo_json **root)
{
    struct stat unused;
    dpo_buffer text = {0};
    dpo_status status;

    if (stat(path, &unused) != 0) return DPO_OK;
    status = dpo_buffer_append_file(&text, path);
    if (status == DPO_OK)
        status = parse_config(path, dpo_buffer_text(&text), text.size_bytes, tokenizer, root);
    dpo_buffer_destroy(&text);
    return status;
}

static dpo_status apply_files(const char *config, const char *map, dpo_tokenizer *tokenizer)
{
    dpo_json *config_root = NULL;
    dpo_json *map_root = NULL;
    dpo_status status = parse_config_file(config, tokenizer, &config_root);

    if (status == DPO_OK) status = parse_config_file(map, tokenizer, &map_root);
    if (status == DPO_OK)
        status = tokenizer_config_apply(&(tokenizer_config){config, config_root},
                                        &(tokenizer_config){map, map_root}, tokenizer);
    dpo_json_destroy(&config_root);
    dpo_json_destroy(&map_root);
    return status;
}

dpo_status dpo_tokenizer_load(const char *folder, dpo_tokenizer **tokenizer)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json"};
    dpo_buffer path[3] = {{0}};
    dpo_status status = DPO_OK;

    *tokenizer = NULL;
    for (int i = 0; i < 3 && status == DPO_OK; i++)
        status = dpo_buffer_printf(&path[i], "%s/%s", folder, names[i]);
    if (status == DPO_OK) status = create_from_file(dpo_buffer_text(&path[0]), tokenizer);
    if (status == DPO_OK)
        status = apply_files(dpo_buffer_text(&path[1]), dpo_buffer_text(&path[2]), *tokenizer);
    for (int i = 0; i < 3; i++)
        dpo_buffer_destroy(&path[i]);
    if (status != DPO_OK) dpo_tokenizer_destroy(tokenizer);
    return status;
}

void dpo_tokenizer_destroy(dpo_tokenizer **tokenizer)
{
    dpo_tokenizer *t = *tokenizer;

    if (t == NULL) return;
    tokenizer_added_destroy(&t->added);
    tokenizer_normalizers_destroy(&t->normalizers);
    tokenizer_pretokenizers_destroy(&t->pretokenizers);
    tokenizer_bpe_destroy(&t->bpe);
    tokenizer_postprocessor_destroy(&t->postprocessor);
    tokenizer_decoders_destroy(&t->decoders);
    dpo_free(t);
    *tokenizer = NULL;
}
