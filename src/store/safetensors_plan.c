// SPDX-License-Identifier: Apache-2.0
#include "safetensors_plan.h"

#include "dpo/base/json.h"

static dpo_status put_range(dpo_json *object, int64_t begin, int64_t end)
{
    dpo_json *offsets;

    DPO_TRY(dpo_json_new_array(&offsets));
    dpo_status status = dpo_json_put_int(offsets, NULL, begin);

    if (status == DPO_OK) status = dpo_json_put_int(offsets, NULL, end);
    if (status == DPO_OK) status = dpo_json_put_node(object, "data_offsets", &offsets);
    dpo_json_destroy(&offsets);
    return status;
}

static dpo_status put_shape(dpo_json *object, const dpo_tensor *tensor)
{
    dpo_json *shape;
    dpo_status status = DPO_OK;

    DPO_TRY(dpo_json_new_array(&shape));
    for (int i = 0; i < tensor->n_dims && status == DPO_OK; i++)
        status = dpo_json_put_int(shape, NULL, tensor->dims[i]);
    if (status == DPO_OK) status = dpo_json_put_node(object, "shape", &shape);
    dpo_json_destroy(&shape);
    return status;
}

static dpo_status put_tensor(dpo_json *root, const dpo_tensor_place *place)
{
    dpo_json *object;

    DPO_TRY(dpo_json_new_object(&object));
    dpo_status status =
        dpo_json_put_text(object, "dtype", dpo_tensor_type_name(place->tensor.type));

    if (status == DPO_OK) status = put_shape(object, &place->tensor);
    if (status == DPO_OK) status = put_range(object, place->offset, place->offset + place->n_bytes);
    if (status == DPO_OK) status = dpo_json_put_node(root, place->tensor.name, &object);
    dpo_json_destroy(&object);
    return status;
}

/* transformers refuses a file that does not say for which library it was written. */
static dpo_status put_metadata(dpo_json *root)
{
    dpo_json *metadata;

    DPO_TRY(dpo_json_new_object(&metadata));
    dpo_status status = dpo_json_put_text(metadata, "format", "pt");

    if (status == DPO_OK) status = dpo_json_put_node(root, "__metadata__", &metadata);
    dpo_json_destroy(&metadata);
    return status;
}

/* Appends the header of one shard, filled up with blanks so that the data begin at a multiple of 8.
 * */
dpo_status dpo_safetensors_make_header(const dpo_safetensors_writer *w, int64_t number,
                                       dpo_buffer *header)
{
    dpo_json *root;
    unsigned char length[DPO_SAFETENSORS_LENGTH_BYTES] = {0};

    DPO_TRY(dpo_json_new_object(&root));
    dpo_status status = dpo_buffer_append(header, length, sizeof length);

    if (status == DPO_OK) status = put_metadata(root);
    for (int64_t i = 0; i < w->n_tensors && status == DPO_OK; i++)
        if (w->places[i].shard == number) status = put_tensor(root, &w->places[i]);
    if (status == DPO_OK) status = dpo_json_print(root, false, header);
    while (status == DPO_OK && header->size_bytes % 8 != 0)
        status = dpo_buffer_append_text(header, " ");
    dpo_json_destroy(&root);
    if (status != DPO_OK) return status;
    uint64_t n = (uint64_t)header->size_bytes - sizeof length;

    for (size_t i = 0; i < sizeof length; i++)
        ((unsigned char *)header->data)[i] = (unsigned char)(n >> (8 * i));
    return DPO_OK;
}

static dpo_status put_shard_names(const dpo_safetensors_writer *w, dpo_json *root)
{
    dpo_json *map;
    dpo_status status = DPO_OK;

    DPO_TRY(dpo_json_new_object(&map));
    for (int64_t i = 0; i < w->n_tensors && status == DPO_OK; i++)
        status =
            dpo_json_put_text(map, w->places[i].tensor.name, w->shards[w->places[i].shard].name);
    if (status == DPO_OK) status = dpo_json_put_node(root, "weight_map", &map);
    dpo_json_destroy(&map);
    return status;
}

static dpo_status put_total_size(const dpo_safetensors_writer *w, dpo_json *root)
{
    dpo_json *metadata;
    int64_t total = 0;

    for (int64_t i = 0; i < w->n_tensors; i++)
        total += w->places[i].n_bytes;
    DPO_TRY(dpo_json_new_object(&metadata));
    dpo_status status = dpo_json_put_int(metadata, "total_size", total);

    if (status == DPO_OK) status = dpo_json_put_node(root, "metadata", &metadata);
    dpo_json_destroy(&metadata);
    return status;
}

dpo_status dpo_safetensors_make_index(const dpo_safetensors_writer *w, dpo_buffer *text)
{
    dpo_json *root;

    DPO_TRY(dpo_json_new_object(&root));
    dpo_status status = put_total_size(w, root);

    if (status == DPO_OK) status = put_shard_names(w, root);
    if (status == DPO_OK) status = dpo_json_print(root, true, text);
    dpo_json_destroy(&root);
    return status;
}
