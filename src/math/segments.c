// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/segments.h"

#include "dpo/base/status.h"

int64_t dpo_segments_n_tokens(const dpo_segments *segments)
{
    return segments->n_segments > 0 ? segments->begin[segments->n_segments] : 0;
}

/* Tokens of all segments above one. */
static int64_t n_above(const dpo_segments *segments, int64_t s)
{
    const int64_t *begin = segments->begin;
    int64_t n = 0;

    DPO_ASSERT(segments->parent[s] < s);
    for (int64_t a = segments->parent[s]; a >= 0; a = segments->parent[a])
        n += begin[a + 1] - begin[a];
    return n;
}

double dpo_segments_n_pairs(const dpo_segments *segments)
{
    double n_pairs = 0.0;

    for (int64_t s = 0; s < segments->n_segments; s++) {
        double n = (double)(segments->begin[s + 1] - segments->begin[s]);

        n_pairs += n * (double)n_above(segments, s) + 0.5 * n * (n + 1.0);
    }
    return n_pairs;
}

void dpo_segments_positions(const dpo_segments *segments, int32_t *position)
{
    const int64_t *begin = segments->begin;

    for (int64_t s = 0; s < segments->n_segments; s++) {
        int64_t first = n_above(segments, s);

        for (int64_t i = begin[s]; i < begin[s + 1]; i++)
            position[i] = (int32_t)(first + i - begin[s]);
    }
}
