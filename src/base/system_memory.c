// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/system_memory.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a version of control groups lays its files out. */
typedef struct {
    const char *controller; /* in the middle of a line of /proc/self/cgroup */
    const char *folder;     /* where its tree is mounted */
    const char *limit;      /* files of a group */
    const char *usage;
} group_version;

static const group_version versions[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current"},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"},
};

enum { N_VERSIONS = sizeof versions / sizeof versions[0] };

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The number at the beginning of a file; -1 if there is none ("max"). */
static int64_t read_number(const char *path)
{
    FILE *stream = fopen(path, "re");
    char line[64] = "";
    char *end = line;

    if (stream == NULL) return -1;
    bool has_line = fgets(line, sizeof line, stream) != NULL;
    long long value = has_line ? strtoll(line, &end, 10) : 0;

    (void)fclose(stream);
    return end == line ? -1 : value;
}

/* What one group leaves; INT64_MAX if it has no limit. */
static int64_t left_in_group(const group_version *version, const char *root, const char *group)
{
    char path[PATH_MAX];
    int64_t limit, usage;

    (void)snprintf(path, sizeof path, "%s%s%s/%s", root, version->folder, group, version->limit);
    limit = read_number(path);
    (void)snprintf(path, sizeof path, "%s%s%s/%s", root, version->folder, group, version->usage);
    usage = read_number(path);
    if (limit < 0 || usage < 0) return INT64_MAX;
    return usage < limit ? limit - usage : 0;
}

/* The least that a group and the groups above it leave. */
static int64_t left_in_groups(const group_version *version, const char *root, char *group)
{
    int64_t left = INT64_MAX;

    for (;;) {
        char *slash = strrchr(group, '/');

        if (strcmp(group, "/") == 0) group[0] = '\0';
        left = smaller(left, left_in_group(version, root, group));
        if (slash == NULL || group[0] == '\0') return left;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup is "number:controllers:/group". */
static int64_t left_by_line(const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

    if (group == NULL) return INT64_MAX;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    for (int v = 0; v < N_VERSIONS; v++)
        if (strcmp(controllers + 1, versions[v].controller) == 0)
            return left_in_groups(&versions[v], root, group);
    return INT64_MAX;
}

static int64_t left_by_groups(const char *root)
{
    char path[PATH_MAX], line[PATH_MAX];
    int64_t left = INT64_MAX;

    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *stream = fopen(path, "re");

    while (stream != NULL && fgets(line, sizeof line, stream) != NULL)
        left = smaller(left, left_by_line(root, line));
    if (stream != NULL) (void)fclose(stream);
    return left;
}

/* The kibibytes that a file of lines "Name: 123 kB" says of a name, in bytes; 0 if it says nothing. */
static int64_t read_entry(const char *path, const char *name)
{
    FILE *stream = fopen(path, "re");
    char line[256];
    size_t n_name = strlen(name);
    int64_t bytes = 0;

    while (stream != NULL && bytes == 0 && fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, name, n_name) == 0 && line[n_name] == ':')
            bytes = strtoll(line + n_name + 1, NULL, 10) * 1024;
    if (stream != NULL) (void)fclose(stream);
    return bytes;
}

int64_t dpo_system_memory_free(const char *root)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/proc/meminfo", root);
    return smaller(read_entry(path, "MemAvailable"), left_by_groups(root));
}

int64_t dpo_system_memory_resident(void)
{
    int64_t share = read_entry("/proc/self/smaps_rollup", "Pss");

    return share > 0 ? share : read_entry("/proc/self/status", "VmRSS");
}
