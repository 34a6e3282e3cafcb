// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/publish.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit_test.h"

static char folder[256];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/mpidpo-publish-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static const char *in_folder(const char *name)
{
    static char paths[2][2048];
    static int turn;

    turn = !turn;
    (void)snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

static int64_t count_files(void)
{
    dpo_buffer names = {0};
    int64_t n;

    ASSERT_OK(dpo_folder_list(folder, "", "", &names, &n));
    dpo_buffer_destroy(&names);
    return n;
}

static int remove_folder(void **state)
{
    dpo_buffer names = {0};
    int64_t n;

    ASSERT_OK(dpo_folder_list(folder, "", "", &names, &n));
    const char *name = dpo_buffer_text(&names);

    for (int64_t i = 0; i < n; i++, name += strlen(name) + 1) {
        (void)unlink(in_folder(name));
        (void)rmdir(in_folder(name));
    }
    dpo_buffer_destroy(&names);
    return rmdir(folder) != 0 || nothing_outstanding(state);
}

static void a_published_file_replaces_the_old_one_and_leaves_nothing(void **state)
{
    (void)state;
    dpo_buffer text = {0};

    ASSERT_OK(dpo_file_publish(in_folder("a.json"), "old, and longer", 15));
    ASSERT_OK(dpo_file_publish(in_folder("a.json"), "new", 3));
    ASSERT_OK(dpo_buffer_append_file(&text, in_folder("a.json")));
    assert_string_equal(dpo_buffer_text(&text), "new");
    assert_int_equal(count_files(), 1);
    dpo_buffer_destroy(&text);
}

static void a_file_that_cannot_be_published_leaves_the_old_one(void **state)
{
    (void)state;
    ASSERT_FAILS(dpo_file_publish(in_folder("none/a.json"), "x", 1), DPO_EIO, "No such file");
    assert_int_equal(mkdir(in_folder("taken"), 0777), 0);
    ASSERT_FAILS(dpo_file_publish(in_folder("taken"), "x", 1), DPO_EIO, "taken");
    assert_int_equal(count_files(), 1);
}

static void the_digest_of_a_file_is_that_of_its_bytes(void **state)
{
    (void)state;
    enum { N = (2 << 20) + 12345 };
    char *bytes;
    dpo_digest digest;

    ASSERT_OK(DPO_NEW(bytes, N));
    for (int64_t i = 0; i < N; i++)
        bytes[i] = (char)(i * 131 >> 3);
    ASSERT_OK(dpo_file_publish(in_folder("a"), bytes, N));
    ASSERT_OK(dpo_file_digest(in_folder("a"), &digest));
    assert_true(dpo_digest_equal(digest, dpo_digest_of(bytes, N)));
    dpo_free(bytes);
    ASSERT_OK(dpo_file_publish(in_folder("a"), "", 0));
    ASSERT_OK(dpo_file_digest(in_folder("a"), &digest));
    assert_true(dpo_digest_equal(digest, dpo_digest_of("", 0)));
    ASSERT_FAILS(dpo_file_digest(in_folder("b"), &digest), DPO_EIO, "No such file");
}

static void folders_are_made_with_all_that_lead_to_them(void **state)
{
    (void)state;
    struct stat about;

    ASSERT_OK(dpo_folder_create(in_folder("x/y//z")));
    ASSERT_OK(dpo_folder_create(in_folder("x/y/z/")));
    ASSERT_OK(dpo_folder_create("."));
    ASSERT_OK(dpo_folder_create(""));
    assert_true(stat(in_folder("x/y/z"), &about) == 0 && S_ISDIR(about.st_mode));
    ASSERT_OK(dpo_file_publish(in_folder("x/file"), "", 0));
    ASSERT_FAILS(dpo_folder_create(in_folder("x/file/z")), DPO_EIO, "x/file");
    assert_int_equal(unlink(in_folder("x/file")), 0);
    assert_int_equal(rmdir(in_folder("x/y/z")), 0);
    assert_int_equal(rmdir(in_folder("x/y")), 0);
}

static void names_come_in_order_and_with_both_ends(void **state)
{
    (void)state;
    static const char *const files[] = {"step-00000100.h5", "step-00000020.h5",         "other.h5",
                                        "step-00000003.h5", "step-00000003.h5.tmp-a-1", "s.h5"};
    static const char expected[] = "step-00000003.h5\0step-00000020.h5\0step-00000100.h5";
    dpo_buffer names = {0};
    int64_t n;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        ASSERT_OK(dpo_file_publish(in_folder(files[i]), "", 0));
    ASSERT_OK(dpo_folder_list(folder, "step-", ".h5", &names, &n));
    assert_int_equal(n, 3);
    assert_int_equal(names.size_bytes, sizeof expected);
    assert_memory_equal(names.data, expected, sizeof expected);
    ASSERT_OK(dpo_folder_list(in_folder("none"), "", "", &names, &n));
    assert_int_equal(n, 0);
    dpo_buffer_destroy(&names);
}

/* A process number that is free: that of a child that has ended. */
static long dead_process(void)
{
    pid_t child = fork();

    if (child == 0) _exit(0);
    assert_true(child > 0 && waitpid(child, NULL, 0) == child);
    return (long)child;
}

static void put_leftover(const char *node, long pid, time_t age_s)
{
    char name[512];
    struct timespec times[2] = {{time(NULL) - age_s, 0}, {time(NULL) - age_s, 0}};

    (void)snprintf(name, sizeof name, "a.h5.tmp-%s-%ld", node, pid);
    ASSERT_OK(dpo_file_publish(in_folder(name), "", 0));
    assert_int_equal(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
}

static void only_files_of_dead_writers_are_cleaned(void **state)
{
    (void)state;
    char here[256];
    char *own;
    int64_t n;

    assert_int_equal(gethostname(here, sizeof here), 0);
    ASSERT_OK(dpo_file_temporary(in_folder("b.h5"), &own));
    ASSERT_OK(dpo_file_publish(own, "", 0));            /* this process is writing it: stays */
    put_leftover(here, dead_process(), 0);              /* goes */
    put_leftover("another-node", 1, 60);                /* may be written now: stays */
    put_leftover("another-node", 2, (time_t)2 * 86400); /* goes */
    ASSERT_OK(dpo_file_publish(in_folder("a.h5"), "", 0));
    ASSERT_OK(dpo_file_publish(in_folder("a.tmp-x"), "", 0));
    ASSERT_OK(dpo_folder_clean(folder, &n));
    assert_int_equal(n, 2);
    assert_int_equal(count_files(), 4);
    ASSERT_OK(dpo_folder_clean(in_folder("none"), &n));
    assert_int_equal(n, 0);
    dpo_free(own);
}

/* A process that has ended, but whose fate its parent has not asked for yet. */
static pid_t zombie_process(void)
{
    siginfo_t info;
    pid_t child = fork();

    if (child == 0) _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    return child;
}

static void files_of_writers_that_nobody_waited_for_are_cleaned(void **state)
{
    (void)state;
    char here[256];
    pid_t zombie = zombie_process();
    int64_t n;

    assert_int_equal(gethostname(here, sizeof here), 0);
    put_leftover(here, (long)zombie, 0);
    ASSERT_OK(dpo_folder_clean(folder, &n));
    assert_int_equal(n, 1);
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);
}

static void a_folder_of_a_dead_writer_is_cleaned_with_its_files(void **state)
{
    (void)state;
    char here[256];
    char name[512];
    char file[1024];
    int64_t n;

    assert_int_equal(gethostname(here, sizeof here), 0);
    (void)snprintf(name, sizeof name, "model.tmp-%s-%ld", here, dead_process());
    assert_int_equal(mkdir(in_folder(name), 0777), 0);
    (void)snprintf(file, sizeof file, "%s/config.json", name);
    ASSERT_OK(dpo_file_publish(in_folder(file), "{}", 2));
    ASSERT_OK(dpo_folder_clean(folder, &n));
    assert_int_equal(n, 1);
    assert_int_equal(count_files(), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_folder, remove_folder)

static const struct CMUnitTest tests[] = {
    TEST(a_published_file_replaces_the_old_one_and_leaves_nothing),
    TEST(a_file_that_cannot_be_published_leaves_the_old_one),
    TEST(the_digest_of_a_file_is_that_of_its_bytes),
    TEST(folders_are_made_with_all_that_lead_to_them),
    TEST(names_come_in_order_and_with_both_ends),
    TEST(only_files_of_dead_writers_are_cleaned),
    TEST(files_of_writers_that_nobody_waited_for_are_cleaned),
    TEST(a_folder_of_a_dead_writer_is_cleaned_with_its_files),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
