// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_SHARED_MEMORY_H
#define DPO_COMM_SHARED_MEMORY_H

#include <mpi.h>
#include <stdbool.h>

#include "dpo/base/range.h"

/** Memory that several processes of a node see; zero-initialised it is none. */
typedef struct {
    char *base;    /**< page-aligned, zeroed at creation; this process's address of it */
    int64_t bytes; /**< > 0 unless base is NULL */
} dpo_shared_memory;

/**
 * Makes memory that the ranks of a communicator share. Nothing is left behind if a rank is killed later.
 * All its pages exist on return, so that no later access can fail.
 *
 * \collective{comm}
 * \param[in]  comm    Ranks of one node.
 * \param[in]  bytes   > 0, the same on every rank.
 * \param[in]  n_mine  Ranges in mine.
 * \param[in]  mine    Bytes whose pages this rank brings into being (near its processor); together all bytes.
 * \param[out] memory  For dpo_shared_memory_destroy(); none on failure.
 * \return The same on every rank: whether there was room.
 */
bool dpo_shared_memory_create(MPI_Comm comm, int64_t bytes, int n_mine, const dpo_range *mine,
                              dpo_shared_memory *memory);

/** Lets go of the memory; the last rank frees it. \local */
void dpo_shared_memory_destroy(dpo_shared_memory *memory);

#endif
