// SPDX-License-Identifier: Apache-2.0
#ifndef SCRATCH_H
#define SCRATCH_H

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mpi_test.h"

/* A folder of one test's own, the same on every rank; it is gone at the test's end. */
static char scratch[256];

static inline void begin_scratch(void)
{
    const char *parent = getenv("TMPDIR");

    (void)snprintf(scratch, sizeof scratch, "%s/mpidpo-XXXXXX", parent != NULL ? parent : "/tmp");
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0 && mkdtemp(scratch) == NULL) abort();
    dpo_broadcast(test_grid, DPO_WORLD, 0, sizeof scratch, scratch);
}

/* Path of a file of a name in the folder; two may be in use at the same time. */
static inline const char *in_scratch(const char *name)
{
    static char paths[2][512];
    static int turn;

    turn = !turn;
    (void)snprintf(paths[turn], sizeof paths[turn], "%s/%s", scratch, name);
    return paths[turn];
}

/* Names in the folder, without "." and "..", when all ranks have arrived. */
static inline int files_in_scratch(void)
{
    dpo_barrier(test_grid, DPO_WORLD);
    DIR *folder = opendir(scratch);
    int n = -2;

    if (folder == NULL) return -1;
    while (readdir(folder) != NULL)
        n++;
    (void)closedir(folder);
    return n;
}

static inline void end_scratch(void)
{
    DIR *folder;
    char path[1024];

    dpo_barrier(test_grid, DPO_WORLD);
    if (dpo_grid_rank(test_grid, DPO_WORLD) != 0) return;
    folder = opendir(scratch);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        (void)snprintf(path, sizeof path, "%s/%s", scratch, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(folder);
    (void)rmdir(scratch);
}

#endif
