// SPDX-License-Identifier: Apache-2.0
#include "jinja_run.h"

enum { MAX_STEPS = 5000000, MAX_DEPTH = 400 };

dpo_status jinja_step_in(jinja_run *run, int64_t at)
{
    if (run->n_steps >= MAX_STEPS)
        return JINJA_FAIL(run->source, at, "more than %d steps; the template does not end",
                          MAX_STEPS);
    if (run->depth >= MAX_DEPTH)
        return JINJA_FAIL(run->source, at, "nested more than %d deep; simplify the template",
                          MAX_DEPTH);
    run->n_steps++;
    run->depth++;
    return DPO_OK;
}

void jinja_step_out(jinja_run *run)
{
    run->depth--;
}

static int64_t n_bindings(const jinja_run *run)
{
    return run->bindings.size_bytes / (int64_t)sizeof(jinja_binding);
}

static jinja_binding *find(const jinja_run *run, int64_t outermost, jinja_text name)
{
    jinja_binding *bindings = run->bindings.data;

    for (int64_t i = n_bindings(run) - 1; i >= outermost; i--)
        if (jinja_text_equal(bindings[i].name, name)) return &bindings[i];
    return NULL;
}

dpo_status jinja_bind(jinja_run *run, jinja_text name, jinja_value value)
{
    jinja_binding *old = find(run, run->scope, name);
    jinja_binding binding = {name, value};

    if (old == NULL) return dpo_buffer_append(&run->bindings, &binding, sizeof binding);
    old->value = value;
    return DPO_OK;
}

jinja_value jinja_lookup(const jinja_run *run, jinja_text name)
{
    const jinja_binding *binding = find(run, 0, name);

    if (binding != NULL) return binding->value;
    if (jinja_find_function(name) == NULL) return (jinja_value){.kind = JINJA_UNDEFINED};
    return (jinja_value){.kind = JINJA_FUNCTION, .str = name};
}

int64_t jinja_scope_begin(jinja_run *run)
{
    int64_t outer = run->scope;

    run->scope = n_bindings(run);
    return outer;
}

void jinja_scope_clear(jinja_run *run)
{
    run->bindings.size_bytes = run->scope * (int64_t)sizeof(jinja_binding);
}

void jinja_scope_end(jinja_run *run, int64_t outer)
{
    jinja_scope_clear(run);
    run->scope = outer;
}

const jinja_row *jinja_find_row(const jinja_row *rows, int64_t n_rows, jinja_text name)
{
    for (int64_t i = 0; i < n_rows; i++)
        if (jinja_text_is(name, rows[i].name)) return &rows[i];
    return NULL;
}
