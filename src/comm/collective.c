// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/collective.h"

#include <mpi.h>
#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "dpo/base/range.h"
#include "grid_private.h"

/* Messages are cut into pieces: MPI's counts are int, and pieces keep what is summed in cache. */
enum { PIECE_ITEMS = 1 << 18, MAX_ITEMS = 1 << 30 };

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

/*
 * Who holds what: rank r ends with the sum of part r. In round d every rank sends part (rank + d) to its
 * owner and receives its own part from rank - d, piece by piece. Sums must run in rank order, but the
 * pieces of all ranks for one position are needed for that; so a position's pieces are received from all
 * others at once and then added in rank order.
 */
static void add_piece(const dpo_grid *grid, dpo_axis axis, int count, float *own,
                      const float *received)
{
    int rank = grid->rank[axis];

    for (int i = 0; i < count; i++) {
        float sum = 0.0f;

        for (int r = 0, at = 0; r < grid->size[axis]; r++)
            sum += r == rank ? own[i] : received[(int64_t)(at++) * PIECE_ITEMS + i];
        own[i] = sum;
    }
}

static int64_t longest_part(int64_t n, int size)
{
    return dpo_range_length(dpo_range_of_part(n, size, 0));
}

void dpo_reduce_scatter_f32(const dpo_grid *grid, dpo_axis axis, int64_t n, float *values)
{
    int size = grid->size[axis];
    int rank = grid->rank[axis];

    if (size == 1) return;
    double begin_s = dpo_clock_s();
    dpo_range mine = dpo_range_of_part(n, size, rank);
    float *received = dpo_memory_get((int64_t)(size - 1) * PIECE_ITEMS, sizeof *received);
    MPI_Request *requests = dpo_memory_get(2 * (int64_t)(size - 1), sizeof(MPI_Request));

    DPO_ASSERT(received != NULL && requests != NULL);
    for (int64_t at = 0; at < longest_part(n, size); at += PIECE_ITEMS) {
        int n_requests = 0;
        int slot = 0;
        int my_count = piece_of(dpo_range_length(mine), at, PIECE_ITEMS);

        for (int r = 0; r < size; r++) {
            if (r == rank) continue;
            dpo_range part = dpo_range_of_part(n, size, r);
            int count = piece_of(dpo_range_length(part), at, PIECE_ITEMS);

            if (my_count > 0)
                MPI_Irecv(received + (int64_t)slot * PIECE_ITEMS, my_count, MPI_FLOAT, r, 0,
                          grid->comm[axis], &requests[n_requests++]);
            if (count > 0)
                MPI_Isend(values + part.begin + at, count, MPI_FLOAT, r, 0, grid->comm[axis],
                          &requests[n_requests++]);
            slot++;
        }
        MPI_Waitall(n_requests, requests, MPI_STATUSES_IGNORE);
        if (my_count > 0) add_piece(grid, axis, my_count, values + mine.begin + at, received);
    }
    dpo_free(requests);
    dpo_free(received);
    comm_time_s += dpo_clock_s() - begin_s;
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
