// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_SOURCE_SET_H
#define DPO_DATA_SOURCE_SET_H

/*
 * The preference files of a run, and their division among the ranks: all their texts lie one behind the other,
 * each rank takes an equal part of the bytes, and of these the records that begin there. So the
 * shares follow one another in the order of the ranks, whatever their number.
 */

#include "dpo/comm/grid.h"
#include "dpo/data/prepare.h"
#include "record_file.h"

/* Invariant: ends[s] <= files[s].n_bytes: the end of what the source's limit leaves. */
typedef struct {
    int64_t n_sources;
    const dpo_data_source *sources; /* borrowed, [n_sources] */
    record_file *files;             /* [n_sources] */
    int64_t *ends;                  /* [n_sources] */
} source_set;

/* A record of this rank's share. */
typedef struct {
    int32_t source;
    int64_t line; /* from 1 */
    const char *text;
    int64_t n_bytes;
} source_record;

/* Opens all files and applies the limits. \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status source_set_open(const dpo_grid *grid, int64_t n_sources,
                                          const dpo_data_source *sources, source_set *set);

/* Appends this rank's records (source_record) in order. \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status source_set_share(const dpo_grid *grid, const source_set *set,
                                           dpo_buffer *records);

void source_set_close(source_set *set);

#endif
