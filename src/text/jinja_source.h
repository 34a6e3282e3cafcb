// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_SOURCE_H
#define DPO_TEXT_JINJA_SOURCE_H

/* The text of a template and places in it. */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"

/* A run of bytes, not terminated, borrowed. */
typedef struct {
    const char *data;
    int64_t n;
} jinja_text;

/* A template's text, line ends all "\n", and its name; borrowed. */
typedef struct {
    const char *name;
    jinja_text text;
} jinja_source;

#define JINJA_TEXT(literal) ((jinja_text){(literal), (int64_t)sizeof(literal) - 1})

bool jinja_text_equal(jinja_text a, jinja_text b);
bool jinja_text_is(jinja_text text, const char *terminated);

/* DPO_EDATA: "name, line 3, column 7: ...". at is an offset in the source. */
#define JINJA_FAIL(...) (jinja_record_failure(__VA_ARGS__), DPO_EDATA)

void jinja_record_failure(const jinja_source *source, int64_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
