// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dpo/base/memory.h"
#include "raw.h"

static const char mark[] = ".tmp-";

enum { STALE_AFTER_S = 24 * 60 * 60, NODE_BYTES = 256 };

static dpo_status make_one_folder(const char *path)
{
    struct stat about;

    if (mkdir(path, 0777) == 0) return DPO_OK;
    int error = errno;

    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return DPO_OK;
    return dpo_raw_failed(path, "made a folder", error, 0);
}

dpo_status dpo_folder_create(const char *path)
{
    dpo_status status = DPO_OK;
    char *part;

    if (path[0] == '\0') return DPO_OK;
    DPO_TRY(dpo_text_copy(path, &part));
    for (char *c = part + 1; *c != '\0' && status == DPO_OK; c++) {
        if (*c != '/') continue;
        *c = '\0';
        status = make_one_folder(part);
        *c = '/';
    }
    if (status == DPO_OK) status = make_one_folder(part);
    dpo_free(part);
    return status;
}

static bool has_ends(const char *name, const char *prefix, const char *suffix)
{
    size_t n = strlen(name);
    size_t n_suffix = strlen(suffix);

    return n >= strlen(prefix) + n_suffix && strncmp(name, prefix, strlen(prefix)) == 0 &&
           strcmp(name + n - n_suffix, suffix) == 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends n zero-terminated texts, which lie one behind the other, in order. */
static dpo_status append_sorted(const dpo_buffer *texts, int64_t n, dpo_buffer *sorted)
{
    const char *text = dpo_buffer_text(texts);
    dpo_status status = DPO_OK;
    const char **order;

    DPO_TRY(DPO_NEW(order, n));
    for (int64_t i = 0; i < n; text += strlen(text) + 1)
        order[i++] = text;
    qsort(order, (size_t)n, sizeof *order, by_text);
    for (int64_t i = 0; i < n && status == DPO_OK; i++)
        status = dpo_buffer_append(sorted, order[i], (int64_t)strlen(order[i]) + 1);
    dpo_free(order);
    return status;
}

static dpo_status read_folder(DIR *folder, const char *path, const char *prefix, const char *suffix,
                              dpo_buffer *names, int64_t *n_names)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);

        if (entry == NULL) return errno == 0 ? DPO_OK : dpo_raw_failed(path, "listed", errno, 0);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!has_ends(entry->d_name, prefix, suffix)) continue;
        DPO_TRY(dpo_buffer_append(names, entry->d_name, (int64_t)strlen(entry->d_name) + 1));
        ++*n_names;
    }
}

dpo_status dpo_folder_list(const char *path, const char *prefix, const char *suffix,
                           dpo_buffer *names, int64_t *n_names)
{
    DIR *folder = opendir(path);
    dpo_buffer found = {0};

    *n_names = 0;
    if (folder == NULL && errno == ENOENT) return DPO_OK;
    if (folder == NULL) return dpo_raw_failed(path, "listed", errno, 0);
    dpo_status status = read_folder(folder, path, prefix, suffix, &found, n_names);

    (void)closedir(folder);
    if (status == DPO_OK) status = append_sorted(&found, *n_names, names);
    dpo_buffer_destroy(&found);
    return status;
}

static void get_node(char node[NODE_BYTES])
{
    if (gethostname(node, NODE_BYTES) != 0) (void)snprintf(node, NODE_BYTES, "node");
    node[NODE_BYTES - 1] = '\0';
}

/* Where nobody asks for their fate, as in many containers, processes that have ended stay zombies. */
static bool is_zombie(long pid)
{
    char path[64];
    char line[512] = "";

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *stream = fopen(path, "re");

    if (stream == NULL) return false;
    if (fgets(line, sizeof line, stream) == NULL) line[0] = '\0';
    (void)fclose(stream);
    const char *name_end = strrchr(line, ')');

    return name_end != NULL && strncmp(name_end, ") Z", 3) == 0;
}

static bool has_ended(long pid)
{
    return kill((pid_t)pid, 0) != 0 ? errno == ESRCH : is_zombie(pid);
}

/* Whether the writer of "path.tmp-NODE-PID" is gone, as far as this node can tell. */
static bool is_abandoned(const char *path)
{
    const char *node = path;
    const char *pid;
    char here[NODE_BYTES];
    struct stat about;
    char *end;

    for (const char *c = strstr(path, mark); c != NULL; c = strstr(c + 1, mark))
        node = c + strlen(mark);
    pid = strrchr(node, '-');
    if (node == path || pid == NULL) return false;
    long number = strtol(pid + 1, &end, 10);

    if (number <= 0 || *end != '\0' || stat(path, &about) != 0) return false;
    get_node(here);
    if (strncmp(node, here, (size_t)(pid - node)) == 0 && here[pid - node] == '\0')
        return has_ended(number);
    return difftime(time(NULL), about.st_mtime) > (double)STALE_AFTER_S;
}

/* A file, or a folder of files. */
static dpo_status remove_leftover(const char *path)
{
    dpo_buffer names = {0};
    dpo_buffer file = {0};
    int64_t n;

    if (unlink(path) == 0 || errno == ENOENT) return DPO_OK;
    if (errno != EISDIR && errno != EPERM) return dpo_raw_failed(path, "removed", errno, 0);
    dpo_status status = dpo_folder_list(path, "", "", &names, &n);
    const char *name = dpo_buffer_text(&names);

    for (int64_t i = 0; i < n && status == DPO_OK; i++, name += strlen(name) + 1) {
        dpo_buffer_clear(&file);
        status = dpo_buffer_printf(&file, "%s/%s", path, name);
        if (status == DPO_OK) (void)unlink(dpo_buffer_text(&file));
    }
    if (status == DPO_OK && rmdir(path) != 0) status = dpo_raw_failed(path, "removed", errno, 0);
    dpo_buffer_destroy(&file);
    dpo_buffer_destroy(&names);
    return status;
}

dpo_status dpo_folder_clean(const char *path, int64_t *n_removed)
{
    dpo_buffer names = {0};
    dpo_buffer file = {0};
    int64_t n;
    dpo_status status = dpo_folder_list(path, "", "", &names, &n);
    const char *name = dpo_buffer_text(&names);

    *n_removed = 0;
    for (int64_t i = 0; i < n && status == DPO_OK; i++, name += strlen(name) + 1) {
        if (strstr(name, mark) == NULL) continue;
        dpo_buffer_clear(&file);
        status = dpo_buffer_printf(&file, "%s/%s", path, name);
        if (status != DPO_OK || !is_abandoned(dpo_buffer_text(&file))) continue;
        status = remove_leftover(dpo_buffer_text(&file));
        *n_removed += status == DPO_OK;
    }
    dpo_buffer_destroy(&file);
    dpo_buffer_destroy(&names);
    return status;
}

dpo_status dpo_file_temporary(const char *path, char **name)
{
    char node[NODE_BYTES];
    dpo_buffer text = {0};

    *name = NULL;
    get_node(node);
    DPO_TRY(dpo_buffer_printf(&text, "%s%s%s-%lld", path, mark, node, (long long)getpid()));
    dpo_status status = dpo_text_copy(dpo_buffer_text(&text), name);

    dpo_buffer_destroy(&text);
    return status;
}

static dpo_status write_flushed(const char *temporary, const char *path, const void *bytes,
                                int64_t n_bytes)
{
    int fd;

    DPO_TRY(dpo_raw_create(temporary, path, &fd));
    dpo_status status = dpo_raw_write(fd, path, 0, n_bytes, bytes);

    if (status == DPO_OK) status = dpo_raw_flush(fd, path);
    dpo_raw_close(&fd);
    return status;
}

dpo_status dpo_file_publish(const char *path, const void *bytes, int64_t n_bytes)
{
    char *temporary;

    DPO_TRY(dpo_file_temporary(path, &temporary));
    dpo_status status = write_flushed(temporary, path, bytes, n_bytes);

    if (status == DPO_OK) status = dpo_raw_rename(temporary, path);
    if (status != DPO_OK) (void)unlink(temporary);
    dpo_free(temporary);
    return status;
}

static dpo_status digest_open_file(int fd, const char *path, dpo_digest *digest)
{
    enum { PIECE_BYTES = 1 << 20 };
    dpo_digest_state *state = NULL;
    dpo_status status;
    int64_t n_bytes;
    char *piece;

    DPO_TRY(dpo_raw_size(fd, path, &n_bytes));
    DPO_TRY(DPO_NEW(piece, PIECE_BYTES));
    status = dpo_digest_begin(&state);
    for (int64_t at = 0; at < n_bytes && status == DPO_OK; at += PIECE_BYTES) {
        int64_t n = n_bytes - at < PIECE_BYTES ? n_bytes - at : PIECE_BYTES;

        status = dpo_raw_read(fd, path, at, n, piece);
        if (status == DPO_OK) dpo_digest_add(state, piece, n);
    }
    if (state != NULL) *digest = dpo_digest_end(&state);
    dpo_free(piece);
    return status;
}

dpo_status dpo_file_digest(const char *path, dpo_digest *digest)
{
    int fd;

    DPO_TRY(dpo_raw_open(path, path, O_RDONLY, &fd));
    dpo_status status = digest_open_file(fd, path, digest);

    dpo_raw_close(&fd);
    return status;
}
