// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_H5_FILE_H
#define DPO_STORE_H5_FILE_H

#include "dpo/store/h5file.h"
#include "h5_meta.h"

/*
 * An open file. Invariants: table is the same on every rank; datasets[i] describes table row i, and
 * its name lies in table.names; row n_datasets, if there, is the checksums; temporary != NULL until
 * the file has its final name.
 */
struct dpo_h5_file {
    char *path;
    char *temporary;
    bool is_root; /* world rank 0: removes what was not published */
    int fd;
    dpo_h5_kind kind;
    dpo_h5_access access;
    dpo_h5_table table;
    int64_t n_datasets;
    dpo_h5_dataset *datasets;
    char *map; /* the whole file; NULL until a dataset was mapped */
    int64_t map_bytes;
};

/** Byte of the file where a dataset begins; n_datasets means the checksums. \local */
static inline int64_t dpo_h5_offset(const dpo_h5_file *file, int64_t dataset)
{
    return ((const dpo_h5_row *)file->table.rows.data)[dataset].offset;
}

#endif
