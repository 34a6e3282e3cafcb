// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/grid.h"

#include "dpo/base/memory.h"
#include "grid_private.h"

/* Splits the world into one communicator an axis. Key 0 keeps world order inside each. */
static void make_communicators(dpo_grid *grid, int tensor_size)
{
    int world_rank = grid->rank[DPO_WORLD];

    MPI_Comm_split(grid->comm[DPO_WORLD], world_rank % tensor_size, 0, &grid->comm[DPO_DATA]);
    MPI_Comm_split(grid->comm[DPO_WORLD], world_rank / tensor_size, 0, &grid->comm[DPO_TENSOR]);
    MPI_Comm_split_type(grid->comm[DPO_WORLD], MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL,
                        &grid->comm[DPO_NODE]);
    for (int axis = DPO_DATA; axis < DPO_N_AXES; axis++) {
        MPI_Comm_rank(grid->comm[axis], &grid->rank[axis]);
        MPI_Comm_size(grid->comm[axis], &grid->size[axis]);
    }
    int is_first_of_node = grid->rank[DPO_NODE] == 0;

    MPI_Allreduce(&is_first_of_node, &grid->n_nodes, 1, MPI_INT, MPI_SUM, grid->comm[DPO_WORLD]);
}

dpo_status dpo_grid_create(int tensor_size, dpo_grid **grid)
{
    dpo_status status = DPO_NEW(*grid, 1);
    int have_memory = status == DPO_OK;
    int all_have_memory;
    int size;

    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&have_memory, &all_have_memory, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (*grid == NULL || !all_have_memory) {
        dpo_free(*grid);
        *grid = NULL;
        return DPO_FAIL(DPO_ENOMEM, "grid: no memory on at least one rank");
    }
    if (tensor_size < 1 || size % tensor_size != 0) {
        dpo_free(*grid);
        *grid = NULL;
        return DPO_FAIL(DPO_EUSAGE,
                        "parallel.tensor: %d does not divide the %d ranks of the job; start a "
                        "multiple of it or choose a divisor",
                        tensor_size, size);
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &(*grid)->comm[DPO_WORLD]);
    MPI_Comm_rank((*grid)->comm[DPO_WORLD], &(*grid)->rank[DPO_WORLD]);
    (*grid)->size[DPO_WORLD] = size;
    make_communicators(*grid, tensor_size);
    return DPO_OK;
}

void dpo_grid_destroy(dpo_grid **grid)
{
    if (*grid == NULL) return;
    for (int axis = 0; axis < DPO_N_AXES; axis++)
        MPI_Comm_free(&(*grid)->comm[axis]);
    dpo_free(*grid);
    *grid = NULL;
}

int dpo_grid_rank(const dpo_grid *grid, dpo_axis axis)
{
    return grid->rank[axis];
}

int dpo_grid_size(const dpo_grid *grid, dpo_axis axis)
{
    return grid->size[axis];
}

int dpo_grid_nodes(const dpo_grid *grid)
{
    return grid->n_nodes;
}

dpo_status dpo_agree(const dpo_grid *grid, dpo_status local)
{
    MPI_Comm comm = grid->comm[DPO_WORLD];
    dpo_error *error = dpo_last_error();
    int failed = local != DPO_OK;
    int n_failed;

    MPI_Allreduce(&failed, &n_failed, 1, MPI_INT, MPI_SUM, comm);
    if (n_failed == 0) return DPO_OK;
    int first = failed ? grid->rank[DPO_WORLD] : grid->size[DPO_WORLD];

    MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm);
    error->rank = grid->rank[DPO_WORLD];
    error->n_failed = n_failed;
    MPI_Bcast(error, (int)sizeof *error, MPI_BYTE, first, comm);
    return error->status;
}

dpo_status dpo_agree_on(const dpo_grid *grid, const char *name, int64_t value)
{
    int64_t both[2] = {-value, value}; /* the maximum of {-x, x} is {-min, max} */

    MPI_Allreduce(MPI_IN_PLACE, both, 2, MPI_INT64_T, MPI_MAX, grid->comm[DPO_WORLD]);
    if (-both[0] == both[1]) return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE,
                    "%s must be the same on every rank, but lies between %lld and %lld; start all "
                    "ranks with the same command",
                    name, (long long)-both[0], (long long)both[1]);
}
