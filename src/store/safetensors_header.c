// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/safetensors_header.h"

#include <stdlib.h>
#include <string.h>

#include "dpo/base/json.h"
#include "dpo/base/memory.h"

/* The format's own limit, and the largest whole number that JSON keeps exact. */
static const int64_t max_header_bytes = 100000000;
static const int64_t max_number = (int64_t)1 << 53;

static const char again[] = "the file is damaged, download or export it again";

static const struct {
    const char *name;
    int64_t bytes;
} types[] = {
#define DPO_TENSOR_TYPE_ROW(name, bytes) {#name, bytes},
    DPO_TENSOR_TYPE_LIST(DPO_TENSOR_TYPE_ROW)
#undef DPO_TENSOR_TYPE_ROW
};

int64_t dpo_tensor_type_bytes(dpo_tensor_type type)
{
    return types[type].bytes;
}

const char *dpo_tensor_type_name(dpo_tensor_type type)
{
    return types[type].name;
}

int64_t dpo_tensor_elements(const dpo_tensor *tensor)
{
    int64_t n = 1;

    for (int i = 0; i < tensor->n_dims; i++)
        n *= tensor->dims[i];
    return n;
}

dpo_status dpo_safetensors_header_length(const char *source, const void *bytes, int64_t file_bytes,
                                         int64_t *n_bytes)
{
    uint64_t length = 0;

    *n_bytes = 0;
    if (file_bytes < DPO_SAFETENSORS_LENGTH_BYTES)
        return DPO_FAIL(DPO_EDATA, "%s: has %lld bytes, too few for a safetensors file: %s", source,
                        (long long)file_bytes, again);
    for (int i = DPO_SAFETENSORS_LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | ((const unsigned char *)bytes)[i];
    if (length > (uint64_t)max_header_bytes)
        return DPO_FAIL(DPO_EDATA,
                        "%s: claims a header of %llu bytes (at most %lld are allowed): it is no "
                        "safetensors file",
                        source, (unsigned long long)length, (long long)max_header_bytes);
    if ((int64_t)length > file_bytes - DPO_SAFETENSORS_LENGTH_BYTES)
        return DPO_FAIL(
            DPO_EDATA,
            "%s: truncated within its header: it has %lld bytes, expected at least %lld; "
            "download or export it again",
            source, (long long)file_bytes, (long long)length + DPO_SAFETENSORS_LENGTH_BYTES);
    *n_bytes = (int64_t)length + DPO_SAFETENSORS_LENGTH_BYTES;
    return DPO_OK;
}

static dpo_status read_type(const dpo_json *object, const char *where, dpo_tensor *tensor)
{
    const char *name;

    DPO_TRY(dpo_json_get_text(object, where, "dtype", &name));
    for (int t = 0; t < DPO_TENSOR_N_TYPES; t++) {
        if (strcmp(types[t].name, name) != 0) continue;
        tensor->type = (dpo_tensor_type)t;
        return DPO_OK;
    }
    return DPO_FAIL(DPO_EDATA,
                    "%s: type \"%s\" is not known; save the model in bfloat16, float16 or float32",
                    where, name);
}

/* At most max whole numbers of an array. */
static dpo_status read_numbers(const dpo_json *object, const char *where, const char *key, int max,
                               int64_t *numbers, int *n)
{
    const dpo_json *array;

    *n = 0;
    DPO_TRY(dpo_json_get(object, where, key, DPO_JSON_ARRAY, &array));
    for (const dpo_json *item = dpo_json_first(array); item != NULL; item = dpo_json_next(item)) {
        double number = dpo_json_type_of(item) == DPO_JSON_NUMBER ? dpo_json_number(item) : -1.0;

        if (!(number >= 0.0 && number <= (double)max_number) || (double)(int64_t)number != number)
            return DPO_FAIL(DPO_EDATA, "%s: \"%s\" has an item that is no whole number: %s", where,
                            key, again);
        if (*n == max)
            return DPO_FAIL(DPO_EDATA,
                            "%s: \"%s\" has more than %d items: it is not a model for "
                            "this program",
                            where, key, max);
        numbers[(*n)++] = (int64_t)number;
    }
    return DPO_OK;
}

/* Bytes of a shape that may claim anything; -1 if they are beyond all reason. */
static int64_t shape_bytes(const dpo_tensor *tensor)
{
    int64_t n = dpo_tensor_type_bytes(tensor->type);

    for (int i = 0; i < tensor->n_dims; i++)
        if (tensor->dims[i] == 0) return 0;
    for (int i = 0; i < tensor->n_dims; i++) {
        if (tensor->dims[i] > max_number / n) return -1;
        n *= tensor->dims[i];
    }
    return n;
}

static dpo_status read_tensor(const dpo_json *member, const char *source, int64_t data_begin,
                              dpo_tensor_place *place)
{
    char where[512];
    int64_t offsets[2];
    int n_offsets;

    (void)snprintf(where, sizeof where, "%s: tensor \"%s\"", source, dpo_json_key(member));
    if (dpo_json_type_of(member) != DPO_JSON_OBJECT)
        return DPO_FAIL(DPO_EDATA, "%s is %s, expected an object: %s", where,
                        dpo_json_type_name(dpo_json_type_of(member)), again);
    DPO_TRY(read_type(member, where, &place->tensor));
    DPO_TRY(read_numbers(member, where, "shape", DPO_TENSOR_MAX_DIMS, place->tensor.dims,
                         &place->tensor.n_dims));
    DPO_TRY(read_numbers(member, where, "data_offsets", 2, offsets, &n_offsets));
    if (n_offsets != 2 || offsets[1] - offsets[0] != shape_bytes(&place->tensor))
        return DPO_FAIL(DPO_EDATA,
                        "%s: its shape and type need %lld bytes, its offsets give %lld: %s", where,
                        (long long)shape_bytes(&place->tensor),
                        (long long)(n_offsets == 2 ? offsets[1] - offsets[0] : 0), again);
    place->offset = data_begin + offsets[0];
    place->n_bytes = offsets[1] - offsets[0];
    return DPO_OK;
}

/* Empty tensors come before others at the same place, so that they leave no gap. */
static int by_offset(const void *a, const void *b)
{
    const dpo_tensor_place *p = a;
    const dpo_tensor_place *q = b;

    if (p->offset != q->offset) return p->offset < q->offset ? -1 : 1;
    return (p->n_bytes > q->n_bytes) - (p->n_bytes < q->n_bytes);
}

/* places is put into the order of the data. */
static dpo_status check_cover(const char *source, const dpo_buffer *names, int64_t n,
                              dpo_tensor_place *places, int64_t data_begin, int64_t file_bytes)
{
    int64_t end = data_begin;

    if (n > 0) qsort(places, (size_t)n, sizeof *places, by_offset);
    for (int64_t i = 0; i < n; i++) {
        if (places[i].offset != end)
            return DPO_FAIL(
                DPO_EDATA,
                "%s: tensor \"%s\" begins at byte %lld of the data, expected %lld (%s): %s", source,
                dpo_buffer_text(names) + places[i].name_at,
                (long long)(places[i].offset - data_begin), (long long)(end - data_begin),
                places[i].offset < end ? "tensors overlap" : "there is a hole", again);
        end += places[i].n_bytes;
    }
    if (end > file_bytes)
        return DPO_FAIL(
            DPO_EDATA,
            "%s: truncated: it has %lld bytes, expected %lld; download or export it again", source,
            (long long)file_bytes, (long long)end);
    if (end < file_bytes)
        return DPO_FAIL(DPO_EDATA, "%s: has %lld bytes behind the last tensor: %s", source,
                        (long long)(file_bytes - end), again);
    return DPO_OK;
}

static dpo_status read_members(const dpo_json *root, const char *source, int64_t data_begin,
                               int64_t shard, dpo_buffer *names, dpo_buffer *places)
{
    if (dpo_json_type_of(root) != DPO_JSON_OBJECT)
        return DPO_FAIL(DPO_EDATA, "%s: its header is %s, expected an object: %s", source,
                        dpo_json_type_name(dpo_json_type_of(root)), again);
    for (const dpo_json *m = dpo_json_first(root); m != NULL; m = dpo_json_next(m)) {
        dpo_tensor_place place = {0};
        const char *name = dpo_json_key(m);

        if (strcmp(name, "__metadata__") == 0) continue;
        DPO_TRY(read_tensor(m, source, data_begin, &place));
        place.shard = shard;
        place.name_at = names->size_bytes;
        DPO_TRY(dpo_buffer_append(names, name, (int64_t)strlen(name) + 1));
        DPO_TRY(dpo_buffer_append(places, &place, sizeof place));
    }
    return DPO_OK;
}

dpo_status dpo_safetensors_header_parse(const char *source, const void *bytes, int64_t file_bytes,
                                        int64_t shard, dpo_buffer *names, dpo_buffer *places)
{
    int64_t data_begin;
    int64_t old_bytes = places->size_bytes;
    dpo_json *root;

    DPO_TRY(dpo_safetensors_header_length(source, bytes, file_bytes, &data_begin));
    DPO_TRY(dpo_json_parse(source, (const char *)bytes + DPO_SAFETENSORS_LENGTH_BYTES,
                           data_begin - DPO_SAFETENSORS_LENGTH_BYTES, DPO_JSON_STRICT, &root));
    dpo_status status = read_members(root, source, data_begin, shard, names, places);

    dpo_json_destroy(&root);
    if (status != DPO_OK) return status;
    int64_t n = (places->size_bytes - old_bytes) / (int64_t)sizeof(dpo_tensor_place);

    if (n == 0) return check_cover(source, names, 0, NULL, data_begin, file_bytes);
    return check_cover(source, names, n,
                       (dpo_tensor_place *)places->data +
                           old_bytes / (int64_t)sizeof(dpo_tensor_place),
                       data_begin, file_bytes);
}
