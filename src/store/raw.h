// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_RAW_H
#define DPO_STORE_RAW_H

/*
 * Bytes in files by file descriptor, with one clear message for every way it can go wrong. "name"
 * is what messages call the file: its final name, not that of the temporary one.
 */

#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"

/** A failed system call on a file as a status: no space, too large, or errno's text. \local */
dpo_status dpo_raw_failed(const char *name, const char *verb, int error, int64_t n_bytes);

/** Opens an existing file; *fd is -1 on error. \local \errors{DPO_EIO} */
DPO_MUST_CHECK dpo_status dpo_raw_open(const char *path, const char *name, int flags, int *fd);

/** Makes an empty file, or empties one; *fd is -1 on error. \local \errors{DPO_EIO} */
DPO_MUST_CHECK dpo_status dpo_raw_create(const char *path, const char *name, int *fd);

/** Closes and sets to -1; -1 is left alone. \local */
void dpo_raw_close(int *fd);

/** Size of an open file. \local \errors{DPO_EIO} */
DPO_MUST_CHECK dpo_status dpo_raw_size(int fd, const char *name, int64_t *n_bytes);

/** Takes disk space for the first n_bytes of a file; what was not written reads as zero. \local
 * \errors{DPO_EIO} */
DPO_MUST_CHECK dpo_status dpo_raw_take_space(int fd, const char *name, int64_t n_bytes);

/** Reads exactly n_bytes at an offset. \local \errors{DPO_EIO, also if the file ends before} */
DPO_MUST_CHECK dpo_status dpo_raw_read(int fd, const char *name, int64_t offset, int64_t n_bytes,
                                       void *bytes);

/** Writes exactly n_bytes at an offset. \local \errors{DPO_EIO} */
DPO_MUST_CHECK dpo_status dpo_raw_write(int fd, const char *name, int64_t offset, int64_t n_bytes,
                                        const void *bytes);

/** Waits until a file is on the disk. \local \errors{DPO_EIO} */
DPO_MUST_CHECK dpo_status dpo_raw_flush(int fd, const char *name);

/** Renames a flushed file and flushes the folder, where its file system can. \local
 * \errors{DPO_EIO; DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_raw_rename(const char *temporary, const char *path);

/**
 * Gives every rank world rank 0's bytes, unless it failed.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid    The grid.
 * \param[in]     local   This rank's status so far.
 * \param[in,out] buffer  In: on world rank 0 the bytes, empty elsewhere; out: the bytes.
 * \errors{the first rank's local status; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_raw_share(const dpo_grid *grid, dpo_status local, dpo_buffer *buffer);

/**
 * World rank 0's dpo_file_temporary() on every rank.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid       The grid.
 * \param[in]  path       Final name, the same on every rank.
 * \param[out] temporary  Owned by the caller, for dpo_free(), also on error; NULL if there is none.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_raw_temporary(const dpo_grid *grid, const char *path,
                                            char **temporary);

#endif
