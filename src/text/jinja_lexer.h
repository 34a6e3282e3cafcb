// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_LEXER_H
#define DPO_TEXT_JINJA_LEXER_H

/* From the text of a template to tokens. */

#include "dpo/base/buffer.h"
#include "jinja_pool.h"
#include "jinja_source.h"

typedef enum {
    JINJA_TEXT_PIECE,   /* text outside tags, white space already stripped */
    JINJA_OUTPUT_BEGIN, /* {{ */
    JINJA_OUTPUT_END,   /* }} */
    JINJA_BLOCK_BEGIN,  /* {% */
    JINJA_BLOCK_END,    /* %} */
    JINJA_NAME,
    JINJA_STRING,   /* text: its value, escapes resolved */
    JINJA_INTEGER,  /* text: digits */
    JINJA_FLOAT,    /* text: as strtod reads it */
    JINJA_OPERATOR, /* text: one of + - * ** / // % ~ == != < <= > >= = . : | , ( ) [ ] { } */
    JINJA_END       /* of the template */
} jinja_token_kind;

typedef struct {
    jinja_token_kind kind;
    int64_t at; /* offset in the source */
    jinja_text text;
} jinja_token;

/* Appends all tokens (jinja_token), a JINJA_END last. Their texts live in the source or in the pool. */
DPO_MUST_CHECK dpo_status jinja_lex(const jinja_source *source, jinja_pool *pool,
                                    dpo_buffer *tokens);

#endif
