// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_POOL_H
#define DPO_TEXT_JINJA_POOL_H

/* Memory that is taken bit by bit and given back all at once, up to a bound. */

#include <stddef.h>
#include <stdint.h>

#include "dpo/base/status.h"

typedef struct jinja_pool_block jinja_pool_block;

/* Empty while zero but for source. */
typedef struct {
    jinja_pool_block *blocks; /* owned, newest first */
    int64_t total_bytes;      /* in all blocks */
    const char *source;       /* name for messages, borrowed */
} jinja_pool;

/* Zeroed memory, 16-byte aligned, valid until the pool is destroyed. DPO_EDATA beyond the bound. */
DPO_MUST_CHECK dpo_status jinja_pool_take(jinja_pool *pool, int64_t count, size_t item_bytes,
                                          void **taken);

void jinja_pool_destroy(jinja_pool *pool);

#endif
