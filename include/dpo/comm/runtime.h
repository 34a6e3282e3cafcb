// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_RUNTIME_H
#define DPO_COMM_RUNTIME_H

/**
 * \file
 * Beginning and end of the parallel program, and requests to stop that arrive as signals.
 */

#include <stdbool.h>

/**
 * Starts MPI (funnelled threads) with settings that are safe and fast here: memory stays in the process
 * (mallopt), Open MPI writes files without aggregators. An assertion from now on ends all ranks.
 *
 * \collective{all processes of the job}
 * \param[in,out] argc  As in main.
 * \param[in,out] argv  As in main.
 */
void dpo_runtime_begin(int *argc, char ***argv);

/** Name and version of the MPI library, such as "Open MPI 4.1.4"; valid for ever. \local */
const char *dpo_runtime_library(void);

/** Ends MPI. \collective{all processes of the job} */
void dpo_runtime_end(void);

/** Lets SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 ask for an orderly stop instead of ending the process. \local */
void dpo_stop_on_signals(void);

/** Whether a signal asked this rank to stop. The ranks agree on it within the step loop. \local */
bool dpo_stop_requested(void);

#endif
