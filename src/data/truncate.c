// SPDX-License-Identifier: Apache-2.0
#include "truncate.h"

sequence_cut sequence_cut_of(int64_t prompt_tokens, int64_t response_tokens, int64_t max_length,
                             dpo_truncation truncation)
{
    int64_t n = prompt_tokens + response_tokens;
    sequence_cut cut = {.begin = 0, .response = prompt_tokens, .end = n};

    if (max_length > 0 && n > max_length) {
        if (truncation == DPO_TRUNCATE_KEEP_START) cut.end = max_length;
        if (truncation == DPO_TRUNCATE_KEEP_END) cut.begin = n - max_length;
        cut.is_cut = cut.begin > 0 || cut.end < n;
    }
    if (cut.response > cut.end) cut.response = cut.end;
    if (cut.begin >= cut.response && cut.begin < cut.end) {
        cut.response = cut.begin + 1;
        cut.owns_prompt = true;
    }
    return cut;
}
