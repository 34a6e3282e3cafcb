// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_PARSER_H
#define DPO_TEXT_JINJA_PARSER_H

/* From tokens to a tree. Expressions and statements are parsed in a file each; both see the same parser. */

#include "jinja_lexer.h"
#include "jinja_tree.h"

/* Invariant: at < number of tokens; the last token is JINJA_END and is never passed. */
typedef struct {
    const jinja_source *source;
    jinja_pool *pool;
    const jinja_token *tokens;
    int64_t at;
    int depth;   /* of nested expressions and statements; bounded */
    int n_loops; /* around the current place */
} jinja_parser;

/* Parses a whole template. *tree is a list of statements, NULL if there are none; it lives in the pool. */
DPO_MUST_CHECK dpo_status jinja_parse(const jinja_source *source, jinja_pool *pool,
                                      jinja_node **tree);

/* Parses one expression; a tuple without parentheses becomes a list if allowed. */
DPO_MUST_CHECK dpo_status jinja_parse_expression(jinja_parser *parser, jinja_node **node);
DPO_MUST_CHECK dpo_status jinja_parse_tuple(jinja_parser *parser, jinja_node **node);
/* As jinja_parse_expression(), but "if" behind it is not part of it. */
DPO_MUST_CHECK dpo_status jinja_parse_no_condition(jinja_parser *parser, jinja_node **node);

/* Tools of both files. */
DPO_MUST_CHECK dpo_status jinja_new_node(jinja_parser *parser, jinja_node_kind kind, int64_t at,
                                         jinja_node **node);
DPO_MUST_CHECK dpo_status jinja_enter(jinja_parser *parser);
void jinja_leave(jinja_parser *parser);
const jinja_token *jinja_peek(const jinja_parser *parser);
bool jinja_is_name(const jinja_token *token, const char *name);
bool jinja_is_operator(const jinja_token *token, const char *op);
bool jinja_accept_name(jinja_parser *parser, const char *name);
bool jinja_accept_operator(jinja_parser *parser, const char *op);
DPO_MUST_CHECK dpo_status jinja_expect_operator(jinja_parser *parser, const char *op);
/* A name that is no keyword. */
DPO_MUST_CHECK dpo_status jinja_expect_name(jinja_parser *parser, jinja_text *name);
/* DPO_EDATA: what was found at the current token, and what was expected. */
dpo_status jinja_unexpected(const jinja_parser *parser, const char *expected);

#endif
