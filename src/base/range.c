// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/range.h"

#include "dpo/base/status.h"

dpo_range dpo_range_of_part(int64_t n, int64_t n_parts, int64_t part)
{
    DPO_ASSERT(n >= 0 && part >= 0 && part < n_parts);
    int64_t length = n / n_parts;
    int64_t n_longer = n % n_parts;
    int64_t begin = part * length + (part < n_longer ? part : n_longer);

    return (dpo_range){begin, begin + length + (part < n_longer)};
}

int64_t dpo_range_length(dpo_range range)
{
    return range.end - range.begin;
}

dpo_range dpo_range_intersect(dpo_range a, dpo_range b)
{
    int64_t begin = a.begin > b.begin ? a.begin : b.begin;
    int64_t end = a.end < b.end ? a.end : b.end;

    return (dpo_range){begin, end > begin ? end : begin};
}
