// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <string.h>

#include "h5_meta.h"
#include "h5_private.h"
#include "raw.h"

/* Cache lines; a mapped dataset is thereby aligned for its type. */
enum { ALIGNMENT_BYTES = 64 };

/* What HDF5 may need beside the elements: in any file, and for each dataset and text. */
enum { SLACK_BYTES = 1 << 18, RECORD_BYTES = 1 << 12 };

static const char checksums_note[] = "XXH3-128, low half, of each 4194304 bytes of each dataset, "
                                     "datasets in strcmp order of their names";

static int64_t pieces_of(const dpo_h5_layout *layout)
{
    int64_t n = 0;

    for (int64_t i = 0; i < layout->n_datasets; i++) {
        const dpo_h5_dataset *d = &layout->datasets[i];

        n += (dpo_h5_bytes(d->type, d->n_dims, d->dims) + DPO_H5_PIECE_BYTES - 1) /
             DPO_H5_PIECE_BYTES;
    }
    return n;
}

/* Bytes of a file of this layout, with more than HDF5's own records take. */
static int64_t space_for(const dpo_h5_layout *layout)
{
    int64_t n = SLACK_BYTES + 8 * pieces_of(layout);

    for (int64_t i = 0; i < layout->n_datasets; i++)
        n += RECORD_BYTES + dpo_h5_bytes(layout->datasets[i].type, layout->datasets[i].n_dims,
                                         layout->datasets[i].dims);
    for (int64_t i = 0; i < layout->n_texts; i++)
        n += RECORD_BYTES + 2 * (int64_t)strlen(layout->texts[i].text);
    return n;
}

/* The newest format that HDF5 1.8 reads: its metadata carry checksums. */
static hid_t new_file_access(void)
{
    hid_t access = dpo_h5_file_access();

    (void)H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
    (void)H5Pset_alignment(access, 1, ALIGNMENT_BYTES);
    (void)H5Pset_small_data_block_size(access, 0);
    return access;
}

static hid_t create_dataset(hid_t file, const dpo_h5_dataset *dataset)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    hsize_t dims[DPO_H5_MAX_DIMS];

    for (int i = 0; i < dataset->n_dims; i++)
        dims[i] = (hsize_t)dataset->dims[i];
    hid_t space = dataset->n_dims == 0 ? H5Screate(H5S_SCALAR)
                                       : H5Screate_simple(dataset->n_dims, dims, NULL);

    (void)H5Pset_create_intermediate_group(links, 1);
    (void)H5Pset_obj_track_times(creation, 0);
    (void)H5Pset_layout(creation, H5D_CONTIGUOUS);
    (void)H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
    (void)H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
    (void)H5Pset_obj_track_times(creation, 0); /* the same contents make the same file */
    hid_t id = H5Dcreate2(file, dataset->name, dpo_h5_native(dataset->type), space, links, creation,
                          H5P_DEFAULT);

    (void)H5Sclose(space);
    (void)H5Pclose(creation);
    (void)H5Pclose(links);
    return id;
}

static dpo_status add_dataset(hid_t file, const char *name, const dpo_h5_dataset *dataset,
                              dpo_h5_table *table)
{
    dpo_h5_row row = {0};
    hid_t id = create_dataset(file, dataset);

    if (id < 0) return dpo_h5_failed(DPO_EIO, name, "a dataset cannot be made");
    row.name_at = table->names.size_bytes;
    row.type = (int32_t)dataset->type;
    row.n_dims = (int32_t)dataset->n_dims;
    memcpy(row.dims, dataset->dims, sizeof row.dims);
    if (dpo_h5_bytes(dataset->type, dataset->n_dims, dataset->dims) > 0)
        row.offset = (int64_t)H5Dget_offset(id);
    (void)H5Dclose(id);
    DPO_TRY(dpo_buffer_append(&table->names, dataset->name, (int64_t)strlen(dataset->name) + 1));
    return dpo_buffer_append(&table->rows, &row, sizeof row);
}

static dpo_status add_text(hid_t file, const char *name, const dpo_h5_text *text,
                           dpo_h5_table *table)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate(H5S_SCALAR);

    (void)H5Tset_size(type, H5T_VARIABLE);
    (void)H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t id = H5Acreate2(file, text->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t code = id < 0 ? -1 : H5Awrite(id, type, &text->text);

    if (id >= 0) (void)H5Aclose(id);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    if (code < 0) return dpo_h5_failed(DPO_EIO, name, "a text cannot be written");
    DPO_TRY(dpo_buffer_append(&table->texts, text->name, (int64_t)strlen(text->name) + 1));
    return dpo_buffer_append(&table->texts, text->text, (int64_t)strlen(text->text) + 1);
}

static dpo_status add_checksums(hid_t file, const char *name, const dpo_h5_layout *layout,
                                dpo_h5_table *table)
{
    const dpo_h5_dataset checksums = {DPO_H5_CHECKSUMS, DPO_H5_U64, 1, {pieces_of(layout)}};
    const dpo_h5_text note = {DPO_H5_CHECKSUMS, checksums_note};

    if (layout->kind != DPO_H5_SEALED) return DPO_OK;
    DPO_TRY(add_text(file, name, &note, table));
    return add_dataset(file, name, &checksums, table);
}

static dpo_status fill_file(hid_t file, const char *name, const dpo_h5_layout *layout,
                            dpo_h5_table *table)
{
    for (int64_t i = 0; i < layout->n_datasets; i++)
        DPO_TRY(add_dataset(file, name, &layout->datasets[i], table));
    for (int64_t i = 0; i < layout->n_texts; i++)
        DPO_TRY(add_text(file, name, &layout->texts[i], table));
    return add_checksums(file, name, layout, table);
}

/* A file of a few hundred bytes. */
static dpo_status create_empty(const char *file, const char *name)
{
    hid_t access = new_file_access();
    hid_t creation = H5Pcreate(H5P_FILE_CREATE);

    (void)H5Pset_obj_track_times(creation, 0); /* of the root group, as of the datasets */
    hid_t id = H5Fcreate(file, H5F_ACC_TRUNC, creation, access);
    herr_t code = id < 0 ? -1 : H5Fclose(id);

    (void)H5Pclose(creation);
    (void)H5Pclose(access);
    return code < 0 ? dpo_h5_failed(DPO_EIO, name, "cannot be made") : DPO_OK;
}

/* HDF5 gives the space back that it does not need. */
static dpo_status fill_empty(const char *file, const char *name, const dpo_h5_layout *layout,
                             dpo_h5_table *table)
{
    hid_t access = new_file_access();
    hid_t id = H5Fopen(file, H5F_ACC_RDWR, access);

    (void)H5Pclose(access);
    if (id < 0) return dpo_h5_failed(DPO_EIO, name, "cannot be made");
    dpo_status status = fill_file(id, name, layout, table);

    if (H5Fclose(id) < 0 && status == DPO_OK)
        status = dpo_h5_failed(DPO_EIO, name, "cannot be made");
    return status;
}

static dpo_status take_space(const char *file, const char *name, int64_t n_bytes)
{
    int fd;

    DPO_TRY(dpo_raw_create(file, name, &fd));
    dpo_status status = dpo_raw_take_space(fd, name, n_bytes);

    dpo_raw_close(&fd);
    return status;
}

static dpo_status take_more_space(const char *file, const char *name, int64_t n_bytes)
{
    int fd;

    DPO_TRY(dpo_raw_open(file, name, O_RDWR, &fd));
    dpo_status status = dpo_raw_take_space(fd, name, n_bytes);

    dpo_raw_close(&fd);
    return status;
}

/*
 * HDF5 does not survive a full disk: a file whose closing failed ends the program later on. So it
 * never sees one: first a small piece of space is taken and given back, which has room for an empty
 * file; then that file gets all of its space, and HDF5 only writes where there is space already.
 */
dpo_status dpo_h5_lay_out(const char *file, const char *name, const dpo_h5_layout *layout,
                          dpo_h5_table *table)
{
    DPO_TRY(take_space(file, name, SLACK_BYTES));
    DPO_TRY(create_empty(file, name));
    DPO_TRY(take_more_space(file, name, space_for(layout)));
    return fill_empty(file, name, layout, table);
}
