// SPDX-License-Identifier: Apache-2.0
#include "jinja_pool.h"

#include <string.h>

#include "dpo/base/memory.h"

enum { ALIGN_BYTES = 16, BLOCK_BYTES = 1 << 14, LIMIT_BYTES = 1 << 28 };

/* Invariant: used_bytes <= capacity_bytes; used_bytes is a multiple of ALIGN_BYTES. */
struct jinja_pool_block {
    jinja_pool_block *next;
    int64_t used_bytes;
    int64_t capacity_bytes;
    _Alignas(ALIGN_BYTES) char bytes[];
};

static dpo_status add_block(jinja_pool *pool, int64_t need_bytes, jinja_pool_block **added)
{
    int64_t capacity = need_bytes > BLOCK_BYTES ? need_bytes : BLOCK_BYTES;
    jinja_pool_block *block;

    if (pool->total_bytes / 4 > capacity)
        capacity = pool->total_bytes / 4 / ALIGN_BYTES * ALIGN_BYTES;
    if (capacity > LIMIT_BYTES - pool->total_bytes)
        return DPO_FAIL(DPO_EDATA,
                        "%s: needs more than %d MiB; the template or the conversation is broken",
                        pool->source, LIMIT_BYTES >> 20);
    block = dpo_memory_get(capacity + (int64_t)sizeof *block, 1);
    if (block == NULL) return dpo_memory_failed(capacity, 1, __FILE__, __LINE__);
    block->capacity_bytes = capacity;
    block->next = pool->blocks;
    pool->blocks = block;
    pool->total_bytes += capacity;
    *added = block;
    return DPO_OK;
}

dpo_status jinja_pool_take(jinja_pool *pool, int64_t count, size_t item_bytes, void **taken)
{
    *taken = NULL;
    if (count > LIMIT_BYTES / (int64_t)item_bytes) count = LIMIT_BYTES; /* too much in any case */
    int64_t need = (count * (int64_t)item_bytes + ALIGN_BYTES) / ALIGN_BYTES * ALIGN_BYTES;
    jinja_pool_block *block = pool->blocks;

    if (block == NULL || need > block->capacity_bytes - block->used_bytes)
        DPO_TRY(add_block(pool, need, &block));
    DPO_ASSERT(block != NULL);
    *taken = block->bytes + block->used_bytes;
    block->used_bytes += need;
    return DPO_OK;
}

void jinja_pool_destroy(jinja_pool *pool)
{
    while (pool->blocks != NULL) {
        jinja_pool_block *next = pool->blocks->next;

        dpo_free(pool->blocks);
        pool->blocks = next;
    }
    pool->total_bytes = 0;
}
