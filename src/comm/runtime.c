// SPDX-License-Identifier: Apache-2.0
#define _DEFAULT_SOURCE /* mallopt */
#include "dpo/comm/runtime.h"

#include <limits.h>
#include <malloc.h>
#include <mpi.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dpo/base/status.h"

static volatile sig_atomic_t stop_flag;

static void end_all_ranks(void)
{
    MPI_Abort(MPI_COMM_WORLD, dpo_exit_code(DPO_EINTERNAL));
}

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop_flag = 1;
}

void dpo_runtime_begin(int *argc, char ***argv)
{
    int provided;

    /* Pages that go back to the system are faulted in again: large messages then take twice the time. */
    (void)mallopt(M_MMAP_THRESHOLD, INT_MAX);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    /* OMPIO's aggregating writers have written wrong data (open-mpi/ompi#12718). */
    (void)setenv("OMPI_MCA_fcoll", "individual", 0);
    /* Writing behind a file's size limit (ulimit -f) is a failed call, not the end of the process. */
    (void)signal(SIGXFSZ, SIG_IGN);
    MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    dpo_assert_set_end(end_all_ranks);
}

/* Open MPI says "Open MPI v4.1.4, package: ...": the part in front of the comma will do. */
const char *dpo_runtime_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;

    MPI_Get_library_version(text, &length);
    text[strcspn(text, ",\n")] = '\0';
    return text;
}

void dpo_runtime_end(void)
{
    dpo_assert_set_end(abort);
    MPI_Finalize();
}

void dpo_stop_on_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    struct sigaction action = {0};

    action.sa_handler = ask_to_stop;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        (void)sigaction(signals[i], &action, NULL);
}

bool dpo_stop_requested(void)
{
    return stop_flag != 0;
}
