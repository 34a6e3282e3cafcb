// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_BUFFER_H
#define DPO_BASE_BUFFER_H

/**
 * \file
 * A growing run of bytes: texts, and arrays whose length is found while they are filled.
 *
 * Invariant: size_bytes < capacity_bytes or data == NULL; data[size_bytes] is zero, so that a text is
 * always terminated. data is 64-byte aligned, so it may hold items of any type.
 */

#include <stddef.h>
#include <stdint.h>

#include "dpo/base/status.h"

/** A growing run of bytes; zero-initialised it is empty. */
typedef struct {
    void *data;             /**< owned; NULL while nothing was appended */
    int64_t size_bytes;     /**< bytes in use */
    int64_t capacity_bytes; /**< bytes allocated */
} dpo_buffer;

/**
 * Appends bytes.
 *
 * \local
 * \param[in,out] buffer  The buffer; unchanged on error.
 * \param[in]     bytes   [n_bytes]; must not lie inside the buffer; NULL appends zeros.
 * \param[in]     n_bytes >= 0.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_buffer_append(dpo_buffer *buffer, const void *bytes, int64_t n_bytes);

/** Appends a zero-terminated text, without its zero. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_buffer_append_text(dpo_buffer *buffer, const char *text);

/** Appends as printf. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_buffer_printf(dpo_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/**
 * Appends a whole file.
 *
 * \local
 * \param[in,out] buffer  The buffer.
 * \param[in]     path    File to read.
 * \errors{DPO_EIO if it cannot be opened or read; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_buffer_append_file(dpo_buffer *buffer, const char *path);

/** The text, zero-terminated; "" while empty. Borrowed until the next change. \local */
const char *dpo_buffer_text(const dpo_buffer *buffer);

/** Empties the buffer and keeps its memory. \local */
void dpo_buffer_clear(dpo_buffer *buffer);

/** Frees the memory and makes the buffer empty. \local */
void dpo_buffer_destroy(dpo_buffer *buffer);

#endif
