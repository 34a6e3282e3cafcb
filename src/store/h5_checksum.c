// SPDX-License-Identifier: Apache-2.0

/*
 * The datasets, in the order of their names, are cut into pieces of 4 MiB (the last of each is
 * shorter). The pieces are numbered through, and dealt to the ranks in consecutive runs, whoever
 * wrote them: so a piece that two ranks wrote has one checksum, and what is summed is what the file
 * holds, not what memory held.
 *
 *     dataset a            | dataset b       | c |
 *     piece 0 | 1 | 2 | 3  | 4 | 5 | 6 | 7   | 8 |
 *     rank 0              1            2
 */

#include "h5_checksum.h"

#include <stdlib.h>
#include <string.h>

#include "dpo/base/digest.h"
#include "dpo/base/memory.h"
#include "dpo/base/range.h"
#include "h5_file.h"
#include "raw.h"

/* Number and place of the pieces of one dataset. */
typedef struct {
    const char *name;
    int64_t offset;
    int64_t n_bytes;
    int64_t item_bytes;
} part;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const part *)a)->name, ((const part *)b)->name);
}

static int64_t pieces_in(const part *p)
{
    return (p->n_bytes + DPO_H5_PIECE_BYTES - 1) / DPO_H5_PIECE_BYTES;
}

static dpo_status list_parts(const dpo_h5_file *file, part **parts, int64_t *n_pieces)
{
    *n_pieces = 0;
    DPO_TRY(DPO_NEW(*parts, file->n_datasets));
    for (int64_t i = 0; i < file->n_datasets; i++) {
        const dpo_h5_dataset *d = &file->datasets[i];
        part *p = &(*parts)[i];

        p->name = d->name;
        p->offset = dpo_h5_offset(file, i);
        p->item_bytes = dpo_h5_type_bytes(d->type);
        p->n_bytes = dpo_h5_bytes(d->type, d->n_dims, d->dims);
        *n_pieces += pieces_in(p);
    }
    qsort(*parts, (size_t)file->n_datasets, sizeof **parts, by_name);
    return DPO_OK;
}

/* What is done with the checksum of piece number `piece`, which begins at byte `at` of its dataset.
 * */
typedef dpo_status (*use_checksum)(const dpo_h5_file *file, const part *p, int64_t at,
                                   int64_t piece, uint64_t checksum);

static dpo_status checksum_place(const dpo_h5_file *file, int64_t piece, int64_t *offset)
{
    *offset = dpo_h5_offset(file, file->n_datasets) + piece * (int64_t)sizeof(uint64_t);
    if (piece < file->datasets[file->n_datasets].dims[0]) return DPO_OK;
    return DPO_FAIL(DPO_EDATA, "%s: has %lld checksums, too few for its datasets; make it anew",
                    file->path, (long long)file->datasets[file->n_datasets].dims[0]);
}

static dpo_status put_checksum(const dpo_h5_file *file, const part *p, int64_t at, int64_t piece,
                               uint64_t checksum)
{
    int64_t offset;

    (void)p;
    (void)at;
    DPO_TRY(checksum_place(file, piece, &offset));
    return dpo_raw_write(file->fd, file->path, offset, sizeof checksum, &checksum);
}

static dpo_status compare_checksum(const dpo_h5_file *file, const part *p, int64_t at,
                                   int64_t piece, uint64_t checksum)
{
    int64_t offset;
    uint64_t stored;

    DPO_TRY(checksum_place(file, piece, &offset));
    DPO_TRY(dpo_raw_read(file->fd, file->path, offset, sizeof stored, &stored));
    if (stored == checksum) return DPO_OK;
    return DPO_FAIL(
        DPO_EDATA,
        "%s: dataset \"%s\" is damaged between elements %lld and %lld (checksum differs); "
        "delete the file and make it anew, or copy it again",
        file->path, p->name, (long long)(at / p->item_bytes),
        (long long)((at + DPO_H5_PIECE_BYTES < p->n_bytes ? at + DPO_H5_PIECE_BYTES : p->n_bytes) /
                    p->item_bytes));
}

/* Pieces of one dataset, whose first has number `first`, as far as they are in `mine`. */
static dpo_status sum_part(const dpo_h5_file *file, const part *p, int64_t first, dpo_range mine,
                           use_checksum use, void *memory)
{
    dpo_range pieces = dpo_range_intersect(mine, (dpo_range){first, first + pieces_in(p)});

    for (int64_t piece = pieces.begin; piece < pieces.end; piece++) {
        int64_t at = (piece - first) * DPO_H5_PIECE_BYTES;
        int64_t n = p->n_bytes - at < DPO_H5_PIECE_BYTES ? p->n_bytes - at : DPO_H5_PIECE_BYTES;

        DPO_TRY(dpo_raw_read(file->fd, file->path, p->offset + at, n, memory));
        DPO_TRY(use(file, p, at, piece, dpo_digest_of(memory, n).low));
    }
    return DPO_OK;
}

static dpo_status sum_mine(const dpo_grid *grid, const dpo_h5_file *file, use_checksum use)
{
    part *parts;
    int64_t n_pieces;
    int64_t first = 0;
    char *memory;
    dpo_status status = list_parts(file, &parts, &n_pieces);

    if (status != DPO_OK) return status;
    dpo_range mine =
        dpo_range_of_part(n_pieces, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));

    status = DPO_NEW(memory, DPO_H5_PIECE_BYTES);
    for (int64_t i = 0; i < file->n_datasets && status == DPO_OK; i++) {
        status = sum_part(file, &parts[i], first, mine, use, memory);
        first += pieces_in(&parts[i]);
    }
    dpo_free(memory);
    dpo_free(parts);
    return status;
}

dpo_status dpo_h5_seal(const dpo_grid *grid, const dpo_h5_file *file)
{
    return sum_mine(grid, file, put_checksum);
}

dpo_status dpo_h5_verify(const dpo_grid *grid, const dpo_h5_file *file)
{
    if (file->kind != DPO_H5_SEALED)
        return DPO_FAIL(DPO_EDATA, "%s: carries no checksums, so it cannot be verified",
                        file->path);
    return dpo_agree(grid, sum_mine(grid, file, compare_checksum));
}
