// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/memory.h"
#include "dpo/base/range.h"
#include "dpo/comm/collective.h"
#include "dpo/data/reference_cache.h"

dpo_status dpo_reference_digests(const dpo_grid *grid, const dpo_token_store *store,
                                 dpo_digest *digests, int64_t *n_tokens)
{
    int64_t n = dpo_token_store_n_responses(store);
    dpo_range mine =
        dpo_range_of_part(n, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));
    dpo_digest *local;
    dpo_status status = DPO_NEW(local, dpo_range_length(mine));

    for (int64_t r = 0; r < n; r++)
        (void)dpo_token_store_response(store, r, &n_tokens[r]);
    for (int64_t r = mine.begin; r < mine.end && status == DPO_OK; r++) {
        int64_t n_prompt;
        const int32_t *prompt =
            dpo_token_store_prompt(store, dpo_token_store_response_prompt(store, r), &n_prompt);
        const int32_t *response = dpo_token_store_response(store, r, &n_tokens[r]);

        local[r - mine.begin] = dpo_reference_digest(n_prompt, prompt, n_tokens[r], response);
    }
    status = dpo_agree(grid, status);
    if (status == DPO_OK)
        dpo_all_gather_bytes(grid, DPO_WORLD, dpo_range_length(mine) * (int64_t)sizeof *local,
                             local, digests);
    dpo_free(local);
    return status;
}
