// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "h5_meta.h"
#include "h5_private.h"
#include "raw.h"

static const char advice[] = "it is no file of mpidpo; give another path or delete it";

/* What a visit of all links carries along. */
typedef struct {
    const char *path;
    int64_t file_bytes;
    dpo_h5_table *table;
    dpo_status status;
} visit;

static int64_t little_endian(const unsigned char *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return (int64_t)(value & INT64_MAX);
}

/*
 * The superblock says how long the file is: at byte 28 in versions 2 and 3, at 40 in version 0 and
 * at 44 in version 1 (HDF5 File Format Specification, II.A).
 */
static dpo_status check_superblock(int fd, const char *path, int64_t file_bytes)
{
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    static const int end_at[] = {40, 44, 28, 28};
    unsigned char block[64] = {0};

    DPO_TRY(dpo_raw_read(fd, path, 0, file_bytes < 64 ? file_bytes : 64, block));
    if (memcmp(block, signature, sizeof signature) != 0 || block[8] > 3)
        return DPO_FAIL(DPO_EDATA, "%s: does not begin as an HDF5 file does: %s", path, advice);
    int64_t expected = little_endian(block + end_at[block[8]]);

    if (file_bytes < expected)
        return DPO_FAIL(DPO_EDATA,
                        "%s: truncated: it has %lld bytes, expected %lld; delete it and make it "
                        "anew, or copy it again",
                        path, (long long)file_bytes, (long long)expected);
    return DPO_OK;
}

static dpo_status check_bytes(const char *path, int64_t *file_bytes)
{
    int fd;

    DPO_TRY(dpo_raw_open(path, path, O_RDONLY, &fd));
    dpo_status status = dpo_raw_size(fd, path, file_bytes);

    if (status == DPO_OK) status = check_superblock(fd, path, *file_bytes);
    dpo_raw_close(&fd);
    return status;
}

static int32_t type_of(hid_t dataset)
{
    hid_t type = H5Dget_type(dataset);
    int32_t found = 0;

    while (found < DPO_H5_N_TYPES && H5Tequal(type, dpo_h5_native((dpo_h5_type)found)) <= 0)
        found++;
    if (type >= 0) (void)H5Tclose(type);
    return found;
}

static bool is_contiguous(hid_t dataset)
{
    hid_t creation = H5Dget_create_plist(dataset);
    bool yes = H5Pget_layout(creation) == H5D_CONTIGUOUS && H5Pget_external_count(creation) == 0;

    if (creation >= 0) (void)H5Pclose(creation);
    return yes;
}

static bool get_dims(hid_t dataset, dpo_h5_row *row)
{
    hsize_t dims[DPO_H5_MAX_DIMS] = {0};
    hid_t space = H5Dget_space(dataset);
    int n_dims = H5Sget_simple_extent_ndims(space);
    bool fits =
        n_dims >= 0 && n_dims <= DPO_H5_MAX_DIMS && H5Sget_simple_extent_type(space) != H5S_NULL;

    if (fits) (void)H5Sget_simple_extent_dims(space, dims, NULL);
    row->n_dims = (int32_t)n_dims;
    for (int i = 0; fits && i < n_dims; i++) {
        fits = dims[i] <= (hsize_t)INT64_MAX;
        row->dims[i] = (int64_t)dims[i];
    }
    if (space >= 0) (void)H5Sclose(space);
    return fits;
}

/* Whether the bytes of a row lie within the file and are aligned; a row may claim any sizes. */
static bool lies_inside(const dpo_h5_row *row, int64_t file_bytes)
{
    int64_t item_bytes = dpo_h5_type_bytes((dpo_h5_type)row->type);
    int64_t elements = 1;

    for (int i = 0; i < row->n_dims; i++)
        if (row->dims[i] == 0) return true;
    for (int i = 0; i < row->n_dims; i++) {
        if (row->dims[i] > file_bytes / elements) return false;
        elements *= row->dims[i];
    }
    return row->offset > 0 && row->offset <= file_bytes && row->offset % item_bytes == 0 &&
           elements <= (file_bytes - row->offset) / item_bytes;
}

static dpo_status add_row(visit *v, hid_t dataset, const char *name)
{
    dpo_h5_row row = {0};

    row.type = type_of(dataset);
    if (row.type == DPO_H5_N_TYPES || !is_contiguous(dataset) || !get_dims(dataset, &row))
        return DPO_FAIL(DPO_EDATA,
                        "%s: dataset \"%s\" is not a contiguous array of u8, i32, i64, u64, f32 or "
                        "f64: %s",
                        v->path, name, advice);
    row.offset = (int64_t)H5Dget_offset(dataset);
    if (H5Dget_storage_size(dataset) == 0 && row.offset < 0) row.offset = 0;
    if (!lies_inside(&row, v->file_bytes))
        return DPO_FAIL(DPO_EDATA,
                        "%s: dataset \"%s\" does not lie within the %lld bytes of the file; delete "
                        "it and make it anew, or copy it again",
                        v->path, name, (long long)v->file_bytes);
    row.name_at = v->table->names.size_bytes;
    DPO_TRY(dpo_buffer_append(&v->table->names, name, (int64_t)strlen(name) + 1));
    return dpo_buffer_append(&v->table->rows, &row, sizeof row);
}

/* Returns -1 to end the visit. */
static herr_t visit_link(hid_t file, const char *name, const H5L_info_t *info, void *data)
{
    visit *v = data;

    if (info->type != H5L_TYPE_HARD) return 0;
    hid_t id = H5Oopen(file, name, H5P_DEFAULT);

    if (id < 0) {
        v->status = dpo_h5_failed(DPO_EDATA, v->path, "damaged; make it anew or copy it again");
        return -1;
    }
    if (H5Iget_type(id) == H5I_DATASET) v->status = add_row(v, id, name);
    (void)H5Oclose(id);
    return v->status == DPO_OK ? 0 : -1;
}

static dpo_status append_text(visit *v, const char *name, const char *text)
{
    DPO_TRY(dpo_buffer_append(&v->table->texts, name, (int64_t)strlen(name) + 1));
    if (text == NULL) text = "";
    return dpo_buffer_append(&v->table->texts, text, (int64_t)strlen(text) + 1);
}

/* Attributes that are not single texts are somebody else's. */
static herr_t visit_attribute(hid_t file, const char *name, const H5A_info_t *info, void *data)
{
    visit *v = data;
    hid_t id = H5Aopen(file, name, H5P_DEFAULT);
    hid_t type = H5Aget_type(id);
    hid_t space = H5Aget_space(id);
    char *text = NULL;

    (void)info;
    if (H5Tis_variable_str(type) > 0 && H5Sget_simple_extent_type(space) == H5S_SCALAR) {
        if (H5Aread(id, type, &text) < 0)
            v->status = dpo_h5_failed(DPO_EDATA, v->path, "damaged; make it anew or copy it again");
        else
            v->status = append_text(v, name, text);
        if (text != NULL) (void)H5free_memory(text);
    }
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    (void)H5Aclose(id);
    return v->status == DPO_OK ? 0 : -1;
}

static void put_checksums_last(dpo_h5_table *table)
{
    int64_t n = table->rows.size_bytes / (int64_t)sizeof(dpo_h5_row);
    dpo_h5_row *rows = table->rows.data;

    for (int64_t i = 0; i + 1 < n; i++) {
        if (strcmp(dpo_buffer_text(&table->names) + rows[i].name_at, DPO_H5_CHECKSUMS) != 0)
            continue;
        dpo_h5_row checksums = rows[i];

        rows[i] = rows[n - 1];
        rows[n - 1] = checksums;
        return;
    }
}

static dpo_status scan_open_file(hid_t file, visit *v)
{
    hid_t creation = H5Fget_create_plist(file);
    hsize_t user_block = 0;
    hsize_t at = 0;

    (void)H5Pget_userblock(creation, &user_block);
    (void)H5Pclose(creation);
    if (user_block != 0) return DPO_FAIL(DPO_EDATA, "%s: has a user block: %s", v->path, advice);
    if (H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, visit_link, v) < 0 && v->status == DPO_OK)
        v->status = dpo_h5_failed(DPO_EDATA, v->path, "damaged; make it anew or copy it again");
    if (v->status == DPO_OK &&
        H5Aiterate2(file, H5_INDEX_NAME, H5_ITER_INC, &at, visit_attribute, v) < 0 &&
        v->status == DPO_OK)
        v->status = dpo_h5_failed(DPO_EDATA, v->path, "damaged; make it anew or copy it again");
    put_checksums_last(v->table);
    return v->status;
}

dpo_status dpo_h5_scan(const char *path, dpo_h5_table *table)
{
    visit v = {path, 0, table, DPO_OK};

    DPO_TRY(check_bytes(path, &v.file_bytes));
    hid_t access = dpo_h5_file_access();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, access);

    (void)H5Pclose(access);
    if (file < 0)
        return dpo_h5_failed(DPO_EDATA, path,
                             "damaged; delete it and make it anew, or copy it again");
    dpo_status status = scan_open_file(file, &v);

    (void)H5Fclose(file);
    return status;
}
