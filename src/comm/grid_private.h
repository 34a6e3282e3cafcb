// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_GRID_PRIVATE_H
#define DPO_COMM_GRID_PRIVATE_H

#include <mpi.h>
#include <stdbool.h>

#include "dpo/comm/grid.h"

enum { DPO_N_AXES = 4 };

/*
 * Invariant: comm[axis], rank[axis] and size[axis] describe the same communicator, owned by the grid. The
 * world is in the order of the nodes; nodes are numbered in it.
 */
struct dpo_grid {
    MPI_Comm comm[DPO_N_AXES];
    int rank[DPO_N_AXES];
    int size[DPO_N_AXES];
    int node; /* of this rank, [0, n_nodes) */
    int n_nodes;
    bool spans_nodes
        [DPO_N_AXES]; /* whether any of the axis's communicators does; same on every rank */
    double *gathered; /* [DPO_GATHERED_ITEMS * size of the world], for sums */
};

enum { DPO_GATHERED_ITEMS = 64 };

/* Whether a condition holds on all ranks; says nothing about why not. Collective on all ranks of the grid. */
bool dpo_true_everywhere(const dpo_grid *grid, bool condition);

/* Adds to what dpo_comm_time_s() tells. */
void dpo_comm_time_add(double s);

#endif
