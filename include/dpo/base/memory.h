// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_MEMORY_H
#define DPO_BASE_MEMORY_H

/**
 * \file
 * All memory of the program: 64-byte aligned, zeroed, counted.
 *
 * Large blocks are fresh pages (huge ones where the system offers them) that are touched first by
 * whoever uses them. Tests end with dpo_memory_outstanding() == 0 and can make any allocation fail.
 */

#include <stddef.h>
#include <stdint.h>

#include "dpo/base/status.h"

/**
 * Allocates count items, all bytes zero; use DPO_NEW().
 *
 * \local
 * \param[in] count       >= 0; 0 gives a valid pointer.
 * \param[in] item_bytes  Size of one item.
 * \return The block, 64-byte aligned, owned by the caller, for dpo_free(); NULL if there is no memory.
 */
void *dpo_memory_get(int64_t count, size_t item_bytes);

/**
 * Records that an allocation failed; use DPO_NEW().
 *
 * \local
 * \return DPO_ENOMEM.
 */
dpo_status dpo_memory_failed(int64_t count, size_t item_bytes, const char *file, int line);

/**
 * Moves a block into one of another size; what is added is zero.
 *
 * \local
 * \param[in,out] pointer     Block of dpo_memory_get() or NULL; on success invalid, replaced by the result.
 * \param[in]     count       Items of the new block.
 * \param[in]     item_bytes  Size of one item.
 * \return The new block; NULL if there is no memory (the old one stays valid).
 */
void *dpo_memory_resize(void *pointer, int64_t count, size_t item_bytes);

/**
 * Frees a block.
 *
 * \local
 * \param[in] pointer  From dpo_memory_get() or dpo_memory_resize(); NULL is left alone.
 */
void dpo_free(void *pointer);

/**
 * A copy of a text.
 *
 * \local
 * \param[in]  text  Zero-terminated.
 * \param[out] copy  Owned by the caller, for dpo_free(); NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_text_copy(const char *text, char **copy);

/** Blocks allocated and not yet freed, of all threads. \local */
int64_t dpo_memory_outstanding(void);

/** Bytes in these blocks. \local */
int64_t dpo_memory_bytes(void);

/** Allocations since the program began, of all threads. \local */
int64_t dpo_memory_count(void);

/**
 * For tests: lets the allocation number `countdown` from now on fail (1 = the next one), once.
 *
 * \local
 * \param[in] countdown  0 switches it off.
 */
void dpo_memory_fail_after(int64_t countdown);

/** pointer = count zeroed items; a dpo_status: DPO_OK or DPO_ENOMEM with pointer NULL. */
#define DPO_NEW(pointer, count)                                       \
    (((pointer) = dpo_memory_get((count), sizeof *(pointer))) != NULL \
         ? DPO_OK                                                     \
         : (dpo_memory_failed((count), sizeof *(pointer), __FILE__, __LINE__), DPO_ENOMEM))

#endif
