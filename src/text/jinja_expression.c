// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "jinja_parser.h"

/* NOLINTBEGIN(misc-no-recursion): jinja_enter() bounds the depth. */

/*
 * Expressions, loosest first; each level calls the next:
 *     condition: or [if or else condition]     or: and     and: not     not: comparison
 *     comparison: sum     sum: concatenation     concatenation (~): product     product: power
 *     power: sign     sign: postfix, filters and tests
 */

static dpo_status parse_sign(jinja_parser *parser, bool with_filters, jinja_node **node);

/* Makes *node the first child of a new node. */
static dpo_status wrap(jinja_parser *parser, jinja_node_kind kind, int64_t at, jinja_node **node)
{
    jinja_node *inner = *node;

    DPO_TRY(jinja_new_node(parser, kind, at, node));
    (*node)->child[0] = inner;
    return DPO_OK;
}

typedef dpo_status (*parse_function)(jinja_parser *parser, jinja_node **node);

typedef struct {
    const char *text;
    jinja_op op;
} operator_row;

/* A left-associative level of binary operators; rows end with a NULL text. */
static dpo_status parse_binary(jinja_parser *parser, const operator_row *rows, parse_function next,
                               jinja_node **node)
{
    DPO_TRY(next(parser, node));
    for (const operator_row *row = rows; row->text != NULL;) {
        int64_t at = jinja_peek(parser)->at;

        if (!jinja_accept_operator(parser, row->text)) {
            row++;
            continue;
        }
        DPO_TRY(wrap(parser, JINJA_BINARY, at, node));
        (*node)->op = row->op;
        DPO_TRY(next(parser, &(*node)->child[1]));
        row = rows;
    }
    return DPO_OK;
}

static dpo_status parse_signed(jinja_parser *parser, jinja_node **node)
{
    return parse_sign(parser, true, node);
}

static dpo_status parse_power(jinja_parser *parser, jinja_node **node)
{
    static const operator_row rows[] = {{"**", JINJA_OP_POWER}, {NULL, 0}};

    return parse_binary(parser, rows, parse_signed, node);
}

static dpo_status parse_product(jinja_parser *parser, jinja_node **node)
{
    static const operator_row rows[] = {{"*", JINJA_OP_MULTIPLY},
                                        {"/", JINJA_OP_DIVIDE},
                                        {"//", JINJA_OP_FLOOR_DIVIDE},
                                        {"%", JINJA_OP_MODULO},
                                        {NULL, 0}};

    return parse_binary(parser, rows, parse_power, node);
}

static dpo_status parse_concatenation(jinja_parser *parser, jinja_node **node)
{
    static const operator_row rows[] = {{"~", JINJA_OP_CONCATENATE}, {NULL, 0}};

    return parse_binary(parser, rows, parse_product, node);
}

static dpo_status parse_sum(jinja_parser *parser, jinja_node **node)
{
    static const operator_row rows[] = {{"+", JINJA_OP_ADD}, {"-", JINJA_OP_SUBTRACT}, {NULL, 0}};

    return parse_binary(parser, rows, parse_concatenation, node);
}

/* Moves past a comparison operator if there is one. */
static bool accept_comparison(jinja_parser *parser, jinja_op *op)
{
    static const operator_row rows[] = {{"==", JINJA_OP_EQUAL},  {"!=", JINJA_OP_NOT_EQUAL},
                                        {"<", JINJA_OP_LESS},    {"<=", JINJA_OP_LESS_EQUAL},
                                        {">", JINJA_OP_GREATER}, {">=", JINJA_OP_GREATER_EQUAL}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        *op = rows[i].op;
        if (jinja_accept_operator(parser, rows[i].text)) return true;
    }
    *op = JINJA_OP_IN;
    if (jinja_accept_name(parser, "in")) return true;
    *op = JINJA_OP_NOT_IN;
    if (!jinja_is_name(jinja_peek(parser), "not") || !jinja_is_name(jinja_peek(parser) + 1, "in"))
        return false;
    parser->at += 2;
    return true;
}

static dpo_status parse_comparison(jinja_parser *parser, jinja_node **node)
{
    int64_t at = jinja_peek(parser)->at;
    jinja_node **end = NULL;
    jinja_op op;

    DPO_TRY(parse_sum(parser, node));
    while (accept_comparison(parser, &op)) {
        if (end == NULL) {
            DPO_TRY(wrap(parser, JINJA_COMPARISON, at, node));
            end = &(*node)->list;
        }
        DPO_TRY(jinja_new_node(parser, JINJA_COMPARISON, jinja_peek(parser)->at, end));
        (*end)->op = op;
        DPO_TRY(parse_sum(parser, &(*end)->child[0]));
        end = &(*end)->next;
    }
    return DPO_OK;
}

static dpo_status parse_not(jinja_parser *parser, jinja_node **node)
{
    int64_t at = jinja_peek(parser)->at;

    if (!jinja_accept_name(parser, "not")) return parse_comparison(parser, node);
    DPO_TRY(jinja_enter(parser));
    DPO_TRY(jinja_new_node(parser, JINJA_NOT, at, node));
    DPO_TRY(parse_not(parser, &(*node)->child[0]));
    jinja_leave(parser);
    return DPO_OK;
}

/* A left-associative level of "and" or "or". */
static dpo_status parse_logical(jinja_parser *parser, const char *name, jinja_node_kind kind,
                                parse_function next, jinja_node **node)
{
    DPO_TRY(next(parser, node));
    for (;;) {
        int64_t at = jinja_peek(parser)->at;

        if (!jinja_accept_name(parser, name)) return DPO_OK;
        DPO_TRY(wrap(parser, kind, at, node));
        DPO_TRY(next(parser, &(*node)->child[1]));
    }
}

static dpo_status parse_and(jinja_parser *parser, jinja_node **node)
{
    return parse_logical(parser, "and", JINJA_AND, parse_not, node);
}

static dpo_status parse_or(jinja_parser *parser, jinja_node **node)
{
    return parse_logical(parser, "or", JINJA_OR, parse_and, node);
}

dpo_status jinja_parse_no_condition(jinja_parser *parser, jinja_node **node)
{
    DPO_TRY(jinja_enter(parser));
    DPO_TRY(parse_or(parser, node));
    jinja_leave(parser);
    return DPO_OK;
}

dpo_status jinja_parse_expression(jinja_parser *parser, jinja_node **node)
{
    jinja_node *condition;

    DPO_TRY(jinja_enter(parser));
    DPO_TRY(parse_or(parser, node));
    for (;;) {
        int64_t at = jinja_peek(parser)->at;

        if (!jinja_accept_name(parser, "if")) break;
        jinja_node *then = *node;

        DPO_TRY(parse_or(parser, &condition));
        DPO_TRY(jinja_new_node(parser, JINJA_CONDITIONAL, at, node));
        (*node)->child[0] = condition;
        (*node)->child[1] = then;
        if (jinja_accept_name(parser, "else"))
            DPO_TRY(jinja_parse_expression(parser, &(*node)->child[2]));
    }
    jinja_leave(parser);
    return DPO_OK;
}

dpo_status jinja_parse_tuple(jinja_parser *parser, jinja_node **node)
{
    jinja_node **end;

    DPO_TRY(jinja_parse_expression(parser, node));
    if (!jinja_is_operator(jinja_peek(parser), ",")) return DPO_OK;
    jinja_node *first = *node;

    DPO_TRY(jinja_new_node(parser, JINJA_LIST, first->at, node));
    (*node)->list = first;
    end = &first->next;
    while (jinja_accept_operator(parser, ",")) {
        jinja_token_kind kind = jinja_peek(parser)->kind;

        if (kind == JINJA_OUTPUT_END || kind == JINJA_BLOCK_END ||
            jinja_is_operator(jinja_peek(parser), ")"))
            break;
        DPO_TRY(jinja_parse_expression(parser, end));
        end = &(*end)->next;
    }
    return DPO_OK;
}

/* An expression, or "name = expression". */
static dpo_status parse_argument(jinja_parser *parser, jinja_node **node)
{
    const jinja_token *token = jinja_peek(parser);

    if (token->kind != JINJA_NAME || !jinja_is_operator(token + 1, "="))
        return jinja_parse_expression(parser, node);
    DPO_TRY(jinja_new_node(parser, JINJA_KEYWORD, token->at, node));
    (*node)->name = token->text;
    parser->at += 2;
    return jinja_parse_expression(parser, &(*node)->child[0]);
}

/* Behind "(": arguments and ")". */
static dpo_status parse_arguments(jinja_parser *parser, jinja_node **list)
{
    jinja_node **end = list;

    while (!jinja_accept_operator(parser, ")")) {
        if (end != list) DPO_TRY(jinja_expect_operator(parser, ","));
        if (end != list && jinja_accept_operator(parser, ")")) return DPO_OK;
        DPO_TRY(parse_argument(parser, end));
        end = &(*end)->next;
    }
    return DPO_OK;
}

/* Behind "[" of a list or "(" of a tuple. */
static dpo_status parse_items(jinja_parser *parser, const char *close, jinja_node **list)
{
    jinja_node **end = list;

    while (!jinja_accept_operator(parser, close)) {
        if (end != list) DPO_TRY(jinja_expect_operator(parser, ","));
        if (end != list && jinja_accept_operator(parser, close)) return DPO_OK;
        DPO_TRY(jinja_parse_expression(parser, end));
        end = &(*end)->next;
    }
    return DPO_OK;
}

/* Behind "{". */
static dpo_status parse_dict(jinja_parser *parser, jinja_node **list)
{
    jinja_node **end = list;

    while (!jinja_accept_operator(parser, "}")) {
        if (end != list) DPO_TRY(jinja_expect_operator(parser, ","));
        if (end != list && jinja_accept_operator(parser, "}")) return DPO_OK;
        DPO_TRY(jinja_parse_expression(parser, end));
        end = &(*end)->next;
        DPO_TRY(jinja_expect_operator(parser, ":"));
        DPO_TRY(jinja_parse_expression(parser, end));
        end = &(*end)->next;
    }
    return DPO_OK;
}

/* Behind "(": an expression, or a tuple, which is a list here. */
static dpo_status parse_parenthesis(jinja_parser *parser, int64_t at, jinja_node **node)
{
    if (jinja_accept_operator(parser, ")")) return jinja_new_node(parser, JINJA_LIST, at, node);
    DPO_TRY(jinja_parse_tuple(parser, node));
    return jinja_expect_operator(parser, ")");
}

static dpo_status parse_literal(jinja_parser *parser, jinja_value value, jinja_node **node)
{
    DPO_TRY(jinja_new_node(parser, JINJA_LITERAL, jinja_peek(parser)->at, node));
    (*node)->value = value;
    parser->at++;
    return DPO_OK;
}

static dpo_status parse_number(jinja_parser *parser, jinja_node **node)
{
    const jinja_token *token = jinja_peek(parser);
    char digits[32] = "";

    if (token->text.n > 18) return jinja_unexpected(parser, "a number of at most 18 digits");
    memcpy(digits, token->text.data, (size_t)token->text.n);
    if (token->kind == JINJA_INTEGER)
        return parse_literal(parser, jinja_of_int(strtoll(digits, NULL, 10)), node);
    return parse_literal(parser,
                         (jinja_value){.kind = JINJA_DOUBLE, .number = strtod(digits, NULL)}, node);
}

/* Neighbouring texts are one, as in Python. */
static dpo_status parse_strings(jinja_parser *parser, jinja_node **node)
{
    DPO_TRY(parse_literal(parser, jinja_of_text(jinja_peek(parser)->text), node));
    while (jinja_peek(parser)->kind == JINJA_STRING) {
        int64_t at = jinja_peek(parser)->at;

        DPO_TRY(wrap(parser, JINJA_BINARY, at, node));
        (*node)->op = JINJA_OP_ADD;
        DPO_TRY(parse_literal(parser, jinja_of_text(jinja_peek(parser)->text), &(*node)->child[1]));
    }
    return DPO_OK;
}

static dpo_status parse_name(jinja_parser *parser, jinja_node **node)
{
    static const struct {
        const char *name;
        jinja_value value;
    } constants[] = {
        {"true", {.kind = JINJA_BOOL, .boolean = true}},
        {"True", {.kind = JINJA_BOOL, .boolean = true}},
        {"false", {.kind = JINJA_BOOL, .boolean = false}},
        {"False", {.kind = JINJA_BOOL, .boolean = false}},
        {"none", {.kind = JINJA_NONE}},
        {"None", {.kind = JINJA_NONE}},
    };

    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        if (jinja_is_name(jinja_peek(parser), constants[i].name))
            return parse_literal(parser, constants[i].value, node);
    DPO_TRY(jinja_new_node(parser, JINJA_VARIABLE, jinja_peek(parser)->at, node));
    return jinja_expect_name(parser, &(*node)->name);
}

static dpo_status parse_primary(jinja_parser *parser, jinja_node **node)
{
    const jinja_token *token = jinja_peek(parser);

    switch (token->kind) {
    case JINJA_NAME:
        return parse_name(parser, node);
    case JINJA_STRING:
        return parse_strings(parser, node);
    case JINJA_INTEGER:
    case JINJA_FLOAT:
        return parse_number(parser, node);
    default:
        break;
    }
    if (jinja_accept_operator(parser, "(")) return parse_parenthesis(parser, token->at, node);
    if (jinja_accept_operator(parser, "[")) {
        DPO_TRY(jinja_new_node(parser, JINJA_LIST, token->at, node));
        return parse_items(parser, "]", &(*node)->list);
    }
    if (jinja_accept_operator(parser, "{")) {
        DPO_TRY(jinja_new_node(parser, JINJA_DICT, token->at, node));
        return parse_dict(parser, &(*node)->list);
    }
    return jinja_unexpected(parser, "an expression");
}

/* Behind "[": an index, or up to three numbers of a slice, and "]". */
static dpo_status parse_subscript(jinja_parser *parser, int64_t at, jinja_node **node)
{
    int n = 1;

    DPO_TRY(wrap(parser, JINJA_INDEX, at, node));
    for (;;) {
        if (jinja_accept_operator(parser, ":")) {
            (*node)->kind = JINJA_SLICE;
            if (++n > 3) return jinja_unexpected(parser, "\"]\"");
            continue;
        }
        if (jinja_accept_operator(parser, "]")) break;
        if ((*node)->child[n] != NULL) return jinja_unexpected(parser, "\"]\"");
        DPO_TRY(jinja_parse_expression(parser, &(*node)->child[n]));
    }
    if ((*node)->kind == JINJA_INDEX && (*node)->child[1] == NULL)
        return JINJA_FAIL(parser->source, at, "an index \"[]\" with nothing in it");
    return DPO_OK;
}

static dpo_status parse_attribute(jinja_parser *parser, int64_t at, jinja_node **node)
{
    const jinja_token *token = jinja_peek(parser);

    if (token->kind != JINJA_NAME) return jinja_unexpected(parser, "a name behind \".\"");
    DPO_TRY(wrap(parser, JINJA_ATTRIBUTE, at, node));
    (*node)->name = token->text;
    parser->at++;
    return DPO_OK;
}

/* Behind "(". */
static dpo_status parse_call(jinja_parser *parser, int64_t at, jinja_node **node)
{
    DPO_TRY(wrap(parser, JINJA_CALL, at, node));
    return parse_arguments(parser, &(*node)->list);
}

static dpo_status parse_postfix(jinja_parser *parser, jinja_node **node)
{
    for (;;) {
        int64_t at = jinja_peek(parser)->at;

        if (jinja_accept_operator(parser, "."))
            DPO_TRY(parse_attribute(parser, at, node));
        else if (jinja_accept_operator(parser, "["))
            DPO_TRY(parse_subscript(parser, at, node));
        else if (jinja_accept_operator(parser, "("))
            DPO_TRY(parse_call(parser, at, node));
        else
            return DPO_OK;
    }
}

/* Whether a test's argument without parentheses begins here. */
static bool begins_argument(const jinja_token *token)
{
    static const char *const others[] = {"else", "or", "and", "if", "in", "is", "not"};

    if (token->kind == JINJA_STRING || token->kind == JINJA_INTEGER || token->kind == JINJA_FLOAT)
        return true;
    if (token->kind != JINJA_NAME)
        return jinja_is_operator(token, "[") || jinja_is_operator(token, "{");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (jinja_is_name(token, others[i])) return false;
    return true;
}

/* Behind "is". */
static dpo_status parse_test(jinja_parser *parser, int64_t at, jinja_node **node)
{
    bool is_negated = jinja_accept_name(parser, "not");
    const jinja_token *token = jinja_peek(parser);

    if (token->kind != JINJA_NAME) return jinja_unexpected(parser, "the name of a test");
    DPO_TRY(wrap(parser, JINJA_TEST, at, node));
    (*node)->name = token->text;
    parser->at++;
    if (jinja_accept_operator(parser, "(")) {
        DPO_TRY(parse_arguments(parser, &(*node)->list));
    } else if (begins_argument(jinja_peek(parser))) {
        DPO_TRY(parse_primary(parser, &(*node)->list));
        DPO_TRY(parse_postfix(parser, &(*node)->list));
    }
    return is_negated ? wrap(parser, JINJA_NOT, at, node) : DPO_OK;
}

/* Behind "|". */
static dpo_status parse_filter(jinja_parser *parser, int64_t at, jinja_node **node)
{
    const jinja_token *token = jinja_peek(parser);

    if (token->kind != JINJA_NAME) return jinja_unexpected(parser, "the name of a filter");
    DPO_TRY(wrap(parser, JINJA_FILTER, at, node));
    (*node)->name = token->text;
    parser->at++;
    return jinja_accept_operator(parser, "(") ? parse_arguments(parser, &(*node)->list) : DPO_OK;
}

static dpo_status parse_filters_and_tests(jinja_parser *parser, jinja_node **node)
{
    for (;;) {
        int64_t at = jinja_peek(parser)->at;

        if (jinja_accept_operator(parser, "|"))
            DPO_TRY(parse_filter(parser, at, node));
        else if (jinja_accept_name(parser, "is"))
            DPO_TRY(parse_test(parser, at, node));
        else
            return DPO_OK;
    }
}

static dpo_status parse_operand_of_sign(jinja_parser *parser, jinja_op op, jinja_node **node)
{
    DPO_TRY(jinja_enter(parser));
    DPO_TRY(jinja_new_node(parser, JINJA_UNARY, jinja_peek(parser)->at, node));
    (*node)->op = op;
    DPO_TRY(parse_sign(parser, false, &(*node)->child[0]));
    jinja_leave(parser);
    return DPO_OK;
}

static dpo_status parse_sign(jinja_parser *parser, bool with_filters, jinja_node **node)
{
    if (jinja_accept_operator(parser, "-")) {
        DPO_TRY(parse_operand_of_sign(parser, JINJA_OP_SUBTRACT, node));
    } else if (jinja_accept_operator(parser, "+")) {
        DPO_TRY(parse_operand_of_sign(parser, JINJA_OP_ADD, node));
    } else {
        DPO_TRY(parse_primary(parser, node));
        DPO_TRY(parse_postfix(parser, node));
    }
    return with_filters ? parse_filters_and_tests(parser, node) : DPO_OK;
}

/* NOLINTEND(misc-no-recursion) */
