// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT, CPU_AND */
#include "dpo/comm/binding.h"

#include <mpi.h>
#include <sched.h>

#include "dpo/base/memory.h"
#include "grid_private.h"

dpo_binding dpo_binding_of(const dpo_grid *grid)
{
    int n_ranks = grid->size[DPO_NODE];
    dpo_binding binding = {1, 0};
    cpu_set_t mine;
    cpu_set_t *all = dpo_memory_get(n_ranks, sizeof *all);

    DPO_ASSERT(all != NULL);
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) > 0)
        binding.n_cpus = CPU_COUNT(&mine);
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, grid->comm[DPO_NODE]);
    for (int r = 0; r < n_ranks; r++) {
        cpu_set_t both;

        CPU_AND(&both, &mine, &all[r]);
        binding.n_shared += CPU_COUNT(&both) > 0;
    }
    if (binding.n_shared == 0) binding.n_shared = 1;
    dpo_free(all);
    return binding;
}

int dpo_binding_threads(const dpo_binding *binding)
{
    int n = binding->n_cpus / binding->n_shared;

    return n > 0 ? n : 1;
}
