// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_RUN_H
#define DPO_TEXT_JINJA_RUN_H

/* Evaluating expressions and rendering statements of a tree. */

#include "dpo/base/buffer.h"
#include "jinja_tree.h"

typedef struct {
    jinja_text name;
    jinja_value value;
} jinja_binding;

typedef enum { JINJA_NO_JUMP, JINJA_JUMP_BREAK, JINJA_JUMP_CONTINUE } jinja_jump;

/*
 * Invariant: bindings holds jinja_binding, innermost scope last; the innermost scope begins at scope.
 */
typedef struct {
    const jinja_source *source;
    jinja_pool *pool;
    dpo_buffer *out;
    dpo_buffer bindings; /* owned by who began the run */
    int64_t scope;       /* number of bindings of the outer scopes */
    int64_t n_steps;     /* done; bounded */
    int depth;           /* of nested evaluations; bounded */
    jinja_jump jump;     /* under way to the end of a loop's body */
} jinja_run;

enum { JINJA_MAX_ARGUMENTS = 4 };

/* One call of a filter, test, function or method; absent arguments are undefined. */
typedef struct {
    jinja_run *run;
    int64_t at;
    jinja_text name;
    jinja_value self; /* what is filtered, tested, or whose method is called */
    int n;            /* arguments that were given */
    jinja_value argument[JINJA_MAX_ARGUMENTS];
} jinja_call;

typedef dpo_status (*jinja_apply)(const jinja_call *call, jinja_value *result);

/* A row of a table of filters, tests, functions or methods. */
typedef struct {
    const char *name;
    int n_required;                              /* arguments that must be given */
    const char *parameters[JINJA_MAX_ARGUMENTS]; /* names of the arguments, NULL at the end */
    jinja_apply apply;
} jinja_row;

DPO_MUST_CHECK dpo_status jinja_evaluate(jinja_run *run, const jinja_node *node,
                                         jinja_value *value);
DPO_MUST_CHECK dpo_status jinja_render(jinja_run *run, const jinja_node *list);

/* Renders a list apart from the output into a text. */
DPO_MUST_CHECK dpo_status jinja_render_apart(jinja_run *run, const jinja_node *list,
                                             jinja_text *text);

/* Counts a step and a level of depth, or refuses with DPO_EDATA; every success needs a jinja_step_out(). */
DPO_MUST_CHECK dpo_status jinja_step_in(jinja_run *run, int64_t at);
void jinja_step_out(jinja_run *run);

/* Binds a name in the innermost scope. */
DPO_MUST_CHECK dpo_status jinja_bind(jinja_run *run, jinja_text name, jinja_value value);
/* Undefined if there is no such name. */
jinja_value jinja_lookup(const jinja_run *run, jinja_text name);
/* Begins a scope; what it returns ends it. */
int64_t jinja_scope_begin(jinja_run *run);
void jinja_scope_clear(jinja_run *run);
void jinja_scope_end(jinja_run *run, int64_t outer);

/* The rows of a name; NULL if there are none. */
const jinja_row *jinja_find_filter(jinja_text name);
const jinja_row *jinja_find_test(jinja_text name);
const jinja_row *jinja_find_function(jinja_text name);
const jinja_row *jinja_find_method(jinja_value self, jinja_text name);
const jinja_row *jinja_find_row(const jinja_row *rows, int64_t n_rows, jinja_text name);

/* a op b of JINJA_BINARY and of comparisons. */
DPO_MUST_CHECK dpo_status jinja_binary(jinja_run *run, int64_t at, jinja_op op, jinja_value a,
                                       jinja_value b, jinja_value *value);

/* object.name, object[index], object[begin:end:step]; undefined if there is none. */
DPO_MUST_CHECK dpo_status jinja_attribute(jinja_run *run, int64_t at, jinja_value object,
                                          jinja_text name, jinja_value *value);
DPO_MUST_CHECK dpo_status jinja_index(jinja_run *run, int64_t at, jinja_value object,
                                      jinja_value index, jinja_value *value);
DPO_MUST_CHECK dpo_status jinja_slice(jinja_run *run, int64_t at, jinja_value object,
                                      const jinja_value bound[3], jinja_value *value);

/* The text that is printed for a value, or DPO_EDATA. */
DPO_MUST_CHECK dpo_status jinja_print(jinja_run *run, int64_t at, jinja_value value,
                                      jinja_text *text);

#endif
