// SPDX-License-Identifier: Apache-2.0
/*
 * An own file in /dev/shm instead of MPI_Win_allocate_shared: the pages are asked for one by one here, so
 * a full /dev/shm (64 MiB in many containers) is an answer, not a SIGBUS at the first touch of a page, and
 * MPI libraries print nothing about it.
 */
#include "shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 64, ROOT = 0 };

static int make_file(char name[NAME_BYTES], int64_t bytes)
{
    static int n_made;

    (void)snprintf(name, NAME_BYTES, "/mpidpo.%ld.%d", (long)getpid(), n_made++);
    int file = shm_open(name, O_CREAT | O_EXCL | O_RDWR, S_IRUSR | S_IWUSR);

    if (file >= 0 && ftruncate(file, (off_t)bytes) == 0) return file;
    if (file < 0)
        name[0] = '\0';
    else
        (void)close(file);
    return -1;
}

static bool get_pages(int file, int n_mine, const dpo_range *mine)
{
    int failure = 0;

    for (int i = 0; i < n_mine && failure == 0; i++) {
        off_t length = (off_t)dpo_range_length(mine[i]);

        do
            failure = length > 0 ? posix_fallocate(file, (off_t)mine[i].begin, length) : 0;
        while (failure == EINTR);
    }
    return failure == 0;
}

static bool map_file(int file, int64_t bytes, dpo_shared_memory *memory)
{
    void *base = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, (off_t)0);

    if (base == MAP_FAILED) return false;
    *memory = (dpo_shared_memory){base, bytes};
    return true;
}

bool dpo_shared_memory_create(MPI_Comm comm, int64_t bytes, int n_mine, const dpo_range *mine,
                              dpo_shared_memory *memory)
{
    char name[NAME_BYTES] = "";
    int file = -1;
    int rank;

    *memory = (dpo_shared_memory){0};
    MPI_Comm_rank(comm, &rank);
    if (rank == ROOT) file = make_file(name, bytes);
    MPI_Bcast(name, NAME_BYTES, MPI_CHAR, ROOT, comm);
    if (rank != ROOT && name[0] != '\0') file = shm_open(name, O_RDWR, 0);
    int done = file >= 0 && get_pages(file, n_mine, mine) && map_file(file, bytes, memory);

    if (file >= 0) (void)close(file);
    MPI_Allreduce(MPI_IN_PLACE, &done, 1, MPI_INT, MPI_MIN, comm);
    if (rank == ROOT && name[0] != '\0') (void)shm_unlink(name);
    if (!done) dpo_shared_memory_destroy(memory);
    return done;
}

void dpo_shared_memory_destroy(dpo_shared_memory *memory)
{
    if (memory->base != NULL) (void)munmap(memory->base, (size_t)memory->bytes);
    *memory = (dpo_shared_memory){0};
}
