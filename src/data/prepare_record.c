// SPDX-License-Identifier: Apache-2.0
#include "prepare_record.h"

#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/store/h5file.h"
#include "dpo/store/publish.h"

/* Changes when the same inputs give another file. */
enum { FORMAT_VERSION = 1 };

static const char *const truncation_names[] = {"keep_start", "keep_end", "drop", "error"};
static const char *const group_names[] = {"none", "prompt"};
static const char *const empty_names[] = {"error", "drop", "keep"};

const char *prepare_source_name(const dpo_data_source *source, int64_t *n_bytes)
{
    if (source->name != NULL) {
        *n_bytes = (int64_t)strlen(source->name);
        return source->name;
    }
    const char *slash = strrchr(source->path, '/');
    const char *name = slash != NULL ? slash + 1 : source->path;

    *n_bytes = (int64_t)strcspn(name, ".");
    if (*n_bytes == 0) *n_bytes = (int64_t)strlen(name);
    return name;
}

static dpo_digest template_digest(const dpo_prepare_options *options)
{
    if (options->chat_template == NULL) return (dpo_digest){0, 0};
    return dpo_chat_template_digest(options->chat_template);
}

static dpo_status digest_all(const dpo_prepare_options *options, prepare_record *made_of)
{
    int64_t numbers[] = {FORMAT_VERSION,          options->n_sources,
                         options->max_length,     (int64_t)options->truncation,
                         (int64_t)options->empty, (int64_t)options->group};
    dpo_digest texts[] = {dpo_tokenizer_digest(options->tokenizer), template_digest(options)};
    dpo_digest_state *state;

    DPO_TRY(dpo_digest_begin(&state));
    dpo_digest_add(state, numbers, sizeof numbers);
    dpo_digest_add(state, texts, sizeof texts);
    for (int64_t s = 0; s < options->n_sources; s++) {
        int64_t n_name;
        const char *name = prepare_source_name(&options->sources[s], &n_name);
        int64_t values[] = {options->sources[s].limit, n_name};

        dpo_digest_add(state, &made_of->files[s], sizeof made_of->files[s]);
        dpo_digest_add(state, values, sizeof values);
        dpo_digest_add(state, name, n_name);
    }
    made_of->digest = dpo_digest_end(&state);
    return DPO_OK;
}

/* The ranks share the files. */
static dpo_status digest_files(const dpo_grid *grid, const dpo_prepare_options *options,
                               dpo_digest *files)
{
    for (int64_t s = dpo_grid_rank(grid, DPO_WORLD); s < options->n_sources;
         s += dpo_grid_size(grid, DPO_WORLD))
        DPO_TRY(dpo_file_digest(options->sources[s].path, &files[s]));
    return DPO_OK;
}

dpo_status prepare_record_make(const dpo_grid *grid, const dpo_prepare_options *options,
                               prepare_record *made_of)
{
    int size = dpo_grid_size(grid, DPO_WORLD);

    DPO_TRY(dpo_agree(grid, DPO_NEW(made_of->files, options->n_sources)));
    DPO_TRY(dpo_agree(grid, digest_files(grid, options, made_of->files)));
    for (int64_t s = 0; s < options->n_sources; s++)
        dpo_broadcast(grid, DPO_WORLD, (int)(s % size), sizeof made_of->files[s],
                      &made_of->files[s]);
    return dpo_agree(grid, digest_all(options, made_of));
}

void prepare_record_destroy(prepare_record *made_of)
{
    dpo_free(made_of->files);
    *made_of = (prepare_record){0};
}

static dpo_status put_digest(dpo_json *object, const char *key, dpo_digest digest)
{
    char hex[DPO_DIGEST_HEX_BYTES];

    dpo_digest_to_hex(digest, hex);
    return dpo_json_put_text(object, key, hex);
}

static dpo_status fill_source(const dpo_data_source *source, dpo_digest digest, dpo_json *object)
{
    dpo_buffer name = {0};
    int64_t n_name;
    const char *bytes = prepare_source_name(source, &n_name);
    dpo_status status = dpo_buffer_append(&name, bytes, n_name);

    if (status == DPO_OK) status = dpo_json_put_text(object, "name", dpo_buffer_text(&name));
    dpo_buffer_destroy(&name);
    DPO_TRY(status);
    DPO_TRY(dpo_json_put_text(object, "path", source->path));
    DPO_TRY(dpo_json_put_int(object, "limit", source->limit));
    return put_digest(object, "digest", digest);
}

static dpo_status fill_sources(const prepare_record *made_of, const dpo_prepare_options *options,
                               dpo_json *array)
{
    for (int64_t s = 0; s < options->n_sources; s++) {
        dpo_json *object;

        DPO_TRY(dpo_json_new_object(&object));
        dpo_status status = fill_source(&options->sources[s], made_of->files[s], object);

        if (status == DPO_OK) status = dpo_json_put_node(array, NULL, &object);
        dpo_json_destroy(&object);
        DPO_TRY(status);
    }
    return DPO_OK;
}

static dpo_status put_sources(const prepare_record *made_of, const dpo_prepare_options *options,
                              dpo_json *root)
{
    dpo_json *array;

    DPO_TRY(dpo_json_new_array(&array));
    dpo_status status = fill_sources(made_of, options, array);

    if (status == DPO_OK) status = dpo_json_put_node(root, "sources", &array);
    dpo_json_destroy(&array);
    return status;
}

static dpo_status put_options(const dpo_prepare_options *options, dpo_json *root)
{
    DPO_TRY(dpo_json_put_int(root, "max_length", options->max_length));
    DPO_TRY(dpo_json_put_text(root, "truncation", truncation_names[options->truncation]));
    DPO_TRY(dpo_json_put_text(root, "empty", empty_names[options->empty]));
    return dpo_json_put_text(root, "group", group_names[options->group]);
}

static dpo_status fill_root(const prepare_record *made_of, const dpo_prepare_options *options,
                            const dpo_audit *audit, dpo_json *root)
{
    dpo_json *numbers;

    DPO_TRY(dpo_json_put_int(root, "version", FORMAT_VERSION));
    DPO_TRY(put_digest(root, "digest", made_of->digest));
    DPO_TRY(put_sources(made_of, options, root));
    DPO_TRY(put_digest(root, "tokenizer", dpo_tokenizer_digest(options->tokenizer)));
    if (options->chat_template != NULL)
        DPO_TRY(put_digest(root, "chat_template", template_digest(options)));
    DPO_TRY(put_options(options, root));
    DPO_TRY(audit_to_json(audit, &numbers));
    return dpo_json_put_node(root, "audit", &numbers);
}

dpo_status prepare_record_print(const prepare_record *made_of, const dpo_prepare_options *options,
                                const dpo_audit *audit, dpo_buffer *text)
{
    dpo_json *root;

    DPO_TRY(dpo_json_new_object(&root));
    dpo_status status = fill_root(made_of, options, audit, root);

    if (status == DPO_OK) status = dpo_json_print(root, false, text);
    dpo_json_destroy(&root);
    return status;
}

/* DPO_OK with *is_same false for another digest; any failure means that the file is of no use. */
static dpo_status compare(const prepare_record *made_of, const char *path, const char *text,
                          dpo_audit *audit, bool *is_same)
{
    dpo_digest digest = {0, 0};
    const char *hex;
    dpo_json *root;

    DPO_TRY(dpo_json_parse(path, text, (int64_t)strlen(text), DPO_JSON_STRICT, &root));
    dpo_status status = dpo_json_get_text(root, path, "digest", &hex);

    if (status == DPO_OK) status = dpo_digest_from_hex(hex, &digest);
    *is_same = status == DPO_OK && dpo_digest_equal(digest, made_of->digest);
    if (*is_same) status = audit_from_json(dpo_json_find(root, "audit"), path, audit);
    dpo_json_destroy(&root);
    return status;
}

static dpo_status look_into(const dpo_grid *grid, const prepare_record *made_of, const char *path,
                            dpo_audit *audit, bool *is_current)
{
    dpo_h5_file *file;
    const char *text;

    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_READ, &file));
    dpo_status status = dpo_h5_get_text(file, "prepare", &text);

    if (status == DPO_OK) status = compare(made_of, path, text, audit, is_current);
    status = dpo_agree(grid, status);
    if (status == DPO_OK && *is_current) status = dpo_h5_verify(grid, file);
    dpo_h5_close(&file);
    return status;
}

dpo_status prepare_record_find(const dpo_grid *grid, const prepare_record *made_of,
                               const char *path, dpo_audit *audit, bool *is_current)
{
    int64_t exists = dpo_grid_rank(grid, DPO_WORLD) == 0 && access(path, F_OK) == 0;

    *is_current = false;
    dpo_max_i64(grid, DPO_WORLD, 1, &exists);
    if (!exists) return DPO_OK;
    dpo_status status = look_into(grid, made_of, path, audit, is_current);

    if (status == DPO_OK) return DPO_OK;
    *is_current = false;
    *audit = (dpo_audit){0};
    if (status == DPO_ENOMEM) return status;
    dpo_log_warning("%s is made anew: %s", path, dpo_last_error()->text);
    return DPO_OK;
}
