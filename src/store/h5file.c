// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/h5file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dpo/base/memory.h"
#include "h5_checksum.h"
#include "h5_file.h"
#include "raw.h"

static const char *const type_names[] = {
#define DPO_H5_NAME_ROW(name, bytes, native) #name,
    DPO_H5_TYPE_LIST(DPO_H5_NAME_ROW)
#undef DPO_H5_NAME_ROW
};

int64_t dpo_h5_count(const dpo_h5_file *file)
{
    return file->n_datasets;
}

const dpo_h5_dataset *dpo_h5_dataset_at(const dpo_h5_file *file, int64_t dataset)
{
    DPO_ASSERT(dataset >= 0 && dataset < file->n_datasets);
    return &file->datasets[dataset];
}

int64_t dpo_h5_elements(const dpo_h5_file *file, int64_t dataset)
{
    const dpo_h5_dataset *d = dpo_h5_dataset_at(file, dataset);

    return dpo_h5_bytes(d->type, d->n_dims, d->dims) / dpo_h5_type_bytes(d->type);
}

int64_t dpo_h5_find(const dpo_h5_file *file, const char *name)
{
    for (int64_t i = 0; i < file->n_datasets; i++)
        if (strcmp(file->datasets[i].name, name) == 0) return i;
    return -1;
}

dpo_status dpo_h5_get(const dpo_h5_file *file, const char *name, dpo_h5_type type, int64_t elements,
                      int64_t *dataset)
{
    int64_t found = dpo_h5_find(file, name);

    *dataset = -1;
    if (found < 0)
        return DPO_FAIL(DPO_EDATA, "%s: has no dataset \"%s\"; it is another kind of file",
                        file->path, name);
    if (file->datasets[found].type != type ||
        (elements >= 0 && dpo_h5_elements(file, found) != elements))
        return DPO_FAIL(DPO_EDATA,
                        "%s: dataset \"%s\" has %lld elements of type %s, expected %lld of %s; it "
                        "was made for another run",
                        file->path, name, (long long)dpo_h5_elements(file, found),
                        type_names[file->datasets[found].type],
                        (long long)(elements >= 0 ? elements : dpo_h5_elements(file, found)),
                        type_names[type]);
    *dataset = found;
    return DPO_OK;
}

const char *dpo_h5_text_of(const dpo_h5_file *file, const char *name)
{
    const char *at = dpo_buffer_text(&file->table.texts);
    const char *end = at + file->table.texts.size_bytes;

    while (at < end) {
        const char *text = at + strlen(at) + 1;

        if (strcmp(at, name) == 0) return text;
        at = text + strlen(text) + 1;
    }
    return NULL;
}

dpo_status dpo_h5_get_text(const dpo_h5_file *file, const char *name, const char **text)
{
    *text = dpo_h5_text_of(file, name);
    if (*text != NULL) return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s: has no text \"%s\"; it is another kind of file", file->path,
                    name);
}

const char *dpo_h5_path(const dpo_h5_file *file)
{
    return file->path;
}

bool dpo_h5_is_sealed(const dpo_h5_file *file)
{
    return file->kind == DPO_H5_SEALED;
}

/* Byte of an element in the file; asserts that the range is within the dataset. */
static int64_t place_of(const dpo_h5_file *file, int64_t dataset, int64_t begin, int64_t count)
{
    int64_t n = dpo_h5_elements(file, dataset);

    DPO_ASSERT(begin >= 0 && count >= 0 && begin <= n && count <= n - begin);
    return dpo_h5_offset(file, dataset) + begin * dpo_h5_type_bytes(file->datasets[dataset].type);
}

dpo_status dpo_h5_write(dpo_h5_file *file, int64_t dataset, int64_t begin, int64_t count,
                        const void *data)
{
    int64_t offset = place_of(file, dataset, begin, count);

    DPO_ASSERT(file->access == DPO_H5_WRITE);
    return dpo_raw_write(file->fd, file->path, offset,
                         count * dpo_h5_type_bytes(file->datasets[dataset].type), data);
}

dpo_status dpo_h5_read(const dpo_h5_file *file, int64_t dataset, int64_t begin, int64_t count,
                       void *data)
{
    int64_t offset = place_of(file, dataset, begin, count);

    return dpo_raw_read(file->fd, file->path, offset,
                        count * dpo_h5_type_bytes(file->datasets[dataset].type), data);
}

dpo_status dpo_h5_map(dpo_h5_file *file, int64_t dataset, const void **data)
{
    int64_t offset = place_of(file, dataset, 0, 0);

    *data = NULL;
    if (file->map == NULL) {
        DPO_TRY(dpo_raw_size(file->fd, file->path, &file->map_bytes));
        void *map = mmap(NULL, (size_t)file->map_bytes, PROT_READ, MAP_SHARED, file->fd, (off_t)0);

        if (map == MAP_FAILED)
            return dpo_raw_failed(file->path, "mapped into memory", errno, file->map_bytes);
        file->map = map;
    }
    *data = file->map + offset;
    return DPO_OK;
}

void dpo_h5_close(dpo_h5_file **file)
{
    dpo_h5_file *f = *file;

    if (f == NULL) return;
    if (f->map != NULL) (void)munmap(f->map, (size_t)f->map_bytes);
    dpo_raw_close(&f->fd);
    if (f->temporary != NULL && f->is_root) (void)unlink(f->temporary);
    dpo_buffer_destroy(&f->table.rows);
    dpo_buffer_destroy(&f->table.names);
    dpo_buffer_destroy(&f->table.texts);
    dpo_free(f->datasets);
    dpo_free(f->temporary);
    dpo_free(f->path);
    dpo_free(f);
    *file = NULL;
}

static dpo_status new_file(const dpo_grid *grid, const char *path, dpo_h5_access access,
                           dpo_h5_file **file)
{
    DPO_TRY(DPO_NEW(*file, 1));
    (*file)->fd = -1;
    (*file)->access = access;
    (*file)->is_root = dpo_grid_rank(grid, DPO_WORLD) == 0;
    return dpo_text_copy(path, &(*file)->path);
}

/* The datasets as the caller sees them, from the table; takes the checksums out of their number. */
static dpo_status list_datasets(dpo_h5_file *file)
{
    int64_t n = file->table.rows.size_bytes / (int64_t)sizeof(dpo_h5_row);
    const dpo_h5_row *rows = file->table.rows.data;
    const char *names = dpo_buffer_text(&file->table.names);
    bool is_sealed = n > 0 && strcmp(names + rows[n - 1].name_at, DPO_H5_CHECKSUMS) == 0;

    file->kind = is_sealed ? DPO_H5_SEALED : DPO_H5_FILLED;
    file->n_datasets = is_sealed ? n - 1 : n;
    DPO_TRY(DPO_NEW(file->datasets, n));
    for (int64_t i = 0; i < n; i++) {
        dpo_h5_dataset *d = &file->datasets[i];

        d->name = names + rows[i].name_at;
        d->type = (dpo_h5_type)rows[i].type;
        d->n_dims = rows[i].n_dims;
        memcpy(d->dims, rows[i].dims, sizeof d->dims);
    }
    return DPO_OK;
}

static const char *present_name(const dpo_h5_file *file)
{
    return file->temporary != NULL ? file->temporary : file->path;
}

/* Gives every rank what world rank 0 found out, and opens the file on all of them. */
static dpo_status join_file(const dpo_grid *grid, dpo_status local, dpo_h5_file *file)
{
    DPO_TRY(dpo_raw_share(grid, local, &file->table.rows));
    DPO_TRY(dpo_raw_share(grid, DPO_OK, &file->table.names));
    DPO_TRY(dpo_raw_share(grid, DPO_OK, &file->table.texts));
    local = list_datasets(file);
    if (local == DPO_OK)
        local = dpo_raw_open(present_name(file), file->path,
                             file->access == DPO_H5_WRITE ? O_RDWR : O_RDONLY, &file->fd);
    return dpo_agree(grid, local);
}

static dpo_status open_file(const dpo_grid *grid, dpo_status local, dpo_h5_file *file)
{
    DPO_TRY(dpo_agree(grid, local));
    DPO_ASSERT(file != NULL);
    if (file->is_root) local = dpo_h5_scan(file->path, &file->table);
    DPO_TRY(join_file(grid, local, file));
    if (file->access == DPO_H5_WRITE && file->kind == DPO_H5_SEALED)
        return DPO_FAIL(DPO_EUSAGE,
                        "%s: is sealed by checksums and cannot be changed; give another "
                        "path or delete it",
                        file->path);
    return DPO_OK;
}

dpo_status dpo_h5_open(const dpo_grid *grid, const char *path, dpo_h5_access access,
                       dpo_h5_file **file)
{
    dpo_status status = new_file(grid, path, access, file);

    status = open_file(grid, status, *file);
    if (status != DPO_OK) dpo_h5_close(file);
    return status;
}

static void check_layout(const dpo_h5_layout *layout)
{
    for (int64_t i = 0; i < layout->n_datasets; i++) {
        const dpo_h5_dataset *d = &layout->datasets[i];

        DPO_ASSERT(d->type < DPO_H5_N_TYPES);
        DPO_ASSERT(d->n_dims >= 0 && d->n_dims <= DPO_H5_MAX_DIMS);
        for (int k = 0; k < d->n_dims; k++)
            DPO_ASSERT(d->dims[k] >= 0);
    }
}

static dpo_status create_file(const dpo_grid *grid, dpo_status local, const dpo_h5_layout *layout,
                              dpo_h5_file *file)
{
    DPO_TRY(dpo_agree(grid, local));
    DPO_ASSERT(file != NULL);
    DPO_TRY(dpo_raw_temporary(grid, file->path, &file->temporary));
    if (file->is_root) local = dpo_h5_lay_out(file->temporary, file->path, layout, &file->table);
    return join_file(grid, local, file);
}

dpo_status dpo_h5_create(const dpo_grid *grid, const char *path, const dpo_h5_layout *layout,
                         dpo_h5_file **file)
{
    check_layout(layout);
    dpo_status status = new_file(grid, path, DPO_H5_WRITE, file);

    status = create_file(grid, status, layout, *file);
    if (status != DPO_OK) dpo_h5_close(file);
    return status;
}

/* A network file system shows a fresh descriptor what others have flushed, an old one maybe not. */
static dpo_status open_afresh(dpo_h5_file *file)
{
    int fd;

    DPO_TRY(dpo_raw_open(present_name(file), file->path, O_RDWR, &fd));
    dpo_raw_close(&file->fd);
    file->fd = fd;
    return DPO_OK;
}

dpo_status dpo_h5_sync(const dpo_grid *grid, dpo_status local, dpo_h5_file *file)
{
    if (local == DPO_OK) local = dpo_raw_flush(file->fd, file->path);
    DPO_TRY(dpo_agree(grid, local));
    return dpo_agree(grid, open_afresh(file));
}

/* The name moves to the file only when every rank's bytes are on the disk. */
static dpo_status publish(const dpo_grid *grid, dpo_status local, dpo_h5_file *file)
{
    DPO_TRY(dpo_h5_sync(grid, local, file));
    if (file->kind == DPO_H5_SEALED) {
        local = dpo_h5_seal(grid, file);
        DPO_TRY(dpo_h5_sync(grid, local, file));
    }
    if (file->is_root) local = dpo_raw_rename(file->temporary, file->path);
    return dpo_agree(grid, local);
}

dpo_status dpo_h5_publish(const dpo_grid *grid, dpo_status local, dpo_h5_file **file)
{
    dpo_status status = publish(grid, local, *file);

    dpo_h5_close(file);
    return status;
}
