// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/rows.h"

#include <omp.h>
#include <string.h>

#include "dpo/base/phase.h"
#include "element_rows.h"

enum { PARALLEL_FROM = 1 << 15, PIECE = 512 };

void dpo_rows_gather(dpo_element element, int64_t n_rows, int64_t width, const int64_t *row,
                     const void *x, void *y)
{
    size_t row_bytes = (size_t)(width * dpo_element_bytes(element));

    dpo_phase_begin(DPO_PHASE_EMBEDDING);
#pragma omp parallel for schedule(static) if (n_rows * width >= PARALLEL_FROM)
    for (int64_t r = 0; r < n_rows; r++)
        memcpy(dpo_at(element, y, r * width), dpo_const_at(element, x, row[r] * width), row_bytes);
    dpo_phase_end(DPO_PHASE_EMBEDDING);
}

/* dx += dy, one row. */
static void add_row(const dpo_kernels *kernels, dpo_element element, int64_t width, const void *dy,
                    void *dx)
{
    float addends[PIECE], sums[PIECE];
    int64_t step = element == DPO_F32 ? width : PIECE;

    for (int64_t i = 0; i < width; i += step) {
        int64_t n = i + step < width ? step : width - i;
        float *sum = dpo_begin_elements(element, dx, i, sums);

        (void)dpo_read_elements(kernels, element, dx, i, n, sums);
        kernels->add(n, dpo_read_elements(kernels, element, dy, i, n, addends), sum);
        dpo_end_elements(kernels, element, dx, i, n, sum);
    }
}

/* Every thread reads the whole list and serves the rows that are its own, so no two write one row. */
void dpo_rows_scatter_add(dpo_element element, int64_t n_rows, int64_t width, const int64_t *row,
                          dpo_range own, const void *dy, void *dx)
{
    const dpo_kernels *kernels = dpo_kernels_get();

    dpo_phase_begin(DPO_PHASE_EMBEDDING);
#pragma omp parallel if (n_rows * width >= PARALLEL_FROM)
    {
        int64_t n_threads = omp_get_num_threads(), thread = omp_get_thread_num();

        for (int64_t r = 0; r < n_rows; r++)
            if (row[r] % n_threads == thread && row[r] >= own.begin && row[r] < own.end)
                add_row(kernels, element, width, dpo_const_at(element, dy, r * width),
                        dpo_at(element, dx, (row[r] - own.begin) * width));
    }
    dpo_phase_end(DPO_PHASE_EMBEDDING);
}
