// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/system_memory.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "unit_test.h"

static char root[64];

static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "mkdir -p $(dirname %s%s)", root, name);
    assert_int_equal(system(path), 0);
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_root(void)
{
    (void)snprintf(root, sizeof root, "/tmp/mpidpo-memory-XXXXXX");
    assert_non_null(mkdtemp(root));
    write_file("/proc/meminfo", "MemTotal: 4000 kB\nMemFree: 100 kB\nMemAvailable: 3000 kB\n");
}

static void remove_root(void)
{
    char command[96];

    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

static void without_groups_the_node_decides(void **state)
{
    (void)state;
    make_root();
    assert_int_equal(dpo_system_memory_free(root), 3000 * 1024);
    write_file("/proc/self/cgroup", "0::/job\n");
    write_file("/sys/fs/cgroup/job/memory.max", "max\n");
    write_file("/sys/fs/cgroup/job/memory.current", "77\n");
    assert_int_equal(dpo_system_memory_free(root), 3000 * 1024);
    remove_root();
}

/* The tightest limit may be that of a group above, as Slurm sets one for the job. */
static void the_tightest_group_decides(void **state)
{
    (void)state;
    make_root();
    write_file("/proc/self/cgroup", "0::/job_7/step_0/task_1\n");
    write_file("/sys/fs/cgroup/job_7/step_0/task_1/memory.max", "max\n");
    write_file("/sys/fs/cgroup/job_7/step_0/task_1/memory.current", "10\n");
    write_file("/sys/fs/cgroup/job_7/step_0/memory.max", "900000\n");
    write_file("/sys/fs/cgroup/job_7/step_0/memory.current", "10\n");
    write_file("/sys/fs/cgroup/job_7/memory.max", "800000\n");
    write_file("/sys/fs/cgroup/job_7/memory.current", "300000\n");
    assert_int_equal(dpo_system_memory_free(root), 500000);
    write_file("/sys/fs/cgroup/job_7/memory.current", "800001\n");
    assert_int_equal(dpo_system_memory_free(root), 0);
    remove_root();
}

static void the_older_groups_count_too(void **state)
{
    (void)state;
    make_root();
    write_file("/proc/self/cgroup", "9:cpu,cpuacct:/a\n4:memory:/a\n0::/\n");
    write_file("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "700000\n");
    write_file("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "100000\n");
    assert_int_equal(dpo_system_memory_free(root), 600000);
    /* a container sees the root of the tree as its own group */
    write_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "500000\n");
    write_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
    assert_int_equal(dpo_system_memory_free(root), 400000);
    remove_root();
}

static void this_process_uses_memory(void **state)
{
    enum { N = 64 << 20 };

    (void)state;
    int64_t before = dpo_system_memory_resident();
    char *block = malloc(N);

    assert_non_null(block);
    memset(block, 1, N);
    assert_true(before > 0 && dpo_system_memory_resident() >= before + N / 2);
    free(block);
    assert_true(dpo_system_memory_resident() < before + N);
    assert_true(dpo_system_memory_free("") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(without_groups_the_node_decides),
        UNIT_TEST(the_tightest_group_decides),
        UNIT_TEST(the_older_groups_count_too),
        UNIT_TEST(this_process_uses_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
