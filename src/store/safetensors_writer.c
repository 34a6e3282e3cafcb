// SPDX-License-Identifier: Apache-2.0

/*
 * Every rank works out the same plan: which tensor lies in which file at which byte. World rank 0
 * makes the files with their headers, then all ranks write.
 */

#include <fcntl.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dpo/base/float16.h"
#include "dpo/base/memory.h"
#include "dpo/store/publish.h"
#include "raw.h"
#include "safetensors_plan.h"

static const int64_t default_shard_bytes = 5000000000;

/* Deals the tensors to shards in their order, as transformers does. */
static int64_t deal_to_shards(dpo_safetensors_writer *w, int64_t shard_bytes)
{
    int64_t filled = 0;
    int64_t number = 0;

    for (int64_t i = 0; i < w->n_tensors; i++) {
        if (filled > 0 && filled + w->places[i].n_bytes > shard_bytes) {
            number++;
            filled = 0;
        }
        w->places[i].shard = number;
        filled += w->places[i].n_bytes;
    }
    return number + 1;
}

static void place_tensors(dpo_safetensors_writer *w)
{
    for (int64_t item_bytes = 8; item_bytes >= 1; item_bytes /= 2)
        for (int64_t i = 0; i < w->n_tensors; i++) {
            dpo_tensor_place *place = &w->places[i];
            dpo_new_shard *s = &w->shards[place->shard];

            if (dpo_tensor_type_bytes(place->tensor.type) != item_bytes) continue;
            place->offset = s->n_bytes;
            s->n_bytes += place->n_bytes;
        }
}

static dpo_status copy_tensors(dpo_safetensors_writer *w, const dpo_tensor *tensors)
{
    for (int64_t i = 0; i < w->n_tensors; i++) {
        dpo_tensor_place *place = &w->places[i];

        place->tensor = tensors[i];
        place->n_bytes = dpo_tensor_elements(&tensors[i]) * dpo_tensor_type_bytes(tensors[i].type);
        place->name_at = w->names.size_bytes;
        DPO_TRY(
            dpo_buffer_append(&w->names, tensors[i].name, (int64_t)strlen(tensors[i].name) + 1));
    }
    for (int64_t i = 0; i < w->n_tensors; i++)
        w->places[i].tensor.name = dpo_buffer_text(&w->names) + w->places[i].name_at;
    return DPO_OK;
}

static dpo_status name_shards(dpo_safetensors_writer *w)
{
    dpo_buffer path = {0};
    dpo_status status = DPO_OK;

    for (int64_t i = 0; i < w->n_shards && status == DPO_OK; i++) {
        dpo_new_shard *s = &w->shards[i];

        dpo_buffer_clear(&path);
        if (w->n_shards == 1)
            status = dpo_buffer_printf(&path, "%s/model.safetensors", w->folder);
        else
            status = dpo_buffer_printf(&path, "%s/model-%05lld-of-%05lld.safetensors", w->folder,
                                       (long long)i + 1, (long long)w->n_shards);
        if (status == DPO_OK) status = dpo_text_copy(dpo_buffer_text(&path), &s->path);
        if (status == DPO_OK) s->name = s->path + strlen(w->folder) + 1;
    }
    dpo_buffer_destroy(&path);
    return status;
}

static dpo_status plan_shards(const dpo_grid *grid, const char *folder, int64_t n_tensors,
                              const dpo_tensor *tensors, int64_t shard_bytes,
                              dpo_safetensors_writer **writer)
{
    DPO_TRY(DPO_NEW(*writer, 1));
    dpo_safetensors_writer *w = *writer;

    w->is_root = dpo_grid_rank(grid, DPO_WORLD) == 0;
    w->n_tensors = n_tensors;
    DPO_TRY(dpo_text_copy(folder, &w->folder));
    DPO_TRY(DPO_NEW(w->places, n_tensors));
    DPO_TRY(copy_tensors(w, tensors));
    int64_t n_shards = deal_to_shards(w, shard_bytes > 0 ? shard_bytes : default_shard_bytes);

    DPO_TRY(DPO_NEW(w->shards, n_shards));
    w->n_shards = n_shards;
    for (int64_t i = 0; i < n_shards; i++)
        w->shards[i].fd = -1;
    place_tensors(w);
    return name_shards(w);
}

/* Moves the tensors of a shard behind its header. */
static void move_behind_header(dpo_safetensors_writer *w, int64_t number, int64_t header_bytes)
{
    w->shards[number].n_bytes += header_bytes;
    for (int64_t i = 0; i < w->n_tensors; i++)
        if (w->places[i].shard == number) w->places[i].offset += header_bytes;
}

static dpo_status begin_shard(dpo_safetensors_writer *w, int64_t number)
{
    dpo_new_shard *s = &w->shards[number];
    dpo_buffer header = {0};
    dpo_status status = dpo_safetensors_make_header(w, number, &header);

    if (status == DPO_OK) move_behind_header(w, number, header.size_bytes);
    if (status == DPO_OK && w->is_root) {
        status = dpo_raw_create(s->temporary, s->path, &s->fd);
        if (status == DPO_OK) status = dpo_raw_take_space(s->fd, s->path, s->n_bytes);
        if (status == DPO_OK)
            status = dpo_raw_write(s->fd, s->path, 0, header.size_bytes, header.data);
    }
    dpo_buffer_destroy(&header);
    return status;
}

static dpo_status begin_shards(const dpo_grid *grid, dpo_status local, dpo_safetensors_writer *w)
{
    DPO_TRY(dpo_agree(grid, local));
    DPO_ASSERT(w != NULL);
    for (int64_t i = 0; i < w->n_shards; i++)
        DPO_TRY(dpo_raw_temporary(grid, w->shards[i].path, &w->shards[i].temporary));
    for (int64_t i = 0; i < w->n_shards && local == DPO_OK; i++)
        local = begin_shard(w, i);
    DPO_TRY(dpo_agree(grid, local));
    for (int64_t i = 0; i < w->n_shards && local == DPO_OK && !w->is_root; i++)
        local = dpo_raw_open(w->shards[i].temporary, w->shards[i].path, O_WRONLY, &w->shards[i].fd);
    return dpo_agree(grid, local);
}

dpo_status dpo_safetensors_create(const dpo_grid *grid, const char *folder, int64_t n_tensors,
                                  const dpo_tensor *tensors, int64_t shard_bytes,
                                  dpo_safetensors_writer **writer)
{
    DPO_ASSERT(n_tensors > 0);
    dpo_status status = plan_shards(grid, folder, n_tensors, tensors, shard_bytes, writer);

    status = begin_shards(grid, status, *writer);
    if (status != DPO_OK) dpo_safetensors_discard(writer);
    return status;
}

static void to_f32(const float *values, int64_t n, void *items)
{
    memcpy(items, values, (size_t)n * sizeof *values);
}

static void to_bf16(const float *values, int64_t n, void *items)
{
    for (int64_t i = 0; i < n; i++)
        ((uint16_t *)items)[i] = dpo_bf16_from_f32(values[i]);
}

static void to_f16(const float *values, int64_t n, void *items)
{
    for (int64_t i = 0; i < n; i++)
        ((uint16_t *)items)[i] = dpo_f16_from_f32(values[i]);
}

dpo_status dpo_safetensors_write(dpo_safetensors_writer *writer, int64_t tensor, int64_t begin,
                                 int64_t count, const float *values)
{
    enum { PIECE_BYTES = 1 << 16 };
    static void (*const convert[DPO_TENSOR_N_TYPES])(const float *, int64_t, void *) = {
        [DPO_TENSOR_F32] = to_f32, [DPO_TENSOR_BF16] = to_bf16, [DPO_TENSOR_F16] = to_f16};
    alignas(64) char piece[PIECE_BYTES];

    DPO_ASSERT(tensor >= 0 && tensor < writer->n_tensors);
    const dpo_tensor_place *place = &writer->places[tensor];
    const dpo_new_shard *s = &writer->shards[place->shard];
    int64_t item_bytes = dpo_tensor_type_bytes(place->tensor.type);
    int64_t n = dpo_tensor_elements(&place->tensor);

    DPO_ASSERT(convert[place->tensor.type] != NULL);
    DPO_ASSERT(begin >= 0 && count >= 0 && begin <= n && count <= n - begin);
    for (int64_t at = 0; at < count; at += PIECE_BYTES / item_bytes) {
        int64_t part =
            count - at < PIECE_BYTES / item_bytes ? count - at : PIECE_BYTES / item_bytes;

        convert[place->tensor.type](values + at, part, piece);
        DPO_TRY(dpo_raw_write(s->fd, s->path, place->offset + (begin + at) * item_bytes,
                              part * item_bytes, piece));
    }
    return DPO_OK;
}

static dpo_status publish_index(const dpo_safetensors_writer *w, const char *path)
{
    dpo_buffer text = {0};
    dpo_status status = dpo_safetensors_make_index(w, &text);

    if (status == DPO_OK) status = dpo_file_publish(path, text.data, text.size_bytes);
    dpo_buffer_destroy(&text);
    return status;
}

static bool is_ours(const dpo_safetensors_writer *w, const char *name)
{
    for (int64_t i = 0; i < w->n_shards; i++)
        if (strcmp(w->shards[i].name, name) == 0) return true;
    return false;
}

/* Shards of an earlier, differently cut model; nothing names them any more. */
static dpo_status remove_old_shards(const dpo_safetensors_writer *w)
{
    dpo_buffer names = {0};
    dpo_buffer path = {0};
    int64_t n;
    dpo_status status = dpo_folder_list(w->folder, "model-", ".safetensors", &names, &n);
    const char *name = dpo_buffer_text(&names);

    for (int64_t i = 0; i < n && status == DPO_OK; i++, name += strlen(name) + 1) {
        if (is_ours(w, name)) continue;
        dpo_buffer_clear(&path);
        status = dpo_buffer_printf(&path, "%s/%s", w->folder, name);
        if (status == DPO_OK) (void)unlink(dpo_buffer_text(&path));
    }
    dpo_buffer_destroy(&path);
    dpo_buffer_destroy(&names);
    return status;
}

/*
 * One file takes its name in one step. Several cannot: the old index and the old single file go
 * first, and the new index comes last, so that at every moment the folder holds the old, nothing,
 * or the new weights.
 */
static dpo_status rename_shards(dpo_safetensors_writer *w, const char *single, const char *index)
{
    if (w->n_shards > 1) {
        (void)unlink(index);
        (void)unlink(single);
    }
    for (int64_t i = 0; i < w->n_shards; i++)
        DPO_TRY(dpo_raw_rename(w->shards[i].temporary, w->shards[i].path));
    if (w->n_shards > 1)
        DPO_TRY(publish_index(w, index));
    else
        (void)unlink(index);
    return remove_old_shards(w);
}

static dpo_status publish_as_root(dpo_safetensors_writer *w)
{
    dpo_buffer single = {0};
    dpo_buffer index = {0};
    dpo_status status = dpo_buffer_printf(&single, "%s/model.safetensors", w->folder);

    if (status == DPO_OK)
        status = dpo_buffer_printf(&index, "%s/model.safetensors.index.json", w->folder);
    if (status == DPO_OK)
        status = rename_shards(w, dpo_buffer_text(&single), dpo_buffer_text(&index));
    dpo_buffer_destroy(&single);
    dpo_buffer_destroy(&index);
    return status;
}

dpo_status dpo_safetensors_publish(const dpo_grid *grid, dpo_status local,
                                   dpo_safetensors_writer **writer)
{
    dpo_safetensors_writer *w = *writer;

    for (int64_t i = 0; i < w->n_shards && local == DPO_OK; i++)
        local = dpo_raw_flush(w->shards[i].fd, w->shards[i].path);
    dpo_status status = dpo_agree(grid, local);

    if (status == DPO_OK) status = dpo_agree(grid, w->is_root ? publish_as_root(w) : DPO_OK);
    dpo_safetensors_discard(writer);
    return status;
}

void dpo_safetensors_discard(dpo_safetensors_writer **writer)
{
    dpo_safetensors_writer *w = *writer;

    if (w == NULL) return;
    for (int64_t i = 0; i < w->n_shards; i++) {
        dpo_new_shard *s = &w->shards[i];

        dpo_raw_close(&s->fd);
        if (w->is_root && s->temporary != NULL) (void)unlink(s->temporary);
        dpo_free(s->temporary);
        dpo_free(s->path);
    }
    dpo_free(w->shards);
    dpo_free(w->places);
    dpo_buffer_destroy(&w->names);
    dpo_free(w->folder);
    dpo_free(w);
    *writer = NULL;
}
