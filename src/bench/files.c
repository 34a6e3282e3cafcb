// SPDX-License-Identifier: Apache-2.0
/*
 * A file as checkpoints are: one dataset, each rank its own part, with checksums and flushed to the disk; read back
 * after the page cache was told to forget it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bench_private.h"
#include "dpo/base/buffer.h"
#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/store/h5file.h"

enum { ITEMS_PER_RANK = 1 << 24 };

static int64_t first_item(const dpo_grid *grid)
{
    return (int64_t)ITEMS_PER_RANK * dpo_grid_rank(grid, DPO_WORLD);
}

static dpo_status write_file(const dpo_grid *grid, const char *path, const float *values)
{
    const dpo_h5_dataset dataset = {
        "values", DPO_H5_F32, 1, {(int64_t)ITEMS_PER_RANK * dpo_grid_size(grid, DPO_WORLD)}};
    const dpo_h5_layout layout = {.kind = DPO_H5_SEALED, .n_datasets = 1, .datasets = &dataset};
    dpo_h5_file *file;

    DPO_TRY(dpo_h5_create(grid, path, &layout, &file));
    dpo_status status = dpo_h5_write(file, 0, first_item(grid), ITEMS_PER_RANK, values);

    return dpo_h5_publish(grid, status, &file);
}

static dpo_status read_file(const dpo_grid *grid, const char *path, float *values)
{
    dpo_h5_file *file;

    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_READ, &file));
    dpo_status status = dpo_h5_read(file, 0, first_item(grid), ITEMS_PER_RANK, values);

    dpo_h5_close(&file);
    return dpo_agree(grid, status);
}

/* A wish; a file system that has no such thing reads from its cache. */
static void forget_pages(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0) return;
    (void)posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(descriptor);
}

/* Seconds since begin_s of the slowest rank. */
static double slowest_since(const dpo_grid *grid, double begin_s)
{
    double seconds = dpo_clock_s() - begin_s;

    dpo_max_f64(grid, DPO_WORLD, 1, &seconds);
    return seconds;
}

static dpo_status measure(dpo_bench *bench, const char *path, float *values)
{
    const dpo_grid *grid = bench->grid;
    dpo_bench_case row = {.group = "files",
                          .name = "write, checksums, flush",
                          .unit = "B/s",
                          .amount = (double)ITEMS_PER_RANK * sizeof *values};

    dpo_barrier(grid, DPO_WORLD);
    double begin_s = dpo_clock_s();

    DPO_TRY(write_file(grid, path, values));
    DPO_TRY(dpo_bench_put(bench, &row, slowest_since(grid, begin_s)));
    forget_pages(path);
    dpo_barrier(grid, DPO_WORLD);
    begin_s = dpo_clock_s();
    DPO_TRY(read_file(grid, path, values));
    row.name = "read";
    return dpo_bench_put(bench, &row, slowest_since(grid, begin_s));
}

dpo_status dpo_bench_files(dpo_bench *bench)
{
    dpo_buffer path = {0};
    float *values = NULL;
    dpo_status status = dpo_bench_values(ITEMS_PER_RANK, &values);

    if (status == DPO_OK) status = dpo_buffer_printf(&path, "%s/bench.h5", bench->options->folder);
    status = dpo_agree(bench->grid, status);
    if (status == DPO_OK) status = measure(bench, dpo_buffer_text(&path), values);
    if (dpo_grid_rank(bench->grid, DPO_WORLD) == 0) (void)unlink(dpo_buffer_text(&path));
    dpo_buffer_destroy(&path);
    dpo_free(values);
    return status;
}
