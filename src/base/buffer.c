// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dpo/base/memory.h"

/* Makes room for n_bytes more and the terminating zero. */
static dpo_status reserve(dpo_buffer *buffer, int64_t n_bytes)
{
    int64_t need = buffer->size_bytes + n_bytes + 1;
    int64_t capacity = buffer->capacity_bytes * 2;

    if (need <= buffer->capacity_bytes) return DPO_OK;
    if (capacity < 64) capacity = 64;
    if (capacity < need) capacity = need;
    void *data = dpo_memory_resize(buffer->data, capacity, 1);

    if (data == NULL) return dpo_memory_failed(capacity, 1, __FILE__, __LINE__);
    buffer->data = data;
    buffer->capacity_bytes = capacity;
    return DPO_OK;
}

static char *end_of(const dpo_buffer *buffer)
{
    return (char *)buffer->data + buffer->size_bytes;
}

dpo_status dpo_buffer_append(dpo_buffer *buffer, const void *bytes, int64_t n_bytes)
{
    DPO_TRY(reserve(buffer, n_bytes));
    if (bytes != NULL && n_bytes > 0) memcpy(end_of(buffer), bytes, (size_t)n_bytes);
    if (bytes == NULL && n_bytes > 0) memset(end_of(buffer), 0, (size_t)n_bytes);
    buffer->size_bytes += n_bytes;
    *end_of(buffer) = '\0';
    return DPO_OK;
}

dpo_status dpo_buffer_append_text(dpo_buffer *buffer, const char *text)
{
    return dpo_buffer_append(buffer, text, (int64_t)strlen(text));
}

dpo_status dpo_buffer_printf(dpo_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_list again;
    int n;

    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    DPO_ASSERT(n >= 0);
    dpo_status status = reserve(buffer, n);

    if (status == DPO_OK) {
        (void)vsnprintf(end_of(buffer), (size_t)n + 1, format, again);
        buffer->size_bytes += n;
    }
    va_end(again);
    return status;
}

static dpo_status append_stream(dpo_buffer *buffer, FILE *stream, const char *path)
{
    enum { PIECE_BYTES = 1 << 16 };

    for (;;) {
        DPO_TRY(reserve(buffer, PIECE_BYTES));
        size_t n = fread(end_of(buffer), 1, PIECE_BYTES, stream);

        buffer->size_bytes += (int64_t)n;
        *end_of(buffer) = '\0';
        if (ferror(stream))
            return DPO_FAIL(DPO_EIO, "%s: cannot be read: %s", path, strerror(errno));
        if (n < PIECE_BYTES) return DPO_OK;
    }
}

dpo_status dpo_buffer_append_file(dpo_buffer *buffer, const char *path)
{
    FILE *stream = fopen(path, "rb");

    if (stream == NULL) return DPO_FAIL(DPO_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    dpo_status status = append_stream(buffer, stream, path);

    (void)fclose(stream);
    return status;
}

const char *dpo_buffer_text(const dpo_buffer *buffer)
{
    return buffer->data != NULL ? buffer->data : "";
}

void dpo_buffer_clear(dpo_buffer *buffer)
{
    buffer->size_bytes = 0;
    if (buffer->data != NULL) *end_of(buffer) = '\0';
}

void dpo_buffer_destroy(dpo_buffer *buffer)
{
    dpo_free(buffer->data);
    *buffer = (dpo_buffer){0};
}
