// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "jinja_run.h"

/* NOLINTBEGIN(misc-no-recursion): jinja_step_in() bounds the depth. */

enum { MAX_OUTPUT_BYTES = 1 << 28 };

static dpo_status render_text(jinja_run *run, const jinja_node *node, jinja_text text)
{
    if (run->out->size_bytes + text.n > MAX_OUTPUT_BYTES)
        return JINJA_FAIL(run->source, node->at, "the text grows beyond %d MiB",
                          MAX_OUTPUT_BYTES >> 20);
    return dpo_buffer_append(run->out, text.data, text.n);
}

static dpo_status render_output(jinja_run *run, const jinja_node *node)
{
    jinja_value value;
    jinja_text text;

    DPO_TRY(jinja_evaluate(run, node->child[0], &value));
    DPO_TRY(jinja_print(run, node->at, value, &text));
    return render_text(run, node, text);
}

static dpo_status render_if(jinja_run *run, const jinja_node *node)
{
    jinja_value condition;

    DPO_TRY(jinja_evaluate(run, node->child[0], &condition));
    return jinja_render(run, jinja_is_true(condition) ? node->list : node->otherwise);
}

static dpo_status set_attribute(jinja_run *run, const jinja_node *target, jinja_value value)
{
    jinja_value space = jinja_lookup(run, target->child[0]->name);

    if (space.kind != JINJA_SPACE)
        return JINJA_FAIL(run->source, target->at,
                          "sets an attribute of %s; only a namespace() can be changed",
                          jinja_kind_name(space.kind));
    return jinja_mapping_put(run->pool, space.mapping, target->name, value);
}

static dpo_status assign(jinja_run *run, const jinja_node *target, jinja_value value)
{
    if (target->kind == JINJA_ATTRIBUTE) return set_attribute(run, target, value);
    return jinja_bind(run, target->name, value);
}

static dpo_status render_set(jinja_run *run, const jinja_node *node)
{
    jinja_value value = jinja_of_terminated("");

    if (node->kind == JINJA_SET)
        DPO_TRY(jinja_evaluate(run, node->child[1], &value));
    else
        DPO_TRY(jinja_render_apart(run, node->list, &value.str));
    return assign(run, node->child[0], value);
}

/* Binds an item, or its parts, to the targets of a loop. */
static dpo_status bind_targets(jinja_run *run, const jinja_node *node, jinja_value item)
{
    int64_t n = 0;

    if (node->targets->next == NULL) return jinja_bind(run, node->targets->name, item);
    if (item.kind != JINJA_ARRAY)
        return JINJA_FAIL(run->source, node->at, "an item that is %s, expected a list of its parts",
                          jinja_kind_name(item.kind));
    for (const jinja_node *t = node->targets; t != NULL; t = t->next, n++)
        if (n < item.array->n) DPO_TRY(jinja_bind(run, t->name, item.array->items[n]));
    if (n != item.array->n)
        return JINJA_FAIL(run->source, node->at, "an item of %lld parts for %lld names",
                          (long long)item.array->n, (long long)n);
    return DPO_OK;
}

/* The items for which the loop's condition holds. */
static dpo_status select_items(jinja_run *run, const jinja_node *node, jinja_array **items)
{
    jinja_value selected;
    int64_t outer = jinja_scope_begin(run);

    DPO_TRY(jinja_new_array(run->pool, 0, &selected));
    for (int64_t i = 0; i < (*items)->n; i++) {
        jinja_value condition;

        jinja_scope_clear(run);
        DPO_TRY(bind_targets(run, node, (*items)->items[i]));
        DPO_TRY(jinja_evaluate(run, node->child[1], &condition));
        if (jinja_is_true(condition))
            DPO_TRY(jinja_array_add(run->pool, selected.array, (*items)->items[i]));
    }
    jinja_scope_end(run, outer);
    *items = selected.array;
    return DPO_OK;
}

/* The variable "loop" for item i. */
static dpo_status describe_loop(jinja_run *run, const jinja_array *items, int64_t i,
                                jinja_value *loop)
{
    jinja_value undefined = {.kind = JINJA_UNDEFINED};
    const struct {
        jinja_text name;
        jinja_value value;
    } fields[] = {
        {JINJA_TEXT("index"), jinja_of_int(i + 1)},
        {JINJA_TEXT("index0"), jinja_of_int(i)},
        {JINJA_TEXT("revindex"), jinja_of_int(items->n - i)},
        {JINJA_TEXT("revindex0"), jinja_of_int(items->n - i - 1)},
        {JINJA_TEXT("first"), jinja_of_bool(i == 0)},
        {JINJA_TEXT("last"), jinja_of_bool(i == items->n - 1)},
        {JINJA_TEXT("length"), jinja_of_int(items->n)},
        {JINJA_TEXT("previtem"), i > 0 ? items->items[i - 1] : undefined},
        {JINJA_TEXT("nextitem"), i + 1 < items->n ? items->items[i + 1] : undefined},
    };

    for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
        DPO_TRY(jinja_mapping_put(run->pool, loop->mapping, fields[f].name, fields[f].value));
    return DPO_OK;
}

static dpo_status render_item(jinja_run *run, const jinja_node *node, jinja_value item,
                              jinja_value loop)
{
    jinja_scope_clear(run);
    DPO_TRY(jinja_step_in(run, node->at));
    DPO_TRY(jinja_bind(run, JINJA_TEXT("loop"), loop));
    DPO_TRY(bind_targets(run, node, item));
    DPO_TRY(jinja_render(run, node->list));
    jinja_step_out(run);
    return DPO_OK;
}

static dpo_status render_items(jinja_run *run, const jinja_node *node, const jinja_array *items)
{
    int64_t outer = jinja_scope_begin(run);
    jinja_value loop;

    DPO_TRY(jinja_new_mapping(run->pool, 9, &loop));
    loop.kind = JINJA_SPACE;
    for (int64_t i = 0; i < items->n && run->jump != JINJA_JUMP_BREAK; i++) {
        DPO_TRY(describe_loop(run, items, i, &loop));
        DPO_TRY(render_item(run, node, items->items[i], loop));
        if (run->jump == JINJA_JUMP_CONTINUE) run->jump = JINJA_NO_JUMP;
    }
    run->jump = JINJA_NO_JUMP;
    jinja_scope_end(run, outer);
    return DPO_OK;
}

static dpo_status render_for(jinja_run *run, const jinja_node *node)
{
    jinja_value iterable;
    jinja_array *items;

    DPO_TRY(jinja_evaluate(run, node->child[0], &iterable));
    DPO_TRY(jinja_iterate(run->pool, iterable, &items));
    if (items == NULL)
        return JINJA_FAIL(run->source, node->at, "a loop over %s, expected a list",
                          jinja_kind_name(iterable.kind));
    if (node->child[1] != NULL) DPO_TRY(select_items(run, node, &items));
    return items->n > 0 ? render_items(run, node, items) : jinja_render(run, node->otherwise);
}

static dpo_status render_definition(jinja_run *run, const jinja_node *node)
{
    return jinja_bind(run, node->name, (jinja_value){.kind = JINJA_MACRO, .macro = node});
}

static dpo_status render_node(jinja_run *run, const jinja_node *node)
{
    switch (node->kind) {
    case JINJA_TEXT_OUTPUT:
        return render_text(run, node, node->value.str);
    case JINJA_IF:
        return render_if(run, node);
    case JINJA_FOR:
        return render_for(run, node);
    case JINJA_SET:
    case JINJA_SET_BLOCK:
        return render_set(run, node);
    case JINJA_GROUP:
        return jinja_render(run, node->list);
    case JINJA_DEFINITION:
        return render_definition(run, node);
    case JINJA_BREAK:
        run->jump = JINJA_JUMP_BREAK;
        return DPO_OK;
    case JINJA_CONTINUE:
        run->jump = JINJA_JUMP_CONTINUE;
        return DPO_OK;
    default:
        return render_output(run, node);
    }
}

dpo_status jinja_render(jinja_run *run, const jinja_node *list)
{
    for (const jinja_node *node = list; node != NULL && run->jump == JINJA_NO_JUMP;
         node = node->next) {
        DPO_TRY(jinja_step_in(run, node->at));
        DPO_TRY(render_node(run, node));
        jinja_step_out(run);
    }
    return DPO_OK;
}

dpo_status jinja_render_apart(jinja_run *run, const jinja_node *list, jinja_text *text)
{
    dpo_buffer *outer = run->out;
    dpo_buffer apart = {0};
    void *copy;
    dpo_status status;

    run->out = &apart;
    status = jinja_render(run, list);
    run->out = outer;
    if (status == DPO_OK) status = jinja_pool_take(run->pool, apart.size_bytes, 1, &copy);
    if (status == DPO_OK) {
        if (apart.size_bytes > 0) memcpy(copy, apart.data, (size_t)apart.size_bytes);
        *text = (jinja_text){copy, apart.size_bytes};
    }
    dpo_buffer_destroy(&apart);
    return status;
}

/* NOLINTEND(misc-no-recursion) */
