// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_H5_META_H
#define DPO_STORE_H5_META_H

/*
 * What world rank 0 does with HDF5: laying a file out, and finding out where everything lies in
 * one. Nothing here touches an element of a dataset, and nothing else in the program calls HDF5.
 */

#include "dpo/base/buffer.h"
#include "dpo/base/status.h"
#include "dpo/store/h5file.h"

/* Name of the dataset of checksums, u64 [pieces]. A file that has it is sealed. */
#define DPO_H5_CHECKSUMS "piece_checksums"

/* Bytes a checksum covers; the last piece of a dataset is shorter. */
enum { DPO_H5_PIECE_BYTES = 4 << 20 };

/* Where a dataset lies. Without padding: rows are sent to other ranks as bytes. */
typedef struct {
    int64_t name_at; /* byte in dpo_h5_table.names */
    int32_t type;    /* dpo_h5_type */
    int32_t n_dims;
    int64_t dims[DPO_H5_MAX_DIMS];
    int64_t offset; /* byte in the file; 0 for a dataset without elements */
} dpo_h5_row;

/* Contents of a file. Invariant: the checksums, if any, are the last row. */
typedef struct {
    dpo_buffer rows;  /* dpo_h5_row [datasets] */
    dpo_buffer names; /* zero-terminated */
    dpo_buffer texts; /* name, text, name, text, ..., each zero-terminated */
} dpo_h5_table;

/** Bytes of a dataset. \local */
int64_t dpo_h5_bytes(dpo_h5_type type, int n_dims, const int64_t *dims);

/** Size of one element. \local */
int64_t dpo_h5_type_bytes(dpo_h5_type type);

/**
 * Makes a file, takes its space and lists what is where, datasets in the order of the layout.
 *
 * \local
 * \param[in]     file    Name of the file that is made.
 * \param[in]     name    What messages call it.
 * \param[in]     layout  Its contents.
 * \param[in,out] table   Empty; filled.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_lay_out(const char *file, const char *name,
                                         const dpo_h5_layout *layout, dpo_h5_table *table);

/**
 * Checks a file and lists what is where, datasets in no particular order.
 *
 * \local
 * \param[in]     path   The file.
 * \param[in,out] table  Empty; filled.
 * \errors{DPO_EIO if it cannot be read; DPO_EDATA if it is not ours or not whole; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_scan(const char *path, dpo_h5_table *table);

#endif
