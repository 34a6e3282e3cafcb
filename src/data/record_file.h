// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_RECORD_FILE_H
#define DPO_DATA_RECORD_FILE_H

/*
 * A file of JSON records in memory: JSONL (a record a line, blank lines allowed) or one JSON array, plain
 * (mapped) or gzip (unpacked). All functions are local.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/range.h"

/* Invariant: either mapped_bytes > 0 and text is mapped, or text lies in unpacked (or is ""). */
typedef struct {
    const char *path; /* borrowed */
    const char *text; /* [n_bytes], behind a byte-order mark if there was one */
    int64_t n_bytes;
    bool is_array; /* one JSON array, else lines */
    void *mapping; /* NULL if not mapped */
    int64_t mapped_bytes;
    dpo_buffer unpacked;
} record_file;

/* A record of a file. */
typedef struct {
    int64_t begin; /* offset in the text */
    int64_t n_bytes;
    int64_t
        line; /* where it begins, from 0; of lines, counted from the begin of the listed range */
} record;

/* DPO_EIO if the file cannot be read; DPO_EDATA if a gzip file is damaged. */
DPO_MUST_CHECK dpo_status record_file_open(const char *path, record_file *file);

void record_file_close(record_file *file);

/*
 * Appends the records (struct record) that begin in a range of the text, and counts the line feeds from the
 * first line that begins in the range to the first that begins at or behind its end. Of an array: lines
 * are counted from the begin of the file and *n_lines is 0. DPO_EDATA if it is no well-formed array.
 */
DPO_MUST_CHECK dpo_status record_file_list(const record_file *file, dpo_range range,
                                           dpo_buffer *records, int64_t *n_lines);

#endif
