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
 */

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

/** Destroys a grid and sets the pointer to NULL; NULL is left alone. \collective{all ranks of the grid} */
void dpo_grid_destroy(dpo_grid **grid);

/** This rank's number along an axis. \local */
int dpo_grid_rank(const dpo_grid *grid, dpo_axis axis);

/** Number of ranks along an axis. \local */
int dpo_grid_size(const dpo_grid *grid, dpo_axis axis);

/** Number of nodes of the job. \local */
int dpo_grid_nodes(const dpo_grid *grid);

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

/** As dpo_agree(), and DPO_EUSAGE if value differs between ranks. \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status dpo_agree_on(const dpo_grid *grid, const char *name, int64_t value);

#endif
