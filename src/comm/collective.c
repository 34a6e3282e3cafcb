// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/collective.h"

#include <mpi.h>
#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/range.h"
#include "grid_private.h"

/* MPI's counts are int: more is sent in pieces. */
enum { MAX_ITEMS = 1 << 30 };

static double comm_time_s;

double dpo_comm_time_s(void)
{
    return comm_time_s;
}

static int piece_of(int64_t n, int64_t at, int64_t piece)
{
    return (int)(n - at < piece ? n - at : piece);
}

static void reduce_in_place(const dpo_grid *grid, dpo_axis axis, int64_t n, char *values,
                            int item_bytes, MPI_Datatype type, MPI_Op op)
{
    double begin_s = dpo_clock_s();

    for (int64_t at = 0; at < n; at += MAX_ITEMS)
        MPI_Allreduce(MPI_IN_PLACE, values + at * item_bytes, piece_of(n, at, MAX_ITEMS), type, op,
                      grid->comm[axis]);
    comm_time_s += dpo_clock_s() - begin_s;
}

void dpo_comm_time_add(double s)
{
    comm_time_s += s;
}

/* MPI_Allreduce may add in any order; gathering and adding in rank order may not. */
void dpo_sum_f64(const dpo_grid *grid, dpo_axis axis, int64_t n, double *values)
{
    double begin_s = dpo_clock_s();
    double *all = grid->gathered;

    for (int64_t at = 0; at < n; at += DPO_GATHERED_ITEMS) {
        int count = piece_of(n, at, DPO_GATHERED_ITEMS);

        MPI_Allgather(values + at, count, MPI_DOUBLE, all, count, MPI_DOUBLE, grid->comm[axis]);
        for (int i = 0; i < count; i++) {
            double sum = 0.0;

            for (int r = 0; r < grid->size[axis]; r++)
                sum += all[(int64_t)r * count + i];
            values[at + i] = sum;
        }
    }
    comm_time_s += dpo_clock_s() - begin_s;
}

void dpo_sum_i64(const dpo_grid *grid, dpo_axis axis, int64_t n, int64_t *values)
{
    reduce_in_place(grid, axis, n, (char *)values, sizeof *values, MPI_INT64_T, MPI_SUM);
}

void dpo_max_f64(const dpo_grid *grid, dpo_axis axis, int64_t n, double *values)
{
    reduce_in_place(grid, axis, n, (char *)values, sizeof *values, MPI_DOUBLE, MPI_MAX);
}

void dpo_max_i64(const dpo_grid *grid, dpo_axis axis, int64_t n, int64_t *values)
{
    reduce_in_place(grid, axis, n, (char *)values, sizeof *values, MPI_INT64_T, MPI_MAX);
}

int64_t dpo_sum_before_i64(const dpo_grid *grid, dpo_axis axis, int64_t value)
{
    int64_t before = 0;

    MPI_Exscan(&value, &before, 1, MPI_INT64_T, MPI_SUM, grid->comm[axis]);
    return grid->rank[axis] == 0 ? 0 : before;
}

void dpo_barrier(const dpo_grid *grid, dpo_axis axis)
{
    MPI_Barrier(grid->comm[axis]);
}

void dpo_broadcast(const dpo_grid *grid, dpo_axis axis, int root, int64_t n_bytes, void *bytes)
{
    double begin_s = dpo_clock_s();

    for (int64_t at = 0; at < n_bytes; at += MAX_ITEMS)
        MPI_Bcast((char *)bytes + at, piece_of(n_bytes, at, MAX_ITEMS), MPI_BYTE, root,
                  grid->comm[axis]);
    comm_time_s += dpo_clock_s() - begin_s;
}

void dpo_all_gather_bytes(const dpo_grid *grid, dpo_axis axis, int64_t n_local, const void *local,
                          void *all)
{
    char *end = all;

    for (int root = 0; root < grid->size[axis]; root++) {
        int64_t n = n_local;

        dpo_broadcast(grid, axis, root, sizeof n, &n);
        if (grid->rank[axis] == root && n > 0) memcpy(end, local, (size_t)n);
        dpo_broadcast(grid, axis, root, n, end);
        end += n;
    }
}

void dpo_all_gather_f32(const dpo_grid *grid, dpo_axis axis, int64_t n, float *values)
{
    int size = grid->size[axis];

    for (int r = 0; r < size && size > 1; r++) {
        dpo_range part = dpo_range_of_part(n, size, r);

        dpo_broadcast(grid, axis, r, dpo_range_length(part) * (int64_t)sizeof *values,
                      values + part.begin);
    }
}
