// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/grid.h"

#include "dpo/base/memory.h"
#include "grid_private.h"

/*
 * The world in the order of the nodes: ranks that a launcher dealt to the nodes in turn (Slurm's cyclic
 * distribution) become neighbours, and tensor-parallel ranks are neighbours. Rank 0 stays the first.
 */
static void order_world_by_node(MPI_Comm *world)
{
    MPI_Comm node;
    int first_of_node;

    MPI_Comm_rank(MPI_COMM_WORLD, &first_of_node);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Bcast(&first_of_node, 1, MPI_INT, 0, node);
    MPI_Comm_free(&node);
    MPI_Comm_split(MPI_COMM_WORLD, 0, first_of_node, world);
}

static void split_nodes(dpo_grid *grid, int pretended_node_size)
{
    MPI_Comm world = grid->comm[DPO_WORLD];
    int world_rank = grid->rank[DPO_WORLD];
    int is_first_of_node;

    if (pretended_node_size > 0)
        MPI_Comm_split(world, world_rank / pretended_node_size, 0, &grid->comm[DPO_NODE]);
    else
        MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &grid->comm[DPO_NODE]);
    MPI_Comm_rank(grid->comm[DPO_NODE], &grid->rank[DPO_NODE]);
    is_first_of_node = grid->rank[DPO_NODE] == 0;
    MPI_Scan(&is_first_of_node, &grid->node, 1, MPI_INT, MPI_SUM, world);
    grid->node--;
    MPI_Allreduce(&is_first_of_node, &grid->n_nodes, 1, MPI_INT, MPI_SUM, world);
}

static bool axis_spans_nodes(const dpo_grid *grid, dpo_axis axis)
{
    int least_and_most[2] = {-grid->node, grid->node};

    MPI_Allreduce(MPI_IN_PLACE, least_and_most, 2, MPI_INT, MPI_MAX, grid->comm[axis]);
    int spans = -least_and_most[0] != least_and_most[1];

    MPI_Allreduce(MPI_IN_PLACE, &spans, 1, MPI_INT, MPI_MAX, grid->comm[DPO_WORLD]);
    return spans != 0;
}

/* Splits the world into one communicator an axis. Key 0 keeps world order inside each. */
static void make_communicators(dpo_grid *grid, int tensor_size, int pretended_node_size)
{
    order_world_by_node(&grid->comm[DPO_WORLD]);
    MPI_Comm_rank(grid->comm[DPO_WORLD], &grid->rank[DPO_WORLD]);
    int world_rank = grid->rank[DPO_WORLD];

    MPI_Comm_split(grid->comm[DPO_WORLD], world_rank % tensor_size, 0, &grid->comm[DPO_DATA]);
    MPI_Comm_split(grid->comm[DPO_WORLD], world_rank / tensor_size, 0, &grid->comm[DPO_TENSOR]);
    split_nodes(grid, pretended_node_size);
    for (int axis = 0; axis < DPO_N_AXES; axis++) {
        MPI_Comm_rank(grid->comm[axis], &grid->rank[axis]);
        MPI_Comm_size(grid->comm[axis], &grid->size[axis]);
        grid->spans_nodes[axis] = axis_spans_nodes(grid, (dpo_axis)axis);
    }
}

static dpo_status get_memory(int size, dpo_grid **grid)
{
    dpo_status status = DPO_NEW(*grid, 1);

    if (status == DPO_OK) status = DPO_NEW((*grid)->gathered, (int64_t)size * DPO_GATHERED_ITEMS);
    return status;
}

static void free_memory(dpo_grid **grid)
{
    if (*grid != NULL) dpo_free((*grid)->gathered);
    dpo_free(*grid);
    *grid = NULL;
}

dpo_status dpo_grid_create_pretending(int tensor_size, int node_size, dpo_grid **grid)
{
    int size;
    int have_memory;

    *grid = NULL;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (tensor_size < 1 || size % tensor_size != 0)
        return DPO_FAIL(DPO_EUSAGE,
                        "parallel.tensor: %d does not divide the %d ranks of the job; start a "
                        "multiple of it or choose a divisor",
                        tensor_size, size);
    have_memory = get_memory(size, grid) == DPO_OK;
    MPI_Allreduce(MPI_IN_PLACE, &have_memory, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (!have_memory || *grid == NULL) {
        free_memory(grid);
        return DPO_FAIL(DPO_ENOMEM, "grid: no memory on at least one rank");
    }
    make_communicators(*grid, tensor_size, node_size);
    return DPO_OK;
}

dpo_status dpo_grid_create(int tensor_size, dpo_grid **grid)
{
    return dpo_grid_create_pretending(tensor_size, 0, grid);
}

void dpo_grid_destroy(dpo_grid **grid)
{
    if (*grid == NULL) return;
    for (int axis = 0; axis < DPO_N_AXES; axis++)
        MPI_Comm_free(&(*grid)->comm[axis]);
    free_memory(grid);
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

bool dpo_grid_tensor_spans_nodes(const dpo_grid *grid)
{
    return grid->spans_nodes[DPO_TENSOR];
}

bool dpo_true_everywhere(const dpo_grid *grid, bool condition)
{
    int all = condition;

    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, grid->comm[DPO_WORLD]);
    return all != 0;
}

static int64_t n_agreed, fail_at_agreement;
static int fail_on_rank;

void dpo_agree_fail_at(int64_t countdown, int rank)
{
    fail_at_agreement = countdown > 0 ? n_agreed + countdown : 0;
    fail_on_rank = rank;
}

int64_t dpo_agree_count(void)
{
    return n_agreed;
}

/* The local status, or a failure where a test wants one. */
static dpo_status count_agreement(const dpo_grid *grid, dpo_status local)
{
    n_agreed++;
    if (n_agreed != fail_at_agreement || grid->rank[DPO_WORLD] != fail_on_rank || local != DPO_OK)
        return local;
    return DPO_FAIL(DPO_EINTERNAL, "agreement: number %lld fails because a test wants it to",
                    (long long)n_agreed);
}

dpo_status dpo_agree(const dpo_grid *grid, dpo_status local)
{
    local = count_agreement(grid, local);
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
