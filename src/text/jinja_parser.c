// SPDX-License-Identifier: Apache-2.0
#include "jinja_parser.h"

#include <string.h>

/* NOLINTBEGIN(misc-no-recursion): jinja_enter() bounds the depth. */

/* Statements, and what both parsers use. */

enum { MAX_DEPTH = 100 };

dpo_status jinja_new_node(jinja_parser *parser, jinja_node_kind kind, int64_t at, jinja_node **node)
{
    void *memory;

    DPO_TRY(jinja_pool_take(parser->pool, 1, sizeof **node, &memory));
    *node = memory;
    (*node)->kind = kind;
    (*node)->at = at;
    return DPO_OK;
}

dpo_status jinja_enter(jinja_parser *parser)
{
    if (parser->depth >= MAX_DEPTH)
        return JINJA_FAIL(parser->source, jinja_peek(parser)->at,
                          "nested more than %d deep; simplify the template", MAX_DEPTH);
    parser->depth++;
    return DPO_OK;
}

void jinja_leave(jinja_parser *parser)
{
    parser->depth--;
}

const jinja_token *jinja_peek(const jinja_parser *parser)
{
    return &parser->tokens[parser->at];
}

bool jinja_is_name(const jinja_token *token, const char *name)
{
    return token->kind == JINJA_NAME && jinja_text_is(token->text, name);
}

bool jinja_is_operator(const jinja_token *token, const char *op)
{
    return token->kind == JINJA_OPERATOR && jinja_text_is(token->text, op);
}

bool jinja_accept_name(jinja_parser *parser, const char *name)
{
    bool is = jinja_is_name(jinja_peek(parser), name);

    parser->at += is;
    return is;
}

bool jinja_accept_operator(jinja_parser *parser, const char *op)
{
    bool is = jinja_is_operator(jinja_peek(parser), op);

    parser->at += is;
    return is;
}

dpo_status jinja_unexpected(const jinja_parser *parser, const char *expected)
{
    const jinja_token *token = jinja_peek(parser);
    int n = token->text.n < 60 ? (int)token->text.n : 60;

    if (token->kind == JINJA_END)
        return JINJA_FAIL(parser->source, token->at, "the template ends, expected %s", expected);
    return JINJA_FAIL(parser->source, token->at, "\"%.*s\", expected %s", n, token->text.data,
                      expected);
}

dpo_status jinja_expect_operator(jinja_parser *parser, const char *op)
{
    return jinja_accept_operator(parser, op) ? DPO_OK : jinja_unexpected(parser, op);
}

dpo_status jinja_expect_name(jinja_parser *parser, jinja_text *name)
{
    static const char *const keywords[] = {"if", "else", "elif", "for", "in",
                                           "is", "and",  "or",   "not"};
    const jinja_token *token = jinja_peek(parser);

    if (token->kind != JINJA_NAME) return jinja_unexpected(parser, "a name");
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (jinja_is_name(token, keywords[i])) return jinja_unexpected(parser, "a name");
    *name = token->text;
    parser->at++;
    return DPO_OK;
}

static dpo_status expect_block_end(jinja_parser *parser)
{
    if (jinja_peek(parser)->kind != JINJA_BLOCK_END) return jinja_unexpected(parser, "\"%}\"");
    parser->at++;
    return DPO_OK;
}

static dpo_status parse_statements(jinja_parser *parser, const char *const *ends,
                                   jinja_node **list);

/* Statements up to one of the ends (NULL-terminated list), which becomes the current token. */
static dpo_status parse_body(jinja_parser *parser, const char *const *ends, jinja_node **list)
{
    DPO_TRY(expect_block_end(parser));
    DPO_TRY(jinja_enter(parser));
    DPO_TRY(parse_statements(parser, ends, list));
    jinja_leave(parser);
    return DPO_OK;
}

static dpo_status parse_if(jinja_parser *parser, jinja_node *node);

/* Behind "elif": an "if" of its own, in the place of "else". */
static dpo_status parse_elif(jinja_parser *parser, jinja_node **node)
{
    DPO_TRY(jinja_enter(parser));
    DPO_TRY(jinja_new_node(parser, JINJA_IF, jinja_peek(parser)->at, node));
    DPO_TRY(parse_if(parser, *node));
    jinja_leave(parser);
    return DPO_OK;
}

/* Behind "if" or "elif". */
static dpo_status parse_if(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};

    DPO_TRY(jinja_parse_tuple(parser, &node->child[0]));
    DPO_TRY(parse_body(parser, ends, &node->list));
    if (jinja_accept_name(parser, "elif")) return parse_elif(parser, &node->otherwise);
    if (jinja_accept_name(parser, "else")) DPO_TRY(parse_body(parser, ends + 2, &node->otherwise));
    return jinja_accept_name(parser, "endif") ? DPO_OK : jinja_unexpected(parser, "\"endif\"");
}

static dpo_status parse_targets(jinja_parser *parser, jinja_node **targets)
{
    jinja_node **end = targets;

    do {
        DPO_TRY(jinja_new_node(parser, JINJA_VARIABLE, jinja_peek(parser)->at, end));
        DPO_TRY(jinja_expect_name(parser, &(*end)->name));
        end = &(*end)->next;
    } while (jinja_accept_operator(parser, ","));
    return DPO_OK;
}

static dpo_status parse_for(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"else", "endfor", NULL};

    node->kind = JINJA_FOR;
    DPO_TRY(parse_targets(parser, &node->targets));
    if (!jinja_accept_name(parser, "in")) return jinja_unexpected(parser, "\"in\"");
    DPO_TRY(jinja_parse_no_condition(parser, &node->child[0]));
    if (jinja_accept_name(parser, "if")) DPO_TRY(jinja_parse_expression(parser, &node->child[1]));
    parser->n_loops++;
    DPO_TRY(parse_body(parser, ends, &node->list));
    parser->n_loops--;
    if (jinja_accept_name(parser, "else")) DPO_TRY(parse_body(parser, ends + 1, &node->otherwise));
    return jinja_accept_name(parser, "endfor") ? DPO_OK : jinja_unexpected(parser, "\"endfor\"");
}

static dpo_status parse_set_target(jinja_parser *parser, jinja_node **target)
{
    jinja_node *space;

    DPO_TRY(jinja_new_node(parser, JINJA_VARIABLE, jinja_peek(parser)->at, target));
    DPO_TRY(jinja_expect_name(parser, &(*target)->name));
    if (!jinja_accept_operator(parser, ".")) return DPO_OK;
    space = *target;
    DPO_TRY(jinja_new_node(parser, JINJA_ATTRIBUTE, space->at, target));
    (*target)->child[0] = space;
    return jinja_expect_name(parser, &(*target)->name);
}

static dpo_status parse_set(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"endset", NULL};

    node->kind = JINJA_SET;
    DPO_TRY(parse_set_target(parser, &node->child[0]));
    if (jinja_accept_operator(parser, "=")) return jinja_parse_tuple(parser, &node->child[1]);
    node->kind = JINJA_SET_BLOCK;
    if (jinja_peek(parser)->kind != JINJA_BLOCK_END) return jinja_unexpected(parser, "\"=\"");
    DPO_TRY(parse_body(parser, ends, &node->list));
    parser->at++;
    return DPO_OK;
}

/* Behind "(": names, some with defaults, and ")". */
static dpo_status parse_parameters(jinja_parser *parser, jinja_node **list)
{
    jinja_node **end = list;

    while (!jinja_accept_operator(parser, ")")) {
        if (end != list) DPO_TRY(jinja_expect_operator(parser, ","));
        DPO_TRY(jinja_new_node(parser, JINJA_VARIABLE, jinja_peek(parser)->at, end));
        DPO_TRY(jinja_expect_name(parser, &(*end)->name));
        if (jinja_accept_operator(parser, "="))
            DPO_TRY(jinja_parse_expression(parser, &(*end)->child[0]));
        end = &(*end)->next;
    }
    return DPO_OK;
}

static dpo_status parse_macro(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"endmacro", NULL};
    int n_loops = parser->n_loops;

    node->kind = JINJA_DEFINITION;
    parser->n_loops = 0;
    DPO_TRY(jinja_expect_name(parser, &node->name));
    DPO_TRY(jinja_expect_operator(parser, "("));
    DPO_TRY(parse_parameters(parser, &node->targets));
    DPO_TRY(parse_body(parser, ends, &node->list));
    parser->n_loops = n_loops;
    parser->at++;
    return DPO_OK;
}

/* {% generation %} marks what transformers' training on assistant turns keeps; it prints as it is. */
static dpo_status parse_generation(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"endgeneration", NULL};

    node->kind = JINJA_GROUP;
    DPO_TRY(parse_body(parser, ends, &node->list));
    parser->at++;
    return DPO_OK;
}

static dpo_status parse_jump(jinja_parser *parser, jinja_node_kind kind, jinja_node *node)
{
    node->kind = kind;
    return parser->n_loops > 0 ? DPO_OK
                               : JINJA_FAIL(parser->source, node->at, "no loop is around this");
}

static dpo_status parse_break(jinja_parser *parser, jinja_node *node)
{
    return parse_jump(parser, JINJA_BREAK, node);
}

static dpo_status parse_continue(jinja_parser *parser, jinja_node *node)
{
    return parse_jump(parser, JINJA_CONTINUE, node);
}

static const struct {
    const char *name;
    dpo_status (*parse)(jinja_parser *parser, jinja_node *node);
} statements[] = {
    {"if", parse_if},       {"for", parse_for},
    {"set", parse_set},     {"generation", parse_generation},
    {"break", parse_break}, {"continue", parse_continue},
    {"macro", parse_macro},
};

/* Behind "{%". */
static dpo_status parse_statement(jinja_parser *parser, jinja_node **node)
{
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        int64_t at = jinja_peek(parser)->at;

        if (!jinja_accept_name(parser, statements[i].name)) continue;
        DPO_TRY(jinja_new_node(parser, JINJA_IF, at, node));
        DPO_TRY(statements[i].parse(parser, *node));
        return expect_block_end(parser);
    }
    return jinja_unexpected(parser, "if, for, set, macro, break, continue or generation: "
                                    "other statements are not supported");
}

static dpo_status parse_output(jinja_parser *parser, jinja_node **node)
{
    parser->at++;
    DPO_TRY(jinja_new_node(parser, JINJA_OUTPUT, jinja_peek(parser)->at, node));
    DPO_TRY(jinja_parse_tuple(parser, &(*node)->child[0]));
    if (jinja_peek(parser)->kind != JINJA_OUTPUT_END) return jinja_unexpected(parser, "\"}}\"");
    parser->at++;
    return DPO_OK;
}

static dpo_status parse_text(jinja_parser *parser, jinja_node **node)
{
    const jinja_token *token = jinja_peek(parser);

    DPO_TRY(jinja_new_node(parser, JINJA_TEXT_OUTPUT, token->at, node));
    (*node)->value = jinja_of_text(token->text);
    parser->at++;
    return DPO_OK;
}

static bool is_one_of(const jinja_token *token, const char *const *names)
{
    for (; *names != NULL; names++)
        if (jinja_is_name(token, *names)) return true;
    return false;
}

/* One piece of text, output or statement; *node stays NULL at one of the ends, which becomes current. */
static dpo_status parse_piece(jinja_parser *parser, const char *const *ends, jinja_node **node)
{
    switch (jinja_peek(parser)->kind) {
    case JINJA_TEXT_PIECE:
        return parse_text(parser, node);
    case JINJA_OUTPUT_BEGIN:
        return parse_output(parser, node);
    case JINJA_BLOCK_BEGIN:
        parser->at++;
        return is_one_of(jinja_peek(parser), ends) ? DPO_OK : parse_statement(parser, node);
    default:
        return ends[0] == NULL ? DPO_OK : jinja_unexpected(parser, ends[0]);
    }
}

static dpo_status parse_statements(jinja_parser *parser, const char *const *ends, jinja_node **list)
{
    jinja_node **end = list;

    for (;;) {
        DPO_TRY(parse_piece(parser, ends, end));
        if (*end == NULL) return DPO_OK;
        end = &(*end)->next;
    }
}

dpo_status jinja_parse(const jinja_source *source, jinja_pool *pool, jinja_node **tree)
{
    static const char *const no_ends[] = {NULL};
    dpo_buffer tokens = {0};
    dpo_status status = jinja_lex(source, pool, &tokens);

    *tree = NULL;
    if (status == DPO_OK) {
        jinja_parser parser = {source, pool, tokens.data, 0, 0, 0};

        status = parse_statements(&parser, no_ends, tree);
    }
    dpo_buffer_destroy(&tokens);
    return status;
}

/* NOLINTEND(misc-no-recursion) */
