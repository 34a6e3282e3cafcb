// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "jinja_run.h"

/* NOLINTBEGIN(misc-no-recursion): jinja_step_in() bounds the depth. */

dpo_status jinja_print(jinja_run *run, int64_t at, jinja_value value, jinja_text *text)
{
    bool can;

    DPO_TRY(jinja_to_text(run->pool, value, text, &can));
    if (!can)
        return JINJA_FAIL(run->source, at, "%s cannot be printed; messages need text contents",
                          jinja_kind_name(value.kind));
    return DPO_OK;
}

static dpo_status evaluate_items(jinja_run *run, const jinja_node *list, jinja_value *value)
{
    DPO_TRY(jinja_new_array(run->pool, 0, value));
    for (const jinja_node *i = list; i != NULL; i = i->next) {
        jinja_value item = {.kind = JINJA_UNDEFINED};

        DPO_TRY(jinja_evaluate(run, i, &item));
        DPO_TRY(jinja_array_add(run->pool, value->array, item));
    }
    return DPO_OK;
}

static dpo_status evaluate_dict(jinja_run *run, const jinja_node *list, jinja_value *value)
{
    DPO_TRY(jinja_new_mapping(run->pool, 0, value));
    for (const jinja_node *i = list; i != NULL; i = i->next->next) {
        jinja_value key;
        jinja_value item;

        DPO_TRY(jinja_evaluate(run, i, &key));
        if (key.kind != JINJA_STR)
            return JINJA_FAIL(run->source, i->at, "a key that is %s, expected a text",
                              jinja_kind_name(key.kind));
        DPO_TRY(jinja_evaluate(run, i->next, &item));
        DPO_TRY(jinja_mapping_put(run->pool, value->mapping, key.str, item));
    }
    return DPO_OK;
}

static dpo_status evaluate_slice(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    jinja_value object;
    jinja_value bound[3] = {{0}};

    DPO_TRY(jinja_evaluate(run, node->child[0], &object));
    for (int i = 0; i < 3; i++)
        if (node->child[i + 1] != NULL) DPO_TRY(jinja_evaluate(run, node->child[i + 1], &bound[i]));
    return jinja_slice(run, node->at, object, bound, value);
}

static dpo_status evaluate_unary(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    jinja_value operand;

    DPO_TRY(jinja_evaluate(run, node->child[0], &operand));
    if (!jinja_is_number(operand))
        return JINJA_FAIL(run->source, node->at, "a sign before %s, expected a number",
                          jinja_kind_name(operand.kind));
    return jinja_binary(run, node->at, node->op, jinja_of_int(0), operand, value);
}

static dpo_status evaluate_binary(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    jinja_value a;
    jinja_value b;

    DPO_TRY(jinja_evaluate(run, node->child[0], &a));
    DPO_TRY(jinja_evaluate(run, node->child[1], &b));
    return jinja_binary(run, node->at, node->op, a, b, value);
}

static dpo_status evaluate_comparison(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    jinja_value left;
    jinja_value right;

    DPO_TRY(jinja_evaluate(run, node->child[0], &left));
    for (const jinja_node *i = node->list; i != NULL; i = i->next) {
        DPO_TRY(jinja_evaluate(run, i->child[0], &right));
        DPO_TRY(jinja_binary(run, i->at, i->op, left, right, value));
        if (!jinja_is_true(*value)) break;
        left = right;
    }
    return DPO_OK;
}

/* "and" and "or" give one of their operands, as in Python. */
static dpo_status evaluate_logical(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    DPO_TRY(jinja_evaluate(run, node->child[0], value));
    if (jinja_is_true(*value) == (node->kind == JINJA_OR)) return DPO_OK;
    return jinja_evaluate(run, node->child[1], value);
}

static dpo_status evaluate_conditional(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    DPO_TRY(jinja_evaluate(run, node->child[0], value));
    if (jinja_is_true(*value)) return jinja_evaluate(run, node->child[1], value);
    *value = (jinja_value){.kind = JINJA_UNDEFINED};
    return node->child[2] != NULL ? jinja_evaluate(run, node->child[2], value) : DPO_OK;
}

/* Position of an argument by its name; -1 if there is no such parameter. */
static int parameter_index(const jinja_row *row, jinja_text name)
{
    for (int i = 0; i < JINJA_MAX_ARGUMENTS && row->parameters[i] != NULL; i++)
        if (jinja_text_is(name, row->parameters[i])) return i;
    return -1;
}

/* Evaluates arguments into their places. */
static dpo_status bind_arguments(jinja_run *run, const jinja_row *row, const jinja_node *list,
                                 jinja_call *call)
{
    for (const jinja_node *i = list; i != NULL; i = i->next) {
        bool is_keyword = i->kind == JINJA_KEYWORD;
        int at = is_keyword ? parameter_index(row, i->name) : call->n;

        if (at < 0)
            return JINJA_FAIL(run->source, i->at, "\"%s\" has no argument \"%.*s\"", row->name,
                              (int)i->name.n, i->name.data);
        if (at >= JINJA_MAX_ARGUMENTS || row->parameters[at] == NULL)
            return JINJA_FAIL(run->source, i->at, "\"%s\" does not take so many arguments",
                              row->name);
        DPO_TRY(jinja_evaluate(run, is_keyword ? i->child[0] : i, &call->argument[at]));
        call->n = at + 1 > call->n ? at + 1 : call->n;
    }
    if (call->n < row->n_required)
        return JINJA_FAIL(run->source, call->at, "\"%s\" needs %d argument(s)", row->name,
                          row->n_required);
    return DPO_OK;
}

static dpo_status apply_row(jinja_run *run, const jinja_node *node, const jinja_row *row,
                            jinja_value self, jinja_value *value)
{
    jinja_call call = {.run = run, .at = node->at, .self = self};

    call.name = (jinja_text){row->name, (int64_t)strlen(row->name)};
    DPO_TRY(bind_arguments(run, row, node->list, &call));
    return row->apply(&call, value);
}

static dpo_status evaluate_filter_or_test(jinja_run *run, const jinja_node *node,
                                          jinja_value *value)
{
    bool is_filter = node->kind == JINJA_FILTER;
    const jinja_row *row = is_filter ? jinja_find_filter(node->name) : jinja_find_test(node->name);
    jinja_value self;

    if (row == NULL)
        return JINJA_FAIL(run->source, node->at, "the %s \"%.*s\" is not supported",
                          is_filter ? "filter" : "test", (int)node->name.n, node->name.data);
    DPO_TRY(jinja_evaluate(run, node->child[0], &self));
    return apply_row(run, node, row, self, value);
}

static dpo_status merge_mapping(jinja_run *run, int64_t at, jinja_value from, jinja_mapping *into)
{
    if (from.kind != JINJA_MAPPING)
        return JINJA_FAIL(run->source, at, "an argument that is %s, expected a dict",
                          jinja_kind_name(from.kind));
    for (int64_t k = 0; k < from.mapping->n; k++)
        DPO_TRY(jinja_mapping_put(run->pool, into, from.mapping->keys[k], from.mapping->values[k]));
    return DPO_OK;
}

static dpo_status put_argument(jinja_run *run, const jinja_node *argument, jinja_mapping *into)
{
    bool is_keyword = argument->kind == JINJA_KEYWORD;
    jinja_value value;

    DPO_TRY(jinja_evaluate(run, is_keyword ? argument->child[0] : argument, &value));
    if (is_keyword) return jinja_mapping_put(run->pool, into, argument->name, value);
    return merge_mapping(run, argument->at, value, into);
}

/* namespace() and dict(): a mapping of keyword arguments, and of mappings among them. */
static dpo_status call_mapping(jinja_run *run, const jinja_node *node, bool is_space,
                               jinja_value *value)
{
    DPO_TRY(jinja_new_mapping(run->pool, 0, value));
    if (is_space) value->kind = JINJA_SPACE;
    for (const jinja_node *i = node->list; i != NULL; i = i->next)
        DPO_TRY(put_argument(run, i, value->mapping));
    return DPO_OK;
}

/* The argument for a parameter, by position or by name; NULL if it is not given. */
static const jinja_value *argument_of(const jinja_node *call, const jinja_array *arguments,
                                      int64_t position, jinja_text name)
{
    int64_t k = 0;

    for (const jinja_node *i = call->list; i != NULL; i = i->next, k++) {
        bool is_here = i->kind == JINJA_KEYWORD ? jinja_text_equal(i->name, name) : k == position;

        if (is_here) return &arguments->items[k];
    }
    return NULL;
}

/* Binds a macro's parameters in a scope that has begun; arguments were evaluated outside of it. */
static dpo_status bind_parameters(jinja_run *run, const jinja_node *node, const jinja_node *macro,
                                  const jinja_array *arguments)
{
    int64_t position = 0;
    int64_t n_used = 0;

    for (const jinja_node *p = macro->targets; p != NULL; p = p->next, position++) {
        const jinja_value *argument = argument_of(node, arguments, position, p->name);
        jinja_value value = {.kind = JINJA_UNDEFINED};

        n_used += argument != NULL;
        if (argument != NULL)
            value = *argument;
        else if (p->child[0] != NULL)
            DPO_TRY(jinja_evaluate(run, p->child[0], &value));
        DPO_TRY(jinja_bind(run, p->name, value));
    }
    if (n_used != arguments->n)
        return JINJA_FAIL(run->source, node->at, "arguments that the macro \"%.*s\" does not have",
                          (int)macro->name.n, macro->name.data);
    return DPO_OK;
}

static dpo_status call_macro(jinja_run *run, const jinja_node *node, const jinja_node *macro,
                             jinja_value *value)
{
    jinja_value arguments;

    DPO_TRY(jinja_new_array(run->pool, 0, &arguments));
    for (const jinja_node *i = node->list; i != NULL; i = i->next) {
        jinja_value argument;

        DPO_TRY(jinja_evaluate(run, i->kind == JINJA_KEYWORD ? i->child[0] : i, &argument));
        DPO_TRY(jinja_array_add(run->pool, arguments.array, argument));
    }
    int64_t outer = jinja_scope_begin(run);

    *value = jinja_of_terminated("");
    DPO_TRY(bind_parameters(run, node, macro, arguments.array));
    DPO_TRY(jinja_render_apart(run, macro->list, &value->str));
    jinja_scope_end(run, outer);
    return DPO_OK;
}

static dpo_status refuse_call(jinja_run *run, const jinja_node *node, jinja_value callee)
{
    const jinja_node *what = node->child[0];
    bool has_name = what->kind == JINJA_VARIABLE || what->kind == JINJA_ATTRIBUTE;
    jinja_text name = has_name ? what->name : JINJA_TEXT("this expression");

    return JINJA_FAIL(run->source, node->at, "\"%.*s\" is %s and cannot be called", (int)name.n,
                      name.data, jinja_kind_name(callee.kind));
}

static dpo_status evaluate_call(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    jinja_value callee;

    DPO_TRY(jinja_evaluate(run, node->child[0], &callee));
    switch (callee.kind) {
    case JINJA_FUNCTION:
        if (jinja_text_is(callee.str, "namespace") || jinja_text_is(callee.str, "dict"))
            return call_mapping(run, node, jinja_text_is(callee.str, "namespace"), value);
        return apply_row(run, node, jinja_find_function(callee.str), callee, value);
    case JINJA_METHOD:
        return apply_row(run, node, jinja_find_method(callee.method->self, callee.method->name),
                         callee.method->self, value);
    case JINJA_MACRO:
        return call_macro(run, node, callee.macro, value);
    default:
        return refuse_call(run, node, callee);
    }
}

static dpo_status evaluate_access(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    jinja_value object;
    jinja_value index;

    DPO_TRY(jinja_evaluate(run, node->child[0], &object));
    if (node->kind == JINJA_ATTRIBUTE)
        return jinja_attribute(run, node->at, object, node->name, value);
    DPO_TRY(jinja_evaluate(run, node->child[1], &index));
    return jinja_index(run, node->at, object, index, value);
}

static dpo_status evaluate_not(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    DPO_TRY(jinja_evaluate(run, node->child[0], value));
    *value = jinja_of_bool(!jinja_is_true(*value));
    return DPO_OK;
}

static dpo_status evaluate_node(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    switch (node->kind) {
    case JINJA_LITERAL:
        *value = node->value;
        return DPO_OK;
    case JINJA_VARIABLE:
        *value = jinja_lookup(run, node->name);
        return DPO_OK;
    case JINJA_ATTRIBUTE:
    case JINJA_INDEX:
        return evaluate_access(run, node, value);
    case JINJA_SLICE:
        return evaluate_slice(run, node, value);
    case JINJA_CALL:
        return evaluate_call(run, node, value);
    case JINJA_FILTER:
    case JINJA_TEST:
        return evaluate_filter_or_test(run, node, value);
    case JINJA_LIST:
        return evaluate_items(run, node->list, value);
    case JINJA_DICT:
        return evaluate_dict(run, node->list, value);
    case JINJA_UNARY:
        return evaluate_unary(run, node, value);
    case JINJA_BINARY:
        return evaluate_binary(run, node, value);
    case JINJA_COMPARISON:
        return evaluate_comparison(run, node, value);
    case JINJA_AND:
    case JINJA_OR:
        return evaluate_logical(run, node, value);
    case JINJA_NOT:
        return evaluate_not(run, node, value);
    case JINJA_CONDITIONAL:
        return evaluate_conditional(run, node, value);
    default:
        return JINJA_FAIL(run->source, node->at, "an argument by name where none is possible");
    }
}

dpo_status jinja_evaluate(jinja_run *run, const jinja_node *node, jinja_value *value)
{
    DPO_TRY(jinja_step_in(run, node->at));
    DPO_TRY(evaluate_node(run, node, value));
    jinja_step_out(run);
    return DPO_OK;
}

/* NOLINTEND(misc-no-recursion) */
