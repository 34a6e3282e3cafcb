// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/status.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    int exit_code;
    const char *text;
} status_table[] = {
#define DPO_STATUS_ROW(name, exit_code, text) {exit_code, text},
    DPO_STATUS_LIST(DPO_STATUS_ROW)
#undef DPO_STATUS_ROW
};

static _Thread_local dpo_error last_error;
static void (*assert_end)(void) = abort;

dpo_error *dpo_last_error(void)
{
    return &last_error;
}

int dpo_exit_code(dpo_status status)
{
    return status_table[status].exit_code;
}

dpo_status dpo_fail(dpo_status status, const char *file, int line, const char *format, ...)
{
    va_list args;
    const char *base = strrchr(file, '/');

    last_error.status = status;
    last_error.rank = 0;
    last_error.n_failed = 0;
    last_error.line = line;
    (void)snprintf(last_error.file, sizeof last_error.file, "%s", base ? base + 1 : file);
    if (gethostname(last_error.node, sizeof last_error.node) != 0) last_error.node[0] = '\0';
    last_error.node[sizeof last_error.node - 1] = '\0';
    va_start(args, format);
    (void)vsnprintf(last_error.text, sizeof last_error.text, format, args);
    va_end(args);
    return status;
}

dpo_status dpo_fail_at(dpo_status status, const char *format, ...)
{
    char text[sizeof last_error.text];
    va_list args;
    int n;

    if (status == DPO_OK) return DPO_OK;
    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) n = 0;
    if ((size_t)n < sizeof text)
        (void)snprintf(text + n, sizeof text - (size_t)n, "%s", last_error.text);
    memcpy(last_error.text, text, sizeof text);
    return status;
}

void dpo_error_print(FILE *stream, const char *program)
{
    const dpo_error *e = &last_error;

    (void)fprintf(stream, "%s: error: %s\n", program, e->text);
    (void)fprintf(stream, "  (%s; rank %d on %s, %s:%d", status_table[e->status].text, e->rank,
                  e->node, e->file, e->line);
    if (e->n_failed > 1) (void)fprintf(stream, "; %d ranks failed, this is the first", e->n_failed);
    (void)fprintf(stream, ")\n");
}

void dpo_assert_set_end(void (*end)(void))
{
    assert_end = end;
}

void dpo_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "mpidpo: bug: %s:%d: \"%s\" does not hold\n", file, line, condition);
    assert_end();
    abort();
}
