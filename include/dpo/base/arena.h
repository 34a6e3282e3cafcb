// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_ARENA_H
#define DPO_BASE_ARENA_H

/**
 * \file
 * One block of memory that is handed out from its front and given back all at once.
 *
 * A layout is written once and run twice: first on a measuring arena (base == NULL), which only
 * counts, then on one of the size that was found.
 *
 *     dpo_arena arena = {0};
 *     lay_out(&arena, plan);                      pointers are NULL, arena.used_bytes is the need
 *     DPO_TRY(dpo_arena_create(arena.used_bytes, &arena));
 *     lay_out(&arena, plan);
 *
 * Invariant: used_bytes is a multiple of 64, and used_bytes <= capacity_bytes unless base == NULL.
 */

#include <stddef.h>
#include <stdint.h>

#include "dpo/base/status.h"

/** An arena; zero-initialised it measures. */
typedef struct {
    char *base;             /**< owned; NULL while measuring */
    int64_t used_bytes;     /**< handed out */
    int64_t capacity_bytes; /**< 0 while measuring */
} dpo_arena;

/**
 * Makes an arena of a given size.
 *
 * \local
 * \param[in]  capacity_bytes  >= 0.
 * \param[out] arena           Owned by the caller, for dpo_arena_destroy(); zero on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_arena_create(int64_t capacity_bytes, dpo_arena *arena);

/** Frees the block and makes the arena a measuring one. \local */
void dpo_arena_destroy(dpo_arena *arena);

/**
 * Hands out count items. Contents are what the last user left; asserts that the arena is large enough.
 *
 * \local
 * \param[in,out] arena       The arena.
 * \param[in]     count       >= 0.
 * \param[in]     item_bytes  Size of one item.
 * \return 64-byte aligned, borrowed from the arena; NULL while measuring.
 */
void *dpo_arena_take(dpo_arena *arena, int64_t count, size_t item_bytes);

/** Takes everything back. \local */
void dpo_arena_reset(dpo_arena *arena);

#endif
