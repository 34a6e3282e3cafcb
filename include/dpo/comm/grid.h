// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_GRID_H
#define DPO_COMM_GRID_H

/**
 * \file
 * The grid of ranks: data-parallel x tensor-parallel, and how ranks agree on a failure.
 *
 * Tensor-parallel ranks are neighbours in the world:
 *
 *     world rank = data_rank * tensor_size + tensor_rank
 *
 * World ranks are numbered node by node, in whichever order the launcher placed the processes; the first
 * process stays rank 0.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"

/** A grid of ranks with its communicators; opaque. */
typedef struct dpo_grid dpo_grid;

/** Along which ranks a collective runs. */
typedef enum {
    DPO_WORLD,  /**< all ranks */
    DPO_DATA,   /**< ranks that hold the same part of the model */
    DPO_TENSOR, /**< ranks that hold parts of the same model copy */
    DPO_NODE    /**< ranks that share memory */
} dpo_axis;

/**
 * Makes the grid of all ranks.
 *
 * \collective{all processes of the job}
 * \param[in]  tensor_size  Ranks that share one copy of the model, > 0, the same on every rank.
 * \param[out] grid         Owned by the caller; NULL on error.
 * \errors{DPO_EUSAGE if tensor_size does not divide the number of ranks; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_grid_create(int tensor_size, dpo_grid **grid);

/**
 * As dpo_grid_create(), but takes every node_size consecutive ranks for a node, so that what happens
 * between nodes happens on one machine: for tests and measurements.
 *
 * \collective{all processes of the job}
 * \param[in]  tensor_size  As for dpo_grid_create().
 * \param[in]  node_size    Ranks of a node, > 0; 0 asks the machine. The same on every rank.
 * \param[out] grid         Owned by the caller; NULL on error.
 * \errors{as for dpo_grid_create()}
 */
DPO_MUST_CHECK dpo_status dpo_grid_create_pretending(int tensor_size, int node_size,
                                                     dpo_grid **grid);

/** Destroys a grid and sets the pointer to NULL; NULL is left alone. \collective{all ranks of the grid} */
void dpo_grid_destroy(dpo_grid **grid);

/** This rank's number along an axis. \local */
int dpo_grid_rank(const dpo_grid *grid, dpo_axis axis);

/** Number of ranks along an axis. \local */
int dpo_grid_size(const dpo_grid *grid, dpo_axis axis);

/** Number of nodes of the job. \local */
int dpo_grid_nodes(const dpo_grid *grid);

/** Whether ranks that share a model copy lie on different nodes, anywhere in the grid. \local */
bool dpo_grid_tensor_spans_nodes(const dpo_grid *grid);

/**
 * Makes one status of all ranks' statuses; every local status leaves a collective function through here.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid   The grid.
 * \param[in] local  This rank's status.
 * \return DPO_OK if it is DPO_OK everywhere, else the status of the first rank that failed; its error
 *         record is then on every rank.
 */
DPO_MUST_CHECK dpo_status dpo_agree(const dpo_grid *grid, dpo_status local);

/**
 * For tests: lets dpo_agree() number `countdown` from now on (1 = the next one) see a failure of one rank.
 *
 * \local
 * \param[in] countdown  0 switches it off; the same on every rank.
 * \param[in] rank       World rank that fails, with DPO_EINTERNAL.
 */
void dpo_agree_fail_at(int64_t countdown, int rank);

/** Calls of dpo_agree() since the program began. \local */
int64_t dpo_agree_count(void);

/** As dpo_agree(), and DPO_EUSAGE if value differs between ranks. \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status dpo_agree_on(const dpo_grid *grid, const char *name, int64_t value);

#endif
