// SPDX-License-Identifier: Apache-2.0
#include "pieces.h"

#include "dpo/base/memory.h"

dpo_range dpo_range_of_row(const dpo_parameter *row)
{
    return (dpo_range){row->offset, row->offset + row->count};
}

/* A multiple of DPO_SHARD_BLOCK. */
enum { MAX_PIECE_ITEMS = 16 * DPO_SHARD_BLOCK };

static int64_t cut_behind(int64_t at, int64_t length, int64_t end)
{
    int64_t next = (at / length + 1) * length;

    return next < end ? next : end;
}

/* Appends the pieces of a part of a tensor; piece may be NULL: they are counted only. */
static int64_t add_pieces(int64_t row, dpo_range part, dpo_piece *piece, int64_t n)
{
    for (int64_t at = part.begin; at < part.end; n++) {
        int64_t end = cut_behind(at, MAX_PIECE_ITEMS, part.end);

        if (piece != NULL) piece[n] = (dpo_piece){row, {at, end}};
        at = end;
    }
    return n;
}

/* Appends all pieces in order; returns how many there are. */
static int64_t walk(const dpo_parameters *parameters, const dpo_shard *shard, dpo_piece *piece)
{
    int64_t n = 0;
    int64_t row = 0;

    for (int64_t i = 0; i < shard->n_ranges; i++) {
        dpo_range range = shard->range[i];

        while (dpo_range_of_row(&parameters->row[row]).end <= range.begin)
            row++;
        for (int64_t r = row; r < parameters->n_rows && parameters->row[r].offset < range.end; r++)
            n = add_pieces(r, dpo_range_intersect(range, dpo_range_of_row(&parameters->row[r])),
                           piece, n);
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

void dpo_add_exact(const dpo_exact_sum *addend, dpo_exact_sum *sum)
{
    for (int i = 0; i < DPO_EXACT_SUM_LIMBS; i++)
        sum->limb[i] += addend->limb[i];
}

/* Sums are exact, so it does not matter which thread adds what, and when. */
void dpo_add_squares(dpo_range range, const float *values, dpo_exact_sum *sum)
{
    int64_t first = range.begin / DPO_SHARD_BLOCK;
    int64_t n_blocks = range.end > range.begin ? (range.end - 1) / DPO_SHARD_BLOCK + 1 - first : 0;

#pragma omp parallel if (n_blocks > 1)
    {
        dpo_exact_sum own = {0};

#pragma omp for schedule(static) nowait
        for (int64_t i = first; i < first + n_blocks; i++) {
            dpo_range block = {i * DPO_SHARD_BLOCK, (i + 1) * DPO_SHARD_BLOCK};

            block = dpo_range_intersect(block, range);
            dpo_exact_sum_add(
                &own, squares_of(dpo_range_length(block), values + (block.begin - range.begin)));
        }
#pragma omp critical(dpo_add_squares)
        dpo_add_exact(&own, sum);
    }
}
