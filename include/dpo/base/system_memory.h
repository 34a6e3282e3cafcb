// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_SYSTEM_MEMORY_H
#define DPO_BASE_SYSTEM_MEMORY_H

/**
 * \file
 * What memory the system has for this process, and what the process uses of it (Linux).
 */

#include <stdint.h>

/**
 * Bytes that the processes of this node may still get: the least of what the kernel calls available and of
 * what the memory limits of this process' control groups (versions 1 and 2) leave.
 *
 * \local
 * \param[in] root  Folder in front of /proc and /sys, "" for the real ones.
 * \return 0 if the system does not say.
 */
int64_t dpo_system_memory_free(const char *root);

/**
 * Bytes of this process that are in memory now, its share of those that it has in common with others (so
 * that the sum over processes counts none twice); 0 if the system does not say. Takes milliseconds.
 *
 * \local
 */
int64_t dpo_system_memory_resident(void);

#endif
