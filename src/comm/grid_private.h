// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_GRID_PRIVATE_H
#define DPO_COMM_GRID_PRIVATE_H

#include <mpi.h>

#include "dpo/comm/grid.h"

enum { DPO_N_AXES = 4 };

/* Invariant: comm[axis], rank[axis] and size[axis] describe the same communicator, owned by the grid. */
struct dpo_grid {
    MPI_Comm comm[DPO_N_AXES];
    int rank[DPO_N_AXES];
    int size[DPO_N_AXES];
    int n_nodes;
};

#endif
