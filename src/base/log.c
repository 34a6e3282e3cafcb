// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/log.h"

#include <stdarg.h>
#include <stdio.h>
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

int dpo_log_is_live(void)
{
    return log_level == DPO_LOG_INFO && isatty(STDERR_FILENO);
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
