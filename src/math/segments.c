// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/segments.h"

#include "dpo/base/status.h"

int64_t dpo_segments_n_tokens(const dpo_segments *segments)
{
    return segments->n_segments > 0 ? segments->begin[segments->n_segments] : 0;
}

void dpo_segments_positions(const dpo_segments *segments, int32_t *position)
{
    const int64_t *begin = segments->begin;

    for (int64_t s = 0; s < segments->n_segments; s++) {
        int64_t first = 0;

        DPO_ASSERT(segments->parent[s] < s);
        for (int64_t a = segments->parent[s]; a >= 0; a = segments->parent[a])
            first += begin[a + 1] - begin[a];
        for (int64_t i = begin[s]; i < begin[s + 1]; i++)
            position[i] = (int32_t)(first + i - begin[s]);
    }
}
