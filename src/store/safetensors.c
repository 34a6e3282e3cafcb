// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/safetensors.h"

#include <fcntl.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dpo/base/float16.h"
#include "dpo/base/json.h"
#include "dpo/base/memory.h"
#include "raw.h"
#include "safetensors_folder.h"

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

int64_t dpo_safetensors_count(const dpo_safetensors *weights)
{
    return dpo_safetensors_places(weights);
}

const dpo_tensor *dpo_safetensors_at(const dpo_safetensors *weights, int64_t tensor)
{
    return &dpo_safetensors_place_at(weights, tensor)->tensor;
}

int64_t dpo_safetensors_find(const dpo_safetensors *weights, const char *name)
{
    int64_t low = 0;
    int64_t high = dpo_safetensors_places(weights);

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(dpo_safetensors_at(weights, middle)->name, name);

        if (order == 0) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static dpo_status append_shape(dpo_buffer *text, int n_dims, const int64_t *dims)
{
    DPO_TRY(dpo_buffer_append_text(text, "["));
    for (int i = 0; i < n_dims; i++)
        DPO_TRY(dpo_buffer_printf(text, "%s%lld", i > 0 ? ", " : "", (long long)dims[i]));
    return dpo_buffer_append_text(text, "]");
}

static dpo_status wrong_shape(const dpo_safetensors *weights, const dpo_tensor *found, int n_dims,
                              const int64_t *dims)
{
    dpo_buffer text = {0};
    dpo_status status = append_shape(&text, found->n_dims, found->dims);

    if (status == DPO_OK) status = dpo_buffer_append_text(&text, ", expected ");
    if (status == DPO_OK) status = append_shape(&text, n_dims, dims);
    if (status == DPO_OK)
        status = DPO_FAIL(DPO_EDATA,
                          "%s: tensor \"%s\" has shape %s; config.json and the weights do not "
                          "belong together",
                          weights->folder, found->name, dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
    return status;
}

static bool is_float(dpo_tensor_type type)
{
    return type == DPO_TENSOR_F32 || type == DPO_TENSOR_BF16 || type == DPO_TENSOR_F16 ||
           type == DPO_TENSOR_F64;
}

static dpo_status check_float(const dpo_safetensors *weights, const dpo_tensor *tensor)
{
    if (is_float(tensor->type)) return DPO_OK;
    return DPO_FAIL(
        DPO_EDATA,
        "%s: tensor \"%s\" is of type %s, expected F32, BF16, F16 or F64; save the model "
        "without quantization",
        weights->folder, tensor->name, dpo_tensor_type_name(tensor->type));
}

dpo_status dpo_safetensors_get(const dpo_safetensors *weights, const char *name, int n_dims,
                               const int64_t *dims, int64_t *tensor)
{
    int64_t found = dpo_safetensors_find(weights, name);

    *tensor = -1;
    if (found < 0)
        return DPO_FAIL(DPO_EDATA,
                        "%s: has no tensor \"%s\", which config.json asks for; is it a model "
                        "of another family?",
                        weights->folder, name);
    const dpo_tensor *t = dpo_safetensors_at(weights, found);

    DPO_TRY(check_float(weights, t));
    if (t->n_dims != n_dims || memcmp(t->dims, dims, (size_t)n_dims * sizeof *dims) != 0)
        return wrong_shape(weights, t, n_dims, dims);
    *tensor = found;
    return DPO_OK;
}

static void from_f64(const void *items, int64_t n, float *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = (float)((const double *)items)[i];
}

static void from_bf16(const void *items, int64_t n, float *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = dpo_f32_from_bf16(((const uint16_t *)items)[i]);
}

static void from_f16(const void *items, int64_t n, float *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = dpo_f32_from_f16(((const uint16_t *)items)[i]);
}

/* Through a piece of memory that stays in cache: unlike a mapping, a failing disk is a status. */
dpo_status dpo_safetensors_read(const dpo_safetensors *weights, int64_t tensor, int64_t begin,
                                int64_t count, float *values)
{
    enum { PIECE_BYTES = 1 << 16 };
    static void (*const convert[DPO_TENSOR_N_TYPES])(const void *, int64_t, float *) = {
        [DPO_TENSOR_F64] = from_f64, [DPO_TENSOR_BF16] = from_bf16, [DPO_TENSOR_F16] = from_f16};
    alignas(64) char piece[PIECE_BYTES];
    const dpo_tensor_place *place = dpo_safetensors_place_at(weights, tensor);
    const dpo_safetensors_shard *s = &weights->shards[place->shard];
    int64_t item_bytes = dpo_tensor_type_bytes(place->tensor.type);
    int64_t n = dpo_tensor_elements(&place->tensor);
    int64_t offset = place->offset + begin * item_bytes;

    DPO_ASSERT(begin >= 0 && count >= 0 && begin <= n && count <= n - begin);
    DPO_TRY(check_float(weights, &place->tensor));
    if (place->tensor.type == DPO_TENSOR_F32)
        return dpo_raw_read(s->fd, s->path, offset, count * item_bytes, values);
    for (int64_t at = 0; at < count; at += PIECE_BYTES / item_bytes) {
        int64_t part =
            count - at < PIECE_BYTES / item_bytes ? count - at : PIECE_BYTES / item_bytes;

        DPO_TRY(dpo_raw_read(s->fd, s->path, offset + at * item_bytes, part * item_bytes, piece));
        convert[place->tensor.type](piece, part, values + at);
    }
    return DPO_OK;
}

static dpo_status read_header(const dpo_safetensors_shard *s, int64_t number,
                              dpo_safetensors *weights, dpo_buffer *header)
{
    unsigned char length[DPO_SAFETENSORS_LENGTH_BYTES] = {0};
    int64_t file_bytes;
    int64_t n_bytes;

    DPO_TRY(dpo_raw_size(s->fd, s->path, &file_bytes));
    DPO_TRY(dpo_raw_read(s->fd, s->path, 0, file_bytes < 8 ? file_bytes : 8, length));
    DPO_TRY(dpo_safetensors_header_length(s->path, length, file_bytes, &n_bytes));
    DPO_TRY(dpo_buffer_append(header, NULL, n_bytes));
    DPO_TRY(dpo_raw_read(s->fd, s->path, 0, n_bytes, header->data));
    return dpo_safetensors_header_parse(s->path, header->data, file_bytes, number, &weights->names,
                                        &weights->places);
}

static dpo_status add_shard(dpo_safetensors *weights, const char *name, int64_t *number)
{
    dpo_buffer path = {0};
    dpo_safetensors_shard *shards =
        dpo_memory_resize(weights->shards, weights->n_shards + 1, sizeof *shards);

    if (shards == NULL)
        return dpo_memory_failed(weights->n_shards + 1, sizeof *shards, __FILE__, __LINE__);
    weights->shards = shards;
    DPO_TRY(dpo_buffer_printf(&path, "%s/%s", weights->folder, name));
    *number = weights->n_shards++;
    shards[*number].fd = -1;
    dpo_status status = dpo_text_copy(dpo_buffer_text(&path), &shards[*number].path);

    dpo_buffer_destroy(&path);
    return status;
}

static dpo_status open_shards(dpo_safetensors *weights)
{
    dpo_status status = DPO_OK;

    for (int64_t i = 0; i < weights->n_shards && status == DPO_OK; i++) {
        dpo_safetensors_shard *s = &weights->shards[i];
        dpo_buffer header = {0};

        status = dpo_raw_open(s->path, s->path, O_RDONLY, &s->fd);
        if (status == DPO_OK) status = read_header(s, i, weights, &header);
        dpo_buffer_destroy(&header);
    }
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const dpo_tensor_place *)a)->tensor.name,
                  ((const dpo_tensor_place *)b)->tensor.name);
}

static dpo_status sort_places(dpo_safetensors *weights)
{
    dpo_tensor_place *places = weights->places.data;
    int64_t n = dpo_safetensors_places(weights);

    if (n == 0)
        return DPO_FAIL(DPO_EDATA, "%s: holds no tensor; is it a model folder?", weights->folder);
    for (int64_t i = 0; i < n; i++)
        places[i].tensor.name = dpo_buffer_text(&weights->names) + places[i].name_at;
    qsort(places, (size_t)n, sizeof *places, by_name);
    for (int64_t i = 1; i < n; i++)
        if (by_name(&places[i - 1], &places[i]) == 0)
            return DPO_FAIL(
                DPO_EDATA,
                "%s: tensor \"%s\" is there twice (again in %s); download or export the "
                "model again",
                weights->shards[places[i - 1].shard].path, places[i].tensor.name,
                weights->shards[places[i].shard].path);
    return DPO_OK;
}

/* Number of the shard of a name; a new one if it is not there yet. */
static dpo_status find_shard(dpo_safetensors *weights, const char *name, int64_t *number)
{
    for (int64_t i = weights->n_shards - 1; i >= 0; i--) {
        if (strcmp(strrchr(weights->shards[i].path, '/') + 1, name) != 0) continue;
        *number = i;
        return DPO_OK;
    }
    return add_shard(weights, name, number);
}

/* The shards an entry of the index names; a name never leads out of the folder. */
static dpo_status list_shards(dpo_safetensors *weights, const char *source, const dpo_json *map)
{
    int64_t number;

    for (const dpo_json *m = dpo_json_first(map); m != NULL; m = dpo_json_next(m)) {
        if (dpo_json_type_of(m) != DPO_JSON_TEXT || dpo_json_text(m)[0] == '\0' ||
            strchr(dpo_json_text(m), '/') != NULL)
            return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is not given the name of a file in the folder",
                            source, dpo_json_key(m));
        DPO_TRY(find_shard(weights, dpo_json_text(m), &number));
    }
    return DPO_OK;
}

static dpo_status check_index(dpo_safetensors *weights, const dpo_json *map)
{
    int64_t number;

    for (const dpo_json *m = dpo_json_first(map); m != NULL; m = dpo_json_next(m)) {
        int64_t tensor = dpo_safetensors_find(weights, dpo_json_key(m));

        DPO_TRY(find_shard(weights, dpo_json_text(m), &number));
        if (tensor < 0 || dpo_safetensors_place_at(weights, tensor)->shard != number)
            return DPO_FAIL(
                DPO_EDATA,
                "%s: tensor \"%s\" is missing from %s, where %s says it is; download or "
                "export the model again",
                weights->folder, dpo_json_key(m), dpo_json_text(m), index_name);
    }
    return DPO_OK;
}

static dpo_status open_with_index(dpo_safetensors *weights, const char *path)
{
    dpo_json *root;
    const dpo_json *map;

    DPO_TRY(dpo_json_read_file(path, DPO_JSON_STRICT, &root));
    dpo_status status = dpo_json_get(root, path, "weight_map", DPO_JSON_OBJECT, &map);

    if (status == DPO_OK) status = list_shards(weights, path, map);
    if (status == DPO_OK) status = open_shards(weights);
    if (status == DPO_OK) status = sort_places(weights);
    if (status == DPO_OK) status = check_index(weights, map);
    dpo_json_destroy(&root);
    return status;
}

static dpo_status exists_in(const char *folder, const char *name, dpo_buffer *path, bool *exists)
{
    dpo_buffer_clear(path);
    DPO_TRY(dpo_buffer_printf(path, "%s/%s", folder, name));
    *exists = access(dpo_buffer_text(path), F_OK) == 0;
    return DPO_OK;
}

static dpo_status nothing_to_open(const char *folder, dpo_buffer *path)
{
    bool exists = false;

    if (access(folder, F_OK) != 0)
        return DPO_FAIL(DPO_EIO, "%s: there is no such folder; give the path of a model folder",
                        folder);
    DPO_TRY(exists_in(folder, "pytorch_model.bin", path, &exists));
    if (exists)
        return DPO_FAIL(DPO_EIO,
                        "%s: holds pickled weights (pytorch_model.bin) only; save the model with "
                        "safe_serialization=True",
                        folder);
    return DPO_FAIL(DPO_EIO, "%s: holds neither %s nor %s; is it a model folder?", folder,
                    single_name, index_name);
}

static dpo_status open_single(dpo_safetensors *weights)
{
    int64_t number;

    DPO_TRY(add_shard(weights, single_name, &number));
    DPO_TRY(open_shards(weights));
    return sort_places(weights);
}

static dpo_status open_folder(const char *folder, dpo_safetensors **weights)
{
    dpo_buffer path = {0};
    bool exists = false;
    dpo_status status = DPO_NEW(*weights, 1);

    if (status == DPO_OK) status = dpo_text_copy(folder, &(*weights)->folder);
    if (status == DPO_OK) status = exists_in(folder, single_name, &path, &exists);
    if (status == DPO_OK && exists) {
        status = open_single(*weights);
    } else if (status == DPO_OK) {
        status = exists_in(folder, index_name, &path, &exists);
        if (status == DPO_OK)
            status = exists ? open_with_index(*weights, dpo_buffer_text(&path))
                            : nothing_to_open(folder, &path);
    }
    dpo_buffer_destroy(&path);
    return status;
}

dpo_status dpo_safetensors_open(const dpo_grid *grid, const char *folder, dpo_safetensors **weights)
{
    dpo_status status = dpo_agree(grid, open_folder(folder, weights));

    if (status != DPO_OK) dpo_safetensors_close(weights);
    return status;
}

void dpo_safetensors_close(dpo_safetensors **weights)
{
    dpo_safetensors *w = *weights;

    if (w == NULL) return;
    for (int64_t i = 0; i < w->n_shards; i++) {
        dpo_raw_close(&w->shards[i].fd);
        dpo_free(w->shards[i].path);
    }
    dpo_free(w->shards);
    dpo_buffer_destroy(&w->names);
    dpo_buffer_destroy(&w->places);
    dpo_free(w->folder);
    dpo_free(w);
    *weights = NULL;
}
