// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_DEAL_H
#define DPO_DATA_DEAL_H

#include <stdint.h>

#include "dpo/base/range.h"

/* What stays together: an example, or examples that have a prompt in common. */
typedef struct {
    int64_t
        number; /* of its first example; settles ties, so that the order is one whatever the sort */
    dpo_range items; /* the examples, for the caller */
    int64_t tokens, rows;
    double cost;
    int shard;
    int64_t micro_batch; /* of the shard */
} bundle;

/* What is dealt to whom; all borrowed. */
typedef struct {
    int64_t n;
    bundle *bundles; /* [n] */
    int n_shards;
    double *load; /* [n_shards] cost of each */
} deal;

/* Gives bundles to shards so that these cost the same. The order of the bundles changes. */
void deal_run(const deal *d);

#endif
