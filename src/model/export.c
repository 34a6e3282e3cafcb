// SPDX-License-Identifier: Apache-2.0
/*
 * The folder is made beside its final name, every rank writing its part of the weights, and renamed when it is whole. What was there before is moved away first and then
 * removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dpo/base/buffer.h"
#include "dpo/base/json.h"
#include "dpo/base/memory.h"
#include "dpo/base/range.h"
#include "dpo/comm/collective.h"
#include "dpo/store/publish.h"
#include "dpo/store/safetensors.h"
#include "model_private.h"

/* Files of an exported folder by the beginning and end of their names; only a folder of such files
   is replaced. */
static const struct {
    const char *prefix;
    const char *suffix;
    bool copied; /* from the source folder */
} export_files[] = {
    {"config.json", "", false},
    {"model", ".safetensors", false},
    {"model.safetensors.index.json", "", false},
    {"tokenizer", "", true},
    {"special_tokens_map.json", "", true},
    {"added_tokens.json", "", true},
    {"generation_config.json", "", true},
    {"chat_template", "", true},
    {"vocab.json", "", true},
    {"merges.txt", "", true},
};

enum { N_EXPORT_FILES = sizeof export_files / sizeof export_files[0] };

typedef struct {
    const char *source;
    char folder[PATH_MAX];    /* without slashes at its end */
    char temporary[PATH_MAX]; /* the folder while it is written; on every rank that of rank 0 */
    char aside[PATH_MAX];     /* an old folder while the new one takes its place */
} export_paths;

static dpo_status failed(const char *path, const char *what)
{
    return DPO_FAIL(DPO_EIO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

static bool is_export_file(const char *name)
{
    for (int i = 0; i < N_EXPORT_FILES; i++) {
        size_t n = strlen(name), n_prefix = strlen(export_files[i].prefix);
        size_t n_suffix = strlen(export_files[i].suffix);

        if (n >= n_prefix + n_suffix && strncmp(name, export_files[i].prefix, n_prefix) == 0 &&
            strcmp(name + n - n_suffix, export_files[i].suffix) == 0)
            return true;
    }
    return false;
}

static bool is_file(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

static bool exists(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0;
}

/* Calls visit with the path and the name of everything in a folder with such names, until one
   fails. */
static dpo_status for_each(const char *folder, const char *prefix, const char *suffix,
                           dpo_status (*visit)(const char *path, const char *name,
                                               const export_paths *paths),
                           const export_paths *paths)
{
    dpo_buffer names = {0}, path = {0};
    int64_t n_names = 0;
    dpo_status status = dpo_folder_list(folder, prefix, suffix, &names, &n_names);
    const char *name = dpo_buffer_text(&names);

    for (int64_t i = 0; i < n_names && status == DPO_OK; i++, name += strlen(name) + 1) {
        dpo_buffer_clear(&path);
        status = dpo_buffer_printf(&path, "%s/%s", folder, name);
        if (status == DPO_OK) status = visit(dpo_buffer_text(&path), name, paths);
    }
    dpo_buffer_destroy(&path);
    dpo_buffer_destroy(&names);
    return status;
}

static dpo_status check_replaceable(const char *path, const char *name, const export_paths *paths)
{
    if (is_export_file(name) && is_file(path)) return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE,
                    "%s: holds %s, which is no file of an exported model, so it is not replaced; "
                    "give another folder",
                    paths->folder, name);
}

static dpo_status remove_file(const char *path, const char *name, const export_paths *paths)
{
    (void)name;
    (void)paths;
    return unlink(path) == 0 ? DPO_OK : failed(path, "removed");
}

static dpo_status remove_folder(const char *folder)
{
    DPO_TRY(for_each(folder, "", "", remove_file, NULL));
    return rmdir(folder) == 0 ? DPO_OK : failed(folder, "removed");
}

/* Whether two names are one existing folder. */
static bool is_same(const char *a, const char *b)
{
    struct stat about_a, about_b;

    return stat(a, &about_a) == 0 && stat(b, &about_b) == 0 && about_a.st_dev == about_b.st_dev &&
           about_a.st_ino == about_b.st_ino;
}

static dpo_status set_path(char path[PATH_MAX], const char *text)
{
    size_t length = strlen(text);

    while (length > 1 && text[length - 1] == '/')
        length--;
    if (length >= PATH_MAX) return DPO_FAIL(DPO_EUSAGE, "%s: the name is too long", text);
    memcpy(path, text, length);
    path[length] = '\0';
    return DPO_OK;
}

static dpo_status name_temporary(export_paths *paths)
{
    dpo_buffer aside = {0};
    char *temporary;

    DPO_TRY(dpo_file_temporary(paths->folder, &temporary));
    dpo_status status = dpo_buffer_printf(&aside, "%s-old", temporary);

    if (status == DPO_OK) status = set_path(paths->aside, dpo_buffer_text(&aside));
    if (status == DPO_OK) status = set_path(paths->temporary, temporary);
    dpo_buffer_destroy(&aside);
    dpo_free(temporary);
    return status;
}

static dpo_status begin(const char *folder, export_paths *paths)
{
    DPO_TRY(set_path(paths->folder, folder));
    if (is_same(paths->source, paths->folder))
        return DPO_FAIL(DPO_EUSAGE, "%s: is the folder that the model came from; give another",
                        paths->folder);
    DPO_TRY(for_each(paths->folder, "", "", check_replaceable, paths));
    DPO_TRY(name_temporary(paths));
    return dpo_folder_create(paths->temporary);
}

static dpo_status create_writer(const dpo_grid *grid, const dpo_parameters *parameters,
                                const char *folder, dpo_tensor_type type,
                                dpo_safetensors_writer **writer)
{
    dpo_tensor *tensor;
    dpo_status status = dpo_agree(grid, DPO_NEW(tensor, parameters->n_rows));

    *writer = NULL;
    for (int64_t i = 0; i < parameters->n_rows && status == DPO_OK; i++) {
        const dpo_parameter *row = &parameters->row[i];

        tensor[i] = (dpo_tensor){.name = row->name,
                                 .type = type,
                                 .n_dims = row->n_dims,
                                 .dims = {row->dims[0], row->dims[1]}};
    }
    if (status == DPO_OK)
        status = dpo_safetensors_create(grid, folder, parameters->n_rows, tensor, 0, writer);
    dpo_free(tensor);
    return status;
}

typedef struct {
    const dpo_model *model;
    dpo_safetensors_writer *writer;
} writing;

static dpo_status write_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                            int64_t local_begin)
{
    const writing *w = context;

    return dpo_safetensors_write(w->writer, row, global_begin, count,
                                 w->model->weights + local_begin);
}

/* Each data-parallel rank writes a part of what its tensor-parallel rank counts. */
static dpo_status write_weights(const dpo_grid *grid, const dpo_model *model, const char *folder,
                                dpo_tensor_type type)
{
    dpo_range own = dpo_range_of_part(model->parameters.n_elements, dpo_grid_size(grid, DPO_DATA),
                                      dpo_grid_rank(grid, DPO_DATA));
    writing w = {.model = model};

    DPO_TRY(create_writer(grid, &model->parameters, folder, type, &w.writer));
    dpo_status status =
        dpo_parameters_for_each_run(&model->parameters, own, DPO_COUNTED, write_run, &w);

    return dpo_safetensors_publish(grid, status, &w.writer);
}

static dpo_status copy_file(const char *path, const char *name, const export_paths *paths)
{
    dpo_buffer text = {0}, target = {0};
    dpo_status status;

    if (!is_file(path)) return DPO_OK;
    status = dpo_buffer_append_file(&text, path);
    if (status == DPO_OK) status = dpo_buffer_printf(&target, "%s/%s", paths->temporary, name);
    if (status == DPO_OK)
        status =
            dpo_file_publish(dpo_buffer_text(&target), dpo_buffer_text(&text), text.size_bytes);
    dpo_buffer_destroy(&target);
    dpo_buffer_destroy(&text);
    return status;
}

/* The source's dtype key, under the name it has there, says what the weights are now. */
static dpo_status set_type(dpo_json *root, dpo_tensor_type type)
{
    const char *name = type == DPO_TENSOR_F32    ? "float32"
                       : type == DPO_TENSOR_BF16 ? "bfloat16"
                                                 : "float16";

    if (dpo_json_find(root, "dtype") != NULL) DPO_TRY(dpo_json_put_text(root, "dtype", name));
    if (dpo_json_find(root, "dtype") != NULL && dpo_json_find(root, "torch_dtype") == NULL)
        return DPO_OK;
    return dpo_json_put_text(root, "torch_dtype", name);
}

static dpo_status write_config(const export_paths *paths, dpo_tensor_type type)
{
    dpo_buffer path = {0}, text = {0};
    dpo_json *root = NULL;
    dpo_status status = dpo_buffer_printf(&path, "%s/config.json", paths->source);

    if (status == DPO_OK)
        status = dpo_json_read_file(dpo_buffer_text(&path), DPO_JSON_STRICT, &root);
    if (status == DPO_OK) status = set_type(root, type);
    if (status == DPO_OK) status = dpo_json_print(root, true, &text);
    dpo_buffer_clear(&path);
    if (status == DPO_OK) status = dpo_buffer_printf(&path, "%s/config.json", paths->temporary);
    if (status == DPO_OK)
        status = dpo_file_publish(dpo_buffer_text(&path), dpo_buffer_text(&text), text.size_bytes);
    dpo_json_destroy(&root);
    dpo_buffer_destroy(&text);
    dpo_buffer_destroy(&path);
    return status;
}

/* Makes the renaming survive a power cut, where the file system can. */
static dpo_status sync_parent(const char *folder)
{
    dpo_buffer parent = {0};
    dpo_status status = dpo_buffer_printf(&parent, "%s/..", folder);
    int file = status == DPO_OK ? open(dpo_buffer_text(&parent), O_RDONLY | O_DIRECTORY) : -1;

    if (status == DPO_OK && file < 0) status = failed(folder, "flushed");
    if (file >= 0) {
        if (fsync(file) != 0 && errno != EINVAL) status = failed(folder, "flushed");
        (void)close(file);
    }
    dpo_buffer_destroy(&parent);
    return status;
}

/* A folder cannot be renamed over one that holds files: the old one steps aside, and comes back if
   the new one cannot take its place. */
static dpo_status put_in_place(const export_paths *paths)
{
    if (!exists(paths->folder))
        return rename(paths->temporary, paths->folder) == 0 ? DPO_OK
                                                            : failed(paths->folder, "made");
    if (rename(paths->folder, paths->aside) != 0) return failed(paths->folder, "moved aside");
    if (rename(paths->temporary, paths->folder) != 0) {
        dpo_status status = failed(paths->folder, "replaced");

        (void)rename(paths->aside, paths->folder);
        return status;
    }
    return remove_folder(paths->aside);
}

/* What one rank does behind the weights. */
static dpo_status finish(const export_paths *paths, dpo_tensor_type type)
{
    for (int i = 0; i < N_EXPORT_FILES; i++)
        if (export_files[i].copied)
            DPO_TRY(for_each(paths->source, export_files[i].prefix, export_files[i].suffix,
                             copy_file, paths));
    DPO_TRY(write_config(paths, type));
    DPO_TRY(put_in_place(paths));
    return sync_parent(paths->folder);
}

/* Removes what a failed export left, but no old folder that could not come back; the error record stays that of the failure. */
static void clean_up(const export_paths *paths)
{
    dpo_error kept = *dpo_last_error();

    if (paths->temporary[0] == '\0') return;
    (void)remove_folder(paths->temporary);
    if (exists(paths->folder)) (void)remove_folder(paths->aside);
    *dpo_last_error() = kept;
}

dpo_status dpo_model_export(const dpo_grid *grid, const dpo_model *model, const char *source_folder,
                            const char *folder, dpo_tensor_type type)
{
    export_paths paths = {.source = source_folder};
    bool first = dpo_grid_rank(grid, DPO_WORLD) == 0;
    dpo_status status = DPO_OK;

    DPO_ASSERT(type == DPO_TENSOR_F32 || type == DPO_TENSOR_BF16 || type == DPO_TENSOR_F16);
    if (first) status = begin(folder, &paths);
    status = dpo_agree(grid, status);
    if (status == DPO_OK) {
        dpo_broadcast(grid, DPO_WORLD, 0, sizeof paths.temporary, paths.temporary);
        status = write_weights(grid, model, paths.temporary, type);
    }
    if (status == DPO_OK) status = dpo_agree(grid, first ? finish(&paths, type) : DPO_OK);
    if (status != DPO_OK && first) clean_up(&paths);
    return status;
}
