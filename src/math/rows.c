// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/rows.h"

#include <omp.h>
#include <string.h>

#include "dpo/base/phase.h"
#include "kernels/kernels.h"

enum { PARALLEL_FROM = 1 << 15 };

void dpo_rows_gather(int64_t n_rows, int64_t width, const int64_t *row, const float *x, float *y)
{
    dpo_phase_begin(DPO_PHASE_EMBEDDING);
#pragma omp parallel for schedule(static) if (n_rows * width >= PARALLEL_FROM)
    for (int64_t r = 0; r < n_rows; r++)
        memcpy(y + r * width, x + row[r] * width, (size_t)width * sizeof *y);
    dpo_phase_end(DPO_PHASE_EMBEDDING);
}

/* Every thread reads the whole list and serves the rows that are its own, so no two write one row. */
void dpo_rows_scatter_add(int64_t n_rows, int64_t width, const int64_t *row, dpo_range own,
                          const float *dy, float *dx)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_EMBEDDING);
#pragma omp parallel if (n_rows * width >= PARALLEL_FROM)
    {
        int64_t n_threads = omp_get_num_threads(), thread = omp_get_thread_num();

        for (int64_t r = 0; r < n_rows; r++)
            if (row[r] % n_threads == thread && row[r] >= own.begin && row[r] < own.end)
                kernels->add(width, dy + r * width, dx + (row[r] - own.begin) * width);
    }
    dpo_phase_end(DPO_PHASE_EMBEDDING);
}
