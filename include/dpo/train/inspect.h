// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_INSPECT_H
#define DPO_TRAIN_INSPECT_H

/**
 * \file
 * What a file or folder of this program holds, and whether it is whole.
 */

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"

/**
 * Prints it on standard output (world rank 0) and verifies the checksums of files that carry them.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid  The grid.
 * \param[in] path  Token store, reference cache, checkpoint or model folder.
 * \errors{DPO_EIO; DPO_EDATA if it is damaged or none of these; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_inspect(const dpo_grid *grid, const char *path);

#endif
