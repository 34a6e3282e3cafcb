// SPDX-License-Identifier: Apache-2.0
#include "source_set.h"

#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"

static dpo_status open_files(source_set *set)
{
    DPO_TRY(DPO_NEW(set->files, set->n_sources));
    DPO_TRY(DPO_NEW(set->ends, set->n_sources));
    for (int64_t s = 0; s < set->n_sources; s++) {
        DPO_TRY(record_file_open(set->sources[s].path, &set->files[s]));
        set->ends[s] = set->files[s].n_bytes;
    }
    return DPO_OK;
}

/* The records of a source that begin in this rank's part of it. */
static dpo_status list_part(const dpo_grid *grid, const source_set *set, int64_t source,
                            dpo_range range, dpo_buffer *records, int64_t *n_lines)
{
    dpo_status status = record_file_list(&set->files[source], range, records, n_lines);

    return dpo_agree(grid, status);
}

/* End of the record number `limit` of a source, if it has more: the rank that holds it tells the others. */
static dpo_status apply_limit(const dpo_grid *grid, source_set *set, int64_t source)
{
    int64_t limit = set->sources[source].limit;
    dpo_range part = dpo_range_of_part(set->ends[source], dpo_grid_size(grid, DPO_WORLD),
                                       dpo_grid_rank(grid, DPO_WORLD));
    dpo_buffer records = {0};
    int64_t n_lines;
    int64_t end = 0;
    dpo_status status = list_part(grid, set, source, part, &records, &n_lines);

    if (status == DPO_OK) {
        int64_t n = records.size_bytes / (int64_t)sizeof(record);
        int64_t before = dpo_sum_before_i64(grid, DPO_WORLD, n);

        if (before < limit && limit <= before + n)
            end = ((const record *)records.data)[limit - before - 1].begin + 1;
        dpo_max_i64(grid, DPO_WORLD, 1, &end);
        if (end > 0) set->ends[source] = end;
    }
    dpo_buffer_destroy(&records);
    return status;
}

dpo_status source_set_open(const dpo_grid *grid, int64_t n_sources, const dpo_data_source *sources,
                           source_set *set)
{
    dpo_status status;

    *set = (source_set){.n_sources = n_sources, .sources = sources};
    status = dpo_agree(grid, open_files(set));
    for (int64_t s = 0; s < n_sources && status == DPO_OK; s++) {
        status = dpo_agree_on(grid, sources[s].path, set->files[s].n_bytes);
        if (status == DPO_OK && sources[s].limit > 0) status = apply_limit(grid, set, s);
    }
    if (status != DPO_OK) source_set_close(set);
    return status;
}

static dpo_status add_records(const source_set *set, int64_t source, const dpo_buffer *listed,
                              int64_t lines_before, dpo_buffer *records)
{
    int64_t n = listed->size_bytes / (int64_t)sizeof(record);
    const record *items = listed->data;

    for (int64_t i = 0; i < n; i++) {
        source_record item = {(int32_t)source, lines_before + items[i].line + 1,
                              set->files[source].text + items[i].begin, items[i].n_bytes};

        DPO_TRY(dpo_buffer_append(records, &item, sizeof item));
    }
    return DPO_OK;
}

static dpo_status share_source(const dpo_grid *grid, const source_set *set, int64_t source,
                               dpo_range range, dpo_buffer *records)
{
    dpo_buffer listed = {0};
    int64_t n_lines = 0;
    dpo_status status = list_part(grid, set, source, range, &listed, &n_lines);

    if (status == DPO_OK) {
        int64_t lines_before = dpo_sum_before_i64(grid, DPO_WORLD, n_lines);

        status = dpo_agree(grid, add_records(set, source, &listed, lines_before, records));
    }
    dpo_buffer_destroy(&listed);
    return status;
}

dpo_status source_set_share(const dpo_grid *grid, const source_set *set, dpo_buffer *records)
{
    int64_t total = 0;
    int64_t before = 0;

    for (int64_t s = 0; s < set->n_sources; s++)
        total += set->ends[s];
    dpo_range mine =
        dpo_range_of_part(total, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));

    for (int64_t s = 0; s < set->n_sources; s++) {
        dpo_range own = dpo_range_intersect(mine, (dpo_range){before, before + set->ends[s]});

        if (dpo_range_length(own) == 0) own = (dpo_range){before, before};
        own.begin -= before;
        own.end -= before;
        DPO_TRY(share_source(grid, set, s, own, records));
        before += set->ends[s];
    }
    return DPO_OK;
}

void source_set_close(source_set *set)
{
    for (int64_t s = 0; s < set->n_sources && set->files != NULL; s++)
        record_file_close(&set->files[s]);
    dpo_free(set->files);
    dpo_free(set->ends);
    *set = (source_set){0};
}
