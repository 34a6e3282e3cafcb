// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static dpo_log_level log_level = DPO_LOG_INFO;
static int live_line_shown;

static void clear_live_line(void)
{
    if (live_line_shown) (void)fputs("\r\033[K", stderr);
    live_line_shown = 0;
}

void dpo_log_set_level(dpo_log_level level)
{
    log_level = level;
}

void dpo_log_info(const char *format, ...)
{
    va_list args;

    if (log_level < DPO_LOG_INFO) return;
    clear_live_line();
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

void dpo_log_warning(const char *format, ...)
{
    va_list args;

    if (log_level < DPO_LOG_WARNING) return;
    clear_live_line();
    (void)fputs("warning: ", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

/* The first line of a small file, without its line feed; "" if it cannot be read. */
static void read_line(const char *path, char line[64])
{
    FILE *stream = fopen(path, "re");

    line[0] = '\0';
    if (stream == NULL) return;
    if (fgets(line, 64, stream) != NULL) line[strcspn(line, "\n")] = '\0';
    (void)fclose(stream);
}

/*
 * mpirun puts a pipe between a rank and the terminal; then its own standard error counts. Whether that is a
 * terminal is seen on Linux only; elsewhere, and for ranks of other nodes, there is no live line.
 */
static int launcher_is_on_terminal(void)
{
    static const char *const launchers[] = {"mpirun", "mpiexec", "orterun", "prterun"};
    char path[64];
    char name[64];
    char target[64] = "";
    int is_launcher = 0;

    (void)snprintf(path, sizeof path, "/proc/%ld/comm", (long)getppid());
    read_line(path, name);
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++)
        is_launcher = is_launcher || strcmp(name, launchers[i]) == 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/fd/2", (long)getppid());
    if (!is_launcher || readlink(path, target, sizeof target - 1) < 0) return 0;
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

int dpo_log_is_live(void)
{
    static int on_terminal = -1; /* not yet looked */

    if (on_terminal < 0) on_terminal = isatty(STDERR_FILENO) || launcher_is_on_terminal();
    return log_level == DPO_LOG_INFO && on_terminal;
}

void dpo_log_live(const char *format, ...)
{
    va_list args;

    if (!dpo_log_is_live()) return;
    clear_live_line();
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fflush(stderr);
    live_line_shown = 1;
}
