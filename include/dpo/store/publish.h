// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_PUBLISH_H
#define DPO_STORE_PUBLISH_H

/**
 * \file
 * Files that appear whole or not at all: they are written beside their final name, flushed to the
 * disk, and renamed.
 *
 * All functions are local. In a parallel program world rank 0 calls them and the ranks agree on its
 * status:
 *
 *     if (dpo_grid_rank(grid, DPO_WORLD) == 0) status = dpo_file_publish(path, text, n_bytes);
 *     return dpo_agree(grid, status);
 */

#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/digest.h"
#include "dpo/base/status.h"

/**
 * Makes a folder and all folders that lead to it; one that is there already is fine.
 *
 * \local
 * \param[in] path  The folder; "" and "." are the current one.
 * \errors{DPO_EIO if it cannot be made or a file is in its place; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_folder_create(const char *path);

/**
 * Names in a folder that begin and end with given texts, in the order of strcmp: numbers with
 * leading zeros come in their own order.
 *
 * \local
 * \param[in]     path    The folder; one that does not exist has no names.
 * \param[in]     prefix  Beginning, for example "step-"; may be "".
 * \param[in]     suffix  End, for example ".h5"; may be "".
 * \param[in,out] names   The names without the folder, each with its zero, are appended.
 * \param[out]    n_names How many.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_folder_list(const char *path, const char *prefix, const char *suffix,
                                          dpo_buffer *names, int64_t *n_names);

/**
 * Removes files, and folders of files, whose writer died before it published them: "*.tmp-NODE-PID"
 * where no such process lives on this node, or, from another node, where nothing was written for a
 * day.
 *
 * \local
 * \param[in]  path       The folder; one that does not exist has none.
 * \param[out] n_removed  How many were removed.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_folder_clean(const char *path, int64_t *n_removed);

/**
 * Name of the file that is written before it becomes path: "path.tmp-NODE-PID" of this process.
 *
 * \local
 * \param[in]  path  Final name.
 * \param[out] name  Owned by the caller, for dpo_free(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_file_temporary(const char *path, char **name);

/**
 * Writes a small file: at every moment path holds all of the old or all of the new contents.
 *
 * \local
 * \param[in] path     Final name; its folder exists.
 * \param[in] bytes    [n_bytes].
 * \param[in] n_bytes  >= 0.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_file_publish(const char *path, const void *bytes, int64_t n_bytes);

/**
 * Digest of a file's contents.
 *
 * \local
 * \param[in]  path    The file.
 * \param[out] digest  Equal to dpo_digest_of() of its bytes.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_file_digest(const char *path, dpo_digest *digest);

#endif
