// SPDX-License-Identifier: Apache-2.0

/*
 * Every tensor is cut into pieces, the pieces of all tensors are numbered through and
 * dealt to the ranks; the digests of the pieces are then joined in their order on every rank.
 */

#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/base/range.h"
#include "dpo/comm/collective.h"
#include "raw.h"
#include "safetensors_folder.h"

enum { DIGEST_PIECE_BYTES = 16 << 20 };

static int64_t pieces_in(const dpo_tensor_place *place)
{
    return (place->n_bytes + DIGEST_PIECE_BYTES - 1) / DIGEST_PIECE_BYTES;
}

/* Digests of the pieces in `mine`; the others stay zero. */
static dpo_status digest_pieces(const dpo_safetensors *weights, dpo_range mine, void *memory,
                                dpo_digest *pieces)
{
    int64_t first = 0;

    for (int64_t t = 0; t < dpo_safetensors_places(weights);
         first += pieces_in(dpo_safetensors_place_at(weights, t)), t++) {
        const dpo_tensor_place *place = dpo_safetensors_place_at(weights, t);
        const dpo_safetensors_shard *s = &weights->shards[place->shard];
        dpo_range here = dpo_range_intersect(mine, (dpo_range){first, first + pieces_in(place)});

        for (int64_t i = here.begin; i < here.end; i++) {
            int64_t at = (i - first) * DIGEST_PIECE_BYTES;
            int64_t n =
                place->n_bytes - at < DIGEST_PIECE_BYTES ? place->n_bytes - at : DIGEST_PIECE_BYTES;

            DPO_TRY(dpo_raw_read(s->fd, s->path, place->offset + at, n, memory));
            pieces[i] = dpo_digest_of(memory, n);
        }
    }
    return DPO_OK;
}

static dpo_digest join_pieces(const dpo_safetensors *weights, const dpo_digest *pieces,
                              dpo_digest_state **state)
{
    int64_t first = 0;

    for (int64_t t = 0; t < dpo_safetensors_places(weights); t++) {
        const dpo_tensor_place *place = dpo_safetensors_place_at(weights, t);
        const char *type = dpo_tensor_type_name(place->tensor.type);

        dpo_digest_add(*state, place->tensor.name, (int64_t)strlen(place->tensor.name) + 1);
        dpo_digest_add(*state, type, (int64_t)strlen(type) + 1);
        dpo_digest_add(*state, place->tensor.dims, (int64_t)sizeof place->tensor.dims);
        dpo_digest_add(*state, pieces + first, pieces_in(place) * (int64_t)sizeof *pieces);
        first += pieces_in(place);
    }
    return dpo_digest_end(state);
}

dpo_status dpo_safetensors_digest(const dpo_grid *grid, const dpo_safetensors *weights,
                                  dpo_digest *digest)
{
    dpo_digest_state *state = NULL;
    dpo_digest *pieces = NULL;
    char *memory = NULL;
    int64_t n = 0;

    for (int64_t t = 0; t < dpo_safetensors_places(weights); t++)
        n += pieces_in(dpo_safetensors_place_at(weights, t));
    dpo_range mine =
        dpo_range_of_part(n, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));
    dpo_status status = DPO_NEW(memory, DIGEST_PIECE_BYTES);

    if (status == DPO_OK) status = DPO_NEW(pieces, n);
    if (status == DPO_OK) status = dpo_digest_begin(&state);
    if (status == DPO_OK) status = digest_pieces(weights, mine, memory, pieces);
    status = dpo_agree(grid, status);
    if (status == DPO_OK) {
        /* Every piece is zero on all ranks but one, so a sum is a gathering. */
        dpo_sum_i64(grid, DPO_WORLD, 2 * n, (int64_t *)pieces);
        *digest = join_pieces(weights, pieces, &state);
    }
    if (state != NULL) (void)dpo_digest_end(&state);
    dpo_free(pieces);
    dpo_free(memory);
    return status;
}
