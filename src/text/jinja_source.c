// SPDX-License-Identifier: Apache-2.0
#include "jinja_source.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool jinja_text_equal(jinja_text a, jinja_text b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.data, b.data, (size_t)a.n) == 0);
}

bool jinja_text_is(jinja_text text, const char *terminated)
{
    return jinja_text_equal(text, (jinja_text){terminated, (int64_t)strlen(terminated)});
}

void jinja_record_failure(const jinja_source *source, int64_t at, const char *format, ...)
{
    char what[800];
    int64_t line = 1;
    int64_t column = 1;
    va_list args;

    for (int64_t i = 0; i < at && i < source->text.n; i++) {
        column = source->text.data[i] == '\n' ? 1 : column + 1;
        line += source->text.data[i] == '\n';
    }
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    (void)DPO_FAIL(DPO_EDATA, "%s, line %lld, column %lld: %s", source->name, (long long)line,
                   (long long)column, what);
}
