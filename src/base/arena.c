// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/arena.h"

#include "dpo/base/memory.h"

enum { ALIGN_BYTES = 64 };

dpo_status dpo_arena_create(int64_t capacity_bytes, dpo_arena *arena)
{
    *arena = (dpo_arena){0};
    DPO_TRY(DPO_NEW(arena->base, capacity_bytes));
    arena->capacity_bytes = capacity_bytes;
    return DPO_OK;
}

void dpo_arena_destroy(dpo_arena *arena)
{
    dpo_free(arena->base);
    *arena = (dpo_arena){0};
}

void *dpo_arena_take(dpo_arena *arena, int64_t count, size_t item_bytes)
{
    int64_t bytes = count * (int64_t)item_bytes;
    int64_t begin = arena->used_bytes;

    DPO_ASSERT(count >= 0);
    arena->used_bytes += (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
    if (arena->base == NULL) return NULL;
    DPO_ASSERT(arena->used_bytes <= arena->capacity_bytes);
    return arena->base + begin;
}

void dpo_arena_reset(dpo_arena *arena)
{
    arena->used_bytes = 0;
}
