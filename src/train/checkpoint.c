// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/checkpoint.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/store/h5file.h"
#include "dpo/store/publish.h"

/* The three tensors of a parameter, in the order of their datasets. */
static const char *const prefixes[] = {"weights/", "optimizer/m/", "optimizer/v/"};

enum { N_PREFIXES = 3, MAX_NAME = DPO_PARAMETER_NAME_BYTES + 16 };

typedef struct {
    char (*names)[MAX_NAME];  /* owned */
    dpo_h5_dataset *datasets; /* owned; parameter i of prefix p is number p * n_rows + i */
    int64_t n_datasets;
} tensor_table;

static void table_destroy(tensor_table *table)
{
    dpo_free(table->names);
    dpo_free(table->datasets);
    *table = (tensor_table){0};
}

static dpo_status table_create(const dpo_parameters *parameters, tensor_table *table)
{
    *table = (tensor_table){.n_datasets = N_PREFIXES * parameters->n_rows};
    DPO_TRY(DPO_NEW(table->names, table->n_datasets));
    DPO_TRY(DPO_NEW(table->datasets, table->n_datasets));
    for (int64_t d = 0; d < table->n_datasets; d++) {
        const dpo_parameter *row = &parameters->row[d % parameters->n_rows];

        (void)snprintf(table->names[d], MAX_NAME, "%s%s", prefixes[d / parameters->n_rows],
                       row->name);
        table->datasets[d] = (dpo_h5_dataset){.name = table->names[d],
                                              .type = DPO_H5_F32,
                                              .n_dims = row->n_dims,
                                              .dims = {row->dims[0], row->dims[1]}};
    }
    return DPO_OK;
}

static dpo_status put_digest(dpo_json *object, const char *key, dpo_digest digest)
{
    char hex[DPO_DIGEST_HEX_BYTES];

    dpo_digest_to_hex(digest, hex);
    return dpo_json_put_text(object, key, hex);
}

static dpo_status state_to_json(const dpo_checkpoint_state *state, const char *model_folder,
                                dpo_json *object)
{
    DPO_TRY(dpo_json_put_int(object, "step", state->step));
    DPO_TRY(dpo_json_put_int(object, "num_tokens", state->n_tokens));
    DPO_TRY(put_digest(object, "data", state->data_digest));
    DPO_TRY(put_digest(object, "model", state->model_digest));
    DPO_TRY(put_digest(object, "reference", state->reference_digest));
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
    return get_digest(object, where, "reference", &state->reference_digest);
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

/*
 * Weights are whole on every data-parallel rank, moments lie in slices. Each rank writes what falls into its
 * slice, of all three, so that the work is shared.
 */
static dpo_status write_slice(dpo_h5_file *file, const dpo_parameters *parameters, dpo_range slice,
                              const float *weights, dpo_adamw *adamw)
{
    const float *vectors[N_PREFIXES] = {weights + slice.begin, dpo_adamw_first_moment(adamw),
                                        dpo_adamw_second_moment(adamw)};

    for (int p = 0; p < N_PREFIXES; p++) {
        for (int64_t i = 0; i < parameters->n_rows; i++) {
            const dpo_parameter *row = &parameters->row[i];
            dpo_range part =
                dpo_range_intersect(slice, (dpo_range){row->offset, row->offset + row->count});

            if (dpo_range_length(part) > 0)
                DPO_TRY(dpo_h5_write(file, p * parameters->n_rows + i, part.begin - row->offset,
                                     dpo_range_length(part),
                                     vectors[p] + (part.begin - slice.begin)));
        }
    }
    return DPO_OK;
}

dpo_status dpo_checkpoint_save(const dpo_grid *grid, const char *path, const char *model_folder,
                               const dpo_json *config, const dpo_checkpoint_state *state,
                               dpo_model *model, dpo_range slice, dpo_adamw *adamw)
{
    const dpo_parameters *parameters = dpo_model_parameters(model);
    dpo_buffer state_text = {0};
    dpo_buffer config_text = {0};
    tensor_table table;
    dpo_h5_file *file = NULL;
    dpo_status status = table_create(parameters, &table);

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
    status = write_slice(file, parameters, slice, dpo_model_weights(model), adamw);
    status = dpo_h5_publish(grid, status, &file);
done:
    table_destroy(&table);
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

/* Reads the part of each tensor of one prefix that falls into a range of the flat vector. */
static dpo_status read_part(const dpo_h5_file *file, const char *prefix,
                            const dpo_parameters *parameters, dpo_range range, float *values)
{
    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *row = &parameters->row[i];
        dpo_range part =
            dpo_range_intersect(range, (dpo_range){row->offset, row->offset + row->count});
        char name[MAX_NAME];
        int64_t dataset;

        (void)snprintf(name, sizeof name, "%s%s", prefix, row->name);
        DPO_TRY(dpo_h5_get(file, name, DPO_H5_F32, row->count, &dataset));
        if (dpo_range_length(part) > 0)
            DPO_TRY(dpo_h5_read(file, dataset, part.begin - row->offset, dpo_range_length(part),
                                values + (part.begin - range.begin)));
    }
    return DPO_OK;
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

static dpo_status read_tensors(const dpo_h5_file *file, dpo_model *model, dpo_range slice,
                               dpo_adamw *adamw, dpo_checkpoint_state *state)
{
    const dpo_parameters *parameters = dpo_model_parameters(model);
    dpo_range whole = {0, parameters->n_elements};

    DPO_TRY(read_state(file, state));
    DPO_TRY(read_part(file, prefixes[0], parameters, whole, dpo_model_weights(model)));
    if (adamw == NULL) return DPO_OK;
    DPO_TRY(read_part(file, prefixes[1], parameters, slice, dpo_adamw_first_moment(adamw)));
    DPO_TRY(read_part(file, prefixes[2], parameters, slice, dpo_adamw_second_moment(adamw)));
    dpo_adamw_set_n_updates(adamw, state->step);
    return DPO_OK;
}

dpo_status dpo_checkpoint_load(const dpo_grid *grid, const char *path, dpo_model *model,
                               dpo_range slice, dpo_adamw *adamw, dpo_checkpoint_state *state)
{
    dpo_checkpoint_state unused;
    dpo_h5_file *file;

    DPO_TRY(open_checkpoint(grid, path, &file));
    dpo_status status = dpo_h5_verify(grid, file);

    if (status == DPO_OK)
        status = dpo_agree(
            grid, read_tensors(file, model, slice, adamw, state != NULL ? state : &unused));
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
