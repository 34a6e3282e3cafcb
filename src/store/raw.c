// SPDX-License-Identifier: Apache-2.0
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "dpo/store/publish.h"

/* One call transfers less than 2 GiB on Linux; smaller pieces also let signals in. */
enum { PIECE_BYTES = 1 << 28 };

dpo_status dpo_raw_failed(const char *name, const char *verb, int error, int64_t n_bytes)
{
    double mib = (double)n_bytes / 1048576.0;

    if (error == ENOSPC || error == EDQUOT)
        return DPO_FAIL(DPO_EIO,
                        "%s: no space for %.1f MiB (%s); free space on its file system or choose "
                        "another folder",
                        name, mib, strerror(error));
    if (error == EFBIG)
        return DPO_FAIL(DPO_EIO,
                        "%s: %.1f MiB make the file larger than its limit; raise it (ulimit -f) or "
                        "choose a folder on another file system",
                        name, mib);
    return DPO_FAIL(DPO_EIO, "%s: cannot be %s: %s; check the path, its rights and its disk", name,
                    verb, strerror(error));
}

dpo_status dpo_raw_open(const char *path, const char *name, int flags, int *fd)
{
    *fd = open(path, flags | O_CLOEXEC);
    return *fd >= 0 ? DPO_OK : dpo_raw_failed(name, "opened", errno, 0);
}

dpo_status dpo_raw_create(const char *path, const char *name, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return *fd >= 0 ? DPO_OK : dpo_raw_failed(name, "created", errno, 0);
}

void dpo_raw_close(int *fd)
{
    if (*fd >= 0) (void)close(*fd);
    *fd = -1;
}

dpo_status dpo_raw_size(int fd, const char *name, int64_t *n_bytes)
{
    struct stat about;

    *n_bytes = 0;
    if (fstat(fd, &about) != 0) return dpo_raw_failed(name, "examined", errno, 0);
    *n_bytes = (int64_t)about.st_size;
    return DPO_OK;
}

dpo_status dpo_raw_take_space(int fd, const char *name, int64_t n_bytes)
{
    int error = 0;

    if (n_bytes == 0) return DPO_OK;
    do {
        error = posix_fallocate(fd, 0, (off_t)n_bytes);
    } while (error == EINTR);
    return error == 0 ? DPO_OK : dpo_raw_failed(name, "created", error, n_bytes);
}

static size_t piece_of(int64_t n_bytes, int64_t at)
{
    return (size_t)(n_bytes - at < PIECE_BYTES ? n_bytes - at : PIECE_BYTES);
}

dpo_status dpo_raw_read(int fd, const char *name, int64_t offset, int64_t n_bytes, void *bytes)
{
    for (int64_t at = 0; at < n_bytes;) {
        ssize_t n = pread(fd, (char *)bytes + at, piece_of(n_bytes, at), (off_t)(offset + at));

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return dpo_raw_failed(name, "read", errno, n_bytes);
        if (n == 0)
            return DPO_FAIL(DPO_EIO,
                            "%s: ends at byte %lld while it is read, expected %lld; it was cut or "
                            "replaced meanwhile, start again",
                            name, (long long)(offset + at), (long long)(offset + n_bytes));
        at += n;
    }
    return DPO_OK;
}

dpo_status dpo_raw_write(int fd, const char *name, int64_t offset, int64_t n_bytes,
                         const void *bytes)
{
    for (int64_t at = 0; at < n_bytes;) {
        ssize_t n =
            pwrite(fd, (const char *)bytes + at, piece_of(n_bytes, at), (off_t)(offset + at));

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return dpo_raw_failed(name, "written", errno, n_bytes - at);
        at += n;
    }
    return DPO_OK;
}

dpo_status dpo_raw_flush(int fd, const char *name)
{
    while (fsync(fd) != 0)
        if (errno != EINTR) return dpo_raw_failed(name, "flushed to the disk", errno, 0);
    return DPO_OK;
}

static dpo_status open_folder_of(const char *file, int *fd)
{
    const char *slash = strrchr(file, '/');
    dpo_buffer folder = {0};

    if (slash == NULL)
        DPO_TRY(dpo_buffer_append_text(&folder, "."));
    else
        DPO_TRY(dpo_buffer_append(&folder, file, slash > file ? slash - file : 1));
    dpo_status status = dpo_raw_open(dpo_buffer_text(&folder), dpo_buffer_text(&folder),
                                     O_RDONLY | O_DIRECTORY, fd);

    dpo_buffer_destroy(&folder);
    return status;
}

/* The folder is opened first: nothing that can be avoided fails once the file has its name. */
dpo_status dpo_raw_rename(const char *temporary, const char *path)
{
    int folder;
    dpo_status status = DPO_OK;

    DPO_TRY(open_folder_of(path, &folder));
    if (rename(temporary, path) != 0)
        status = dpo_raw_failed(path, "given its name", errno, 0);
    else if (fsync(folder) != 0 && errno != EINVAL && errno != ENOTSUP)
        status = dpo_raw_failed(path, "flushed to the disk", errno, 0);
    dpo_raw_close(&folder);
    return status;
}

dpo_status dpo_raw_share(const dpo_grid *grid, dpo_status local, dpo_buffer *buffer)
{
    int is_root = dpo_grid_rank(grid, DPO_WORLD) == 0;
    int64_t n_bytes = buffer->size_bytes;

    DPO_TRY(dpo_agree(grid, local));
    dpo_broadcast(grid, DPO_WORLD, 0, sizeof n_bytes, &n_bytes);
    local = is_root ? DPO_OK : dpo_buffer_append(buffer, NULL, n_bytes);
    DPO_TRY(dpo_agree(grid, local));
    dpo_broadcast(grid, DPO_WORLD, 0, n_bytes, buffer->data);
    return DPO_OK;
}

dpo_status dpo_raw_temporary(const dpo_grid *grid, const char *path, char **temporary)
{
    dpo_buffer name = {0};
    char *own = NULL;
    dpo_status status = dpo_file_temporary(path, &own);

    *temporary = NULL;
    if (status == DPO_OK && dpo_grid_rank(grid, DPO_WORLD) == 0)
        status = dpo_buffer_append_text(&name, own);
    dpo_free(own);
    status = dpo_raw_share(grid, status, &name);
    if (status == DPO_OK)
        status = dpo_agree(grid, dpo_text_copy(dpo_buffer_text(&name), temporary));
    dpo_buffer_destroy(&name);
    return status;
}
