// SPDX-License-Identifier: Apache-2.0
#include "pieces.h"

#include "dpo/base/memory.h"

dpo_range dpo_range_of_row(const dpo_parameter *row)
{
    return (dpo_range){row->offset, row->offset + row->count};
}

/* Calls of add see the pieces in order; returns how many there are. */
static int64_t walk(const dpo_parameters *parameters, const dpo_shard *shard, dpo_piece *piece)
{
    int64_t n = 0;
    int64_t row = 0;

    for (int64_t i = 0; i < shard->n_ranges; i++) {
        dpo_range range = shard->range[i];

        while (dpo_range_of_row(&parameters->row[row]).end <= range.begin)
            row++;
        for (int64_t r = row; r < parameters->n_rows; r++) {
            dpo_range inside = dpo_range_intersect(range, dpo_range_of_row(&parameters->row[r]));

            if (parameters->row[r].offset >= range.end) break;
            if (dpo_range_length(inside) == 0) continue;
            if (piece != NULL) piece[n] = (dpo_piece){r, inside};
            n++;
        }
    }
    return n;
}

dpo_status dpo_pieces_create(const dpo_parameters *parameters, const dpo_shard *shard,
                             dpo_piece_list *list)
{
    *list = (dpo_piece_list){.n = walk(parameters, shard, NULL)};
    DPO_TRY(DPO_NEW(list->piece, list->n));
    (void)walk(parameters, shard, list->piece);
    return DPO_OK;
}

void dpo_pieces_destroy(dpo_piece_list *list)
{
    dpo_free(list->piece);
    *list = (dpo_piece_list){0};
}

/* Independent sums, so that the compiler may keep them in vector registers without changing the order. */
enum { LANES = 16 };

static double squares_of(int64_t n, const float *value)
{
    double lane[LANES] = {0};
    double sum = 0.0;
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += (double)value[i + j] * (double)value[i + j];
    for (; i < n; i++)
        sum += (double)value[i] * (double)value[i];
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

void dpo_add_squares(dpo_range range, const float *values, dpo_exact_sum *sum)
{
    for (int64_t at = range.begin; at < range.end;) {
        int64_t end = (at / DPO_SHARD_BLOCK + 1) * DPO_SHARD_BLOCK;

        if (end > range.end) end = range.end;
        dpo_exact_sum_add(sum, squares_of(end - at, values + (at - range.begin)));
        at = end;
    }
}
