// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/collective.h"
#include "token_share.h"

/* The arrays of a token store, and how the shares of the ranks become one file. */

const token_array_row token_arrays[N_TOKEN_ARRAYS] = {
#define TOKEN_ARRAY_ROW(name, type, item, count, points_at, is_offset) \
    {#name, sizeof(item), type, count, points_at, is_offset},
    TOKEN_ARRAY_LIST(TOKEN_ARRAY_ROW)
#undef TOKEN_ARRAY_ROW
};

/* What is before this rank's share, and in all shares. */
typedef struct {
    int64_t before[N_TOKEN_COUNTS];
    int64_t total[N_TOKEN_COUNTS];
} share_place;

static share_place find_place(const dpo_grid *grid, const token_share *share)
{
    share_place place;

    for (int c = 0; c < N_TOKEN_COUNTS; c++) {
        place.total[c] = share->n[c];
        place.before[c] = dpo_sum_before_i64(grid, DPO_WORLD, share->n[c]);
    }
    dpo_sum_i64(grid, DPO_WORLD, N_TOKEN_COUNTS, place.total);
    return place;
}

/* Numbers within the share become numbers within the file. */
static dpo_status write_shifted(dpo_h5_file *file, token_array array, const int64_t *values,
                                int64_t n, const share_place *place)
{
    enum { PIECE = 4096 };
    const token_array_row *row = &token_arrays[array];
    int64_t shift = place->before[row->points_at];
    int64_t piece[PIECE];

    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t count = n - at < PIECE ? n - at : PIECE;

        for (int64_t i = 0; i < count; i++)
            piece[i] = values[at + i] + shift;
        DPO_TRY(dpo_h5_write(file, array, place->before[row->count] + at, count, piece));
    }
    return DPO_OK;
}

static dpo_status write_array(dpo_h5_file *file, token_array array, const token_share *share,
                              const share_place *place, bool ends_offsets)
{
    const token_array_row *row = &token_arrays[array];
    int64_t n = share->n[row->count];

    if (row->points_at == NOT_COUNTED)
        return dpo_h5_write(file, array, place->before[row->count], n, share->arrays[array].data);
    DPO_TRY(write_shifted(file, array, share->arrays[array].data, n, place));
    if (!row->is_offset || !ends_offsets) return DPO_OK;
    return dpo_h5_write(file, array, place->total[row->count], 1, &place->total[row->points_at]);
}

dpo_status token_share_write(const dpo_grid *grid, const token_share *share, const char *path,
                             const char *prepare)
{
    share_place place = find_place(grid, share);
    dpo_h5_dataset datasets[N_TOKEN_ARRAYS];
    dpo_h5_text text = {"prepare", prepare};
    dpo_h5_layout layout = {DPO_H5_SEALED, N_TOKEN_ARRAYS, datasets, 1, &text};
    dpo_status status = DPO_OK;
    dpo_h5_file *file;

    for (int a = 0; a < N_TOKEN_ARRAYS; a++) {
        const token_array_row *row = &token_arrays[a];

        datasets[a] = (dpo_h5_dataset){row->name, row->type, 1, {place.total[row->count]}};
        datasets[a].dims[0] += row->is_offset;
    }
    DPO_TRY(dpo_h5_create(grid, path, &layout, &file));
    for (int a = 0; a < N_TOKEN_ARRAYS && status == DPO_OK; a++)
        status =
            write_array(file, (token_array)a, share, &place, dpo_grid_rank(grid, DPO_WORLD) == 0);
    return dpo_h5_publish(grid, status, &file);
}
