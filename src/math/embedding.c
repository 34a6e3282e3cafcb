// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/embedding.h"

#include <omp.h>
#include <string.h>

#include "dpo/base/phase.h"
#include "kernels/kernels.h"

enum { PARALLEL_FROM = 1 << 15 };

static int is_local(dpo_range vocabulary_local, int32_t token)
{
    return token >= vocabulary_local.begin && token < vocabulary_local.end;
}

void dpo_embedding_forward(int64_t n_tokens, int64_t d_model, dpo_range vocabulary_local,
                           const int32_t *token, const float *table, float *y)
{
    size_t row_bytes = (size_t)d_model * sizeof *y;

    dpo_phase_begin(DPO_PHASE_EMBEDDING);
#pragma omp parallel for schedule(static) if (n_tokens * d_model >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++) {
        int64_t row = token[n] - vocabulary_local.begin;

        if (is_local(vocabulary_local, token[n]))
            memcpy(y + n * d_model, table + row * d_model, row_bytes);
        else
            memset(y + n * d_model, 0, row_bytes);
    }
    dpo_phase_end(DPO_PHASE_EMBEDDING);
}

/* Every thread reads all tokens and serves the rows that are its own, so no two write one row. */
void dpo_embedding_backward(int64_t n_tokens, int64_t d_model, dpo_range vocabulary_local,
                            const int32_t *token, const float *dy, float *dtable)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_EMBEDDING);
#pragma omp parallel if (n_tokens * d_model >= PARALLEL_FROM)
    {
        int64_t n_threads = omp_get_num_threads(), thread = omp_get_thread_num();

        for (int64_t n = 0; n < n_tokens; n++) {
            int64_t row = token[n] - vocabulary_local.begin;

            if (is_local(vocabulary_local, token[n]) && row % n_threads == thread)
                kernels->add(d_model, dy + n * d_model, dtable + row * d_model);
        }
    }
    dpo_phase_end(DPO_PHASE_EMBEDDING);
}
