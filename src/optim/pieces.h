// SPDX-License-Identifier: Apache-2.0
#ifndef PIECES_H
#define PIECES_H

#include "dpo/base/exact_sum.h"
#include "dpo/base/shard.h"
#include "dpo/model/parameters.h"

/*
 * Part of one tensor that lies in one range of a shard: contiguous in the flat vector and packed. Large
 * parts are cut at fixed places, so that threads share the work.
 */
typedef struct {
    int64_t row;     /* of the parameter table */
    dpo_range range; /* of the flat vector, not empty */
} dpo_piece;

/* Ascending. */
typedef struct {
    int64_t n;
    dpo_piece *piece; /* owned, [n] */
} dpo_piece_list;

DPO_MUST_CHECK dpo_status dpo_pieces_create(const dpo_parameters *parameters,
                                            const dpo_shard *shard, dpo_piece_list *list);

void dpo_pieces_destroy(dpo_piece_list *list);

/* Items of a tensor, as a range of the flat vector. */
dpo_range dpo_range_of_row(const dpo_parameter *row);

/* sum += addend. */
void dpo_add_exact(const dpo_exact_sum *addend, dpo_exact_sum *sum);

/*
 * Adds the squares of values, the items of a range of the flat vector, block by block: a block ends at
 * multiples of DPO_SHARD_BLOCK of the flat vector. So the terms are the same for every division of
 * the vector at such multiples.
 */
void dpo_add_squares(dpo_range range, const float *values, dpo_exact_sum *sum);

#endif
