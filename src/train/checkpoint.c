// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint_tensors.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/store/publish.h"

static dpo_status put_digest(dpo_json *object, const char *key, dpo_digest digest)
{
    char hex[DPO_DIGEST_HEX_BYTES];

    dpo_digest_to_hex(digest, hex);
    return dpo_json_put_text(object, key, hex);
}

/* In hexadecimal, so that every bit comes back. */
static dpo_status put_exact(dpo_json *object, const char *key, double value)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%a", value);
    return dpo_json_put_text(object, key, text);
}

static dpo_status get_exact(const dpo_json *object, const char *where, const char *key,
                            double *value)
{
    const char *text;

    DPO_TRY(dpo_json_get_text(object, where, key, &text));
    *value = strtod(text, NULL);
    return DPO_OK;
}

static dpo_status state_to_json(const dpo_checkpoint_state *state, const char *model_folder,
                                dpo_json *object)
{
    DPO_TRY(dpo_json_put_int(object, "step", state->step));
    DPO_TRY(dpo_json_put_int(object, "num_tokens", state->n_tokens));
    DPO_TRY(put_digest(object, "data", state->data_digest));
    DPO_TRY(put_digest(object, "model", state->model_digest));
    DPO_TRY(put_digest(object, "reference", state->reference_digest));
    DPO_TRY(put_exact(object, "noise_trace", state->noise.trace));
    DPO_TRY(put_exact(object, "noise_norm2", state->noise.norm2));
    return dpo_json_put_text(object, "model_folder", model_folder);
}

static dpo_status get_digest(const dpo_json *object, const char *where, const char *key,
                             dpo_digest *digest)
{
    const char *hex;

    DPO_TRY(dpo_json_get_text(object, where, key, &hex));
    return dpo_digest_from_hex(hex, digest);
}

static dpo_status state_from_json(const dpo_json *object, const char *where,
                                  dpo_checkpoint_state *state)
{
    DPO_TRY(dpo_json_get_int(object, where, "step", 0, 1LL << 53, &state->step));
    DPO_TRY(dpo_json_get_int(object, where, "num_tokens", 0, 1LL << 53, &state->n_tokens));
    DPO_TRY(get_digest(object, where, "data", &state->data_digest));
    DPO_TRY(get_digest(object, where, "model", &state->model_digest));
    DPO_TRY(get_digest(object, where, "reference", &state->reference_digest));
    DPO_TRY(get_exact(object, where, "noise_trace", &state->noise.trace));
    return get_exact(object, where, "noise_norm2", &state->noise.norm2);
}

static dpo_status print_state(const dpo_checkpoint_state *state, const char *model_folder,
                              dpo_buffer *text)
{
    dpo_json *object;

    DPO_TRY(dpo_json_new_object(&object));
    dpo_status status = state_to_json(state, model_folder, object);

    if (status == DPO_OK) status = dpo_json_print(object, false, text);
    dpo_json_destroy(&object);
    return status;
}

dpo_status dpo_checkpoint_save(const dpo_grid *grid, const char *path, const char *model_folder,
                               const dpo_json *config, const dpo_checkpoint_state *state,
                               const dpo_checkpoint_tensors *tensors)
{
    dpo_buffer state_text = {0};
    dpo_buffer config_text = {0};
    dpo_checkpoint_table table;
    dpo_h5_file *file = NULL;

    dpo_checkpoint_table_begin(tensors, &table);
    dpo_status status = dpo_checkpoint_table_name(&table);

    if (status == DPO_OK) status = print_state(state, model_folder, &state_text);
    if (status == DPO_OK) status = dpo_json_print(config, false, &config_text);
    status = dpo_agree(grid, status);
    if (status != DPO_OK) goto done;

    const dpo_h5_text texts[] = {{"kind", "checkpoint"},
                                 {"state", dpo_buffer_text(&state_text)},
                                 {"config", dpo_buffer_text(&config_text)}};
    const dpo_h5_layout layout = {DPO_H5_SEALED, table.n_datasets, table.datasets, 3, texts};

    status = dpo_h5_create(grid, path, &layout, &file);
    if (status != DPO_OK) goto done;
    status = dpo_checkpoint_table_write(&table, file);
    status = dpo_h5_publish(grid, status, &file);
done:
    dpo_checkpoint_table_destroy(&table);
    dpo_buffer_destroy(&state_text);
    dpo_buffer_destroy(&config_text);
    return status;
}

static dpo_status open_checkpoint(const dpo_grid *grid, const char *path, dpo_h5_file **file)
{
    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_READ, file));
    const char *kind = dpo_h5_text_of(*file, "kind");

    if (kind != NULL && strcmp(kind, "checkpoint") == 0) return DPO_OK;
    dpo_h5_close(file);
    return DPO_FAIL(DPO_EDATA, "%s: is %s, expected a checkpoint of mpidpo train", path,
                    kind != NULL ? kind : "no file of this program");
}

static dpo_status read_state(const dpo_h5_file *file, dpo_checkpoint_state *state)
{
    const char *text;
    dpo_json *object;

    DPO_TRY(dpo_h5_get_text(file, "state", &text));
    DPO_TRY(
        dpo_json_parse(dpo_h5_path(file), text, (int64_t)strlen(text), DPO_JSON_STRICT, &object));
    dpo_status status = state_from_json(object, dpo_h5_path(file), state);

    dpo_json_destroy(&object);
    return status;
}

static dpo_status read_all(const dpo_h5_file *file, const dpo_checkpoint_tensors *tensors,
                           dpo_checkpoint_state *state)
{
    dpo_checkpoint_table table;

    DPO_TRY(read_state(file, state));
    dpo_checkpoint_table_begin(tensors, &table);
    DPO_TRY(dpo_checkpoint_table_read(&table, file));
    if (tensors->optimizer != NULL) dpo_optimizer_set_n_updates(tensors->optimizer, state->step);
    return DPO_OK;
}

dpo_status dpo_checkpoint_load(const dpo_grid *grid, const char *path,
                               const dpo_checkpoint_tensors *tensors, dpo_checkpoint_state *state)
{
    dpo_checkpoint_state unused;
    dpo_h5_file *file;

    DPO_TRY(open_checkpoint(grid, path, &file));
    dpo_status status = dpo_h5_verify(grid, file);

    if (status == DPO_OK)
        status = dpo_agree(grid, read_all(file, tensors, state != NULL ? state : &unused));
    dpo_h5_close(&file);
    return status;
}

static dpo_status describe(const dpo_h5_file *file, dpo_json **config, char **model_folder)
{
    const char *where = dpo_h5_path(file);
    const char *text;
    const char *folder;
    dpo_json *state;

    DPO_TRY(dpo_h5_get_text(file, "state", &text));
    DPO_TRY(dpo_json_parse(where, text, (int64_t)strlen(text), DPO_JSON_STRICT, &state));
    dpo_status status = dpo_json_get_text(state, where, "model_folder", &folder);

    if (status == DPO_OK && model_folder != NULL) status = dpo_text_copy(folder, model_folder);
    dpo_json_destroy(&state);
    DPO_TRY(status);
    if (config == NULL) return DPO_OK;
    DPO_TRY(dpo_h5_get_text(file, "config", &text));
    return dpo_json_parse(where, text, (int64_t)strlen(text), DPO_JSON_STRICT, config);
}

dpo_status dpo_checkpoint_describe(const dpo_grid *grid, const char *path, dpo_json **config,
                                   char **model_folder)
{
    dpo_h5_file *file;

    if (config != NULL) *config = NULL;
    if (model_folder != NULL) *model_folder = NULL;
    DPO_TRY(open_checkpoint(grid, path, &file));
    dpo_status status = dpo_agree(grid, describe(file, config, model_folder));

    dpo_h5_close(&file);
    if (status != DPO_OK && config != NULL) dpo_json_destroy(config);
    if (status != DPO_OK && model_folder != NULL) {
        dpo_free(*model_folder);
        *model_folder = NULL;
    }
    return status;
}

/* The i-th of texts that lie one behind the other, each with its zero. */
static const char *text_at(const dpo_buffer *texts, int64_t i)
{
    const char *text = dpo_buffer_text(texts);

    while (i-- > 0)
        text += strlen(text) + 1;
    return text;
}

/* Rank 0 lists, so that all ranks see the same folder. */
static dpo_status list_checkpoints(const dpo_grid *grid, const char *folder, dpo_buffer *names,
                                   int64_t *n_names)
{
    dpo_status status = DPO_OK;

    *n_names = 0;
    if (dpo_grid_rank(grid, DPO_WORLD) == 0)
        status = dpo_folder_list(folder, "step-", ".h5", names, n_names);
    DPO_TRY(dpo_agree(grid, status));
    int64_t n_bytes = names->size_bytes;

    dpo_broadcast(grid, DPO_WORLD, 0, sizeof *n_names, n_names);
    dpo_broadcast(grid, DPO_WORLD, 0, sizeof n_bytes, &n_bytes);
    if (dpo_grid_rank(grid, DPO_WORLD) != 0) status = dpo_buffer_append(names, NULL, n_bytes);
    DPO_TRY(dpo_agree(grid, status));
    dpo_broadcast(grid, DPO_WORLD, 0, n_bytes, names->data);
    return DPO_OK;
}

static dpo_status join(const char *folder, const char *name, char **path)
{
    int64_t n_bytes = (int64_t)(strlen(folder) + strlen(name)) + 2;

    DPO_TRY(DPO_NEW(*path, n_bytes));
    (void)snprintf(*path, (size_t)n_bytes, "%s/%s", folder, name);
    return DPO_OK;
}

dpo_status dpo_checkpoint_newest(const dpo_grid *grid, const char *folder, char **path)
{
    dpo_buffer names = {0};
    int64_t n_names;
    dpo_status status = list_checkpoints(grid, folder, &names, &n_names);

    *path = NULL;
    if (status == DPO_OK && n_names > 0)
        status = dpo_agree(grid, join(folder, text_at(&names, n_names - 1), path));
    dpo_buffer_destroy(&names);
    return status;
}

dpo_status dpo_checkpoint_prune(const dpo_grid *grid, const char *folder, int64_t n_keep)
{
    dpo_buffer names = {0};
    int64_t n_names;
    dpo_status status = list_checkpoints(grid, folder, &names, &n_names);

    for (int64_t i = 0; status == DPO_OK && i < n_names - n_keep; i++) {
        char *path = NULL;

        if (dpo_grid_rank(grid, DPO_WORLD) == 0) {
            status = join(folder, text_at(&names, i), &path);
            if (status == DPO_OK) (void)unlink(path);
            dpo_free(path);
        }
        status = dpo_agree(grid, status);
    }
    dpo_buffer_destroy(&names);
    return status;
}
