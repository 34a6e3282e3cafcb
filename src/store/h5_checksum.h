// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_H5_CHECKSUM_H
#define DPO_STORE_H5_CHECKSUM_H

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/store/h5file.h"

/**
 * Reads back this rank's share of the pieces of all datasets and writes their checksums; the other
 * ranks' bytes are on the disk already. The caller agrees.
 *
 * \local
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_h5_seal(const dpo_grid *grid, const dpo_h5_file *file);

#endif
