// SPDX-License-Identifier: Apache-2.0
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#include "dpo/base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Before each block lies one cache line that remembers its size, so that dpo_free() needs no other. */
enum { HEADER_BYTES = 64 };
/* From here on fresh pages are cheaper than clearing old ones, and first touch matters. */
static const size_t pages_from_bytes = (size_t)1 << 20;
static const size_t huge_page_bytes = (size_t)2 << 20;

static atomic_llong n_outstanding, n_bytes, n_count, fail_countdown;

static void *get_pages(size_t bytes)
{
    void *block =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, (off_t)0);

    if (block == MAP_FAILED) return NULL;
    if (bytes >= 4 * huge_page_bytes) (void)madvise(block, bytes, MADV_HUGEPAGE);
    return block;
}

static void *get_block(size_t bytes)
{
    if (bytes >= pages_from_bytes) return get_pages(bytes);
    size_t rounded = (bytes + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
    void *block = aligned_alloc(HEADER_BYTES, rounded);

    if (block != NULL) memset(block, 0, rounded);
    return block;
}

static int must_fail(void)
{
    return atomic_load(&fail_countdown) > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void *dpo_memory_get(int64_t count, size_t item_bytes)
{
    DPO_ASSERT(count >= 0);
    if (item_bytes > 0 && (uint64_t)count > ((uint64_t)PTRDIFF_MAX - HEADER_BYTES) / item_bytes)
        return NULL;
    size_t bytes = (size_t)count * item_bytes + HEADER_BYTES;
    unsigned char *block = must_fail() ? NULL : get_block(bytes);

    if (block == NULL) return NULL;
    memcpy(block, &bytes, sizeof bytes);
    atomic_fetch_add(&n_outstanding, 1);
    atomic_fetch_add(&n_count, 1);
    atomic_fetch_add(&n_bytes, (long long)bytes);
    return block + HEADER_BYTES;
}

static size_t block_bytes(const void *pointer)
{
    size_t bytes;

    memcpy(&bytes, (const unsigned char *)pointer - HEADER_BYTES, sizeof bytes);
    return bytes;
}

void dpo_free(void *pointer)
{
    if (pointer == NULL) return;
    size_t bytes = block_bytes(pointer);
    unsigned char *block = (unsigned char *)pointer - HEADER_BYTES;

    atomic_fetch_sub(&n_outstanding, 1);
    atomic_fetch_sub(&n_bytes, (long long)bytes);
    if (bytes >= pages_from_bytes)
        (void)munmap(block, bytes);
    else
        free(block);
}

void *dpo_memory_resize(void *pointer, int64_t count, size_t item_bytes)
{
    void *block = dpo_memory_get(count, item_bytes);

    if (block == NULL || pointer == NULL) return block;
    size_t old_bytes = block_bytes(pointer) - HEADER_BYTES;
    size_t new_bytes = (size_t)count * item_bytes;

    memcpy(block, pointer, old_bytes < new_bytes ? old_bytes : new_bytes);
    dpo_free(pointer);
    return block;
}

dpo_status dpo_memory_failed(int64_t count, size_t item_bytes, const char *file, int line)
{
    return dpo_fail(DPO_ENOMEM, file, line,
                    "memory: no %.1f MiB more to be had (%.1f MiB in use); use fewer tokens per "
                    "micro-batch (batch.tokens), more ranks or a larger node",
                    (double)count * (double)item_bytes / 1048576.0,
                    (double)dpo_memory_bytes() / 1048576.0);
}

dpo_status dpo_text_copy(const char *text, char **copy)
{
    DPO_TRY(DPO_NEW(*copy, (int64_t)strlen(text) + 1));
    memcpy(*copy, text, strlen(text) + 1);
    return DPO_OK;
}

int64_t dpo_memory_outstanding(void)
{
    return atomic_load(&n_outstanding);
}

int64_t dpo_memory_bytes(void)
{
    return atomic_load(&n_bytes);
}

int64_t dpo_memory_count(void)
{
    return atomic_load(&n_count);
}

void dpo_memory_fail_after(int64_t countdown)
{
    atomic_store(&fail_countdown, countdown);
}
