// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_BINDING_H
#define DPO_COMM_BINDING_H

/**
 * \file
 * Which processors the launcher lets each rank use.
 */

#include "dpo/comm/grid.h"

/** Processors of this rank. */
typedef struct {
    int n_cpus;   /**< it may run on, > 0 */
    int n_shared; /**< ranks of its node, itself included, that may run on any of these */
} dpo_binding;

/** Finds out. \collective{the ranks of the node} */
dpo_binding dpo_binding_of(const dpo_grid *grid);

/** Threads a rank should run so that no processor has two: n_cpus / n_shared, at least 1. \local */
int dpo_binding_threads(const dpo_binding *binding);

#endif
