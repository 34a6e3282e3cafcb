// SPDX-License-Identifier: Apache-2.0
#include "jinja_run.h"

/* Functions that every template sees. */

static dpo_status raise_exception(const jinja_call *call, jinja_value *result)
{
    jinja_text message;

    *result = (jinja_value){.kind = JINJA_UNDEFINED};
    DPO_TRY(jinja_print(call->run, call->at, call->argument[0], &message));
    return JINJA_FAIL(call->run->source, call->at, "the template refuses this conversation: %.*s",
                      message.n < 600 ? (int)message.n : 600, message.data);
}

static dpo_status range(const jinja_call *call, jinja_value *result)
{
    int64_t bound[3] = {0, 0, 1};
    int first = call->n == 1;

    for (int i = 0; i < call->n; i++) {
        if (!jinja_is_whole(call->argument[i]))
            return JINJA_FAIL(call->run->source, call->at,
                              "\"range\" with %s, expected a whole number",
                              jinja_kind_name(call->argument[i].kind));
        bound[first + i] = jinja_whole_of(call->argument[i]);
    }
    if (bound[2] == 0) return JINJA_FAIL(call->run->source, call->at, "\"range\" with step 0");
    DPO_TRY(jinja_new_array(call->run->pool, 0, result));
    for (int64_t i = bound[0]; bound[2] > 0 ? i < bound[1] : i > bound[1]; i += bound[2])
        DPO_TRY(jinja_array_add(call->run->pool, result->array, jinja_of_int(i)));
    return DPO_OK;
}

/* namespace() and dict() take any names and are called elsewhere; their rows make them known. */
static dpo_status make_mapping(const jinja_call *call, jinja_value *result)
{
    return jinja_new_mapping(call->run->pool, 0, result);
}

static const jinja_row rows[] = {
    {"raise_exception", 1, {"message"}, raise_exception},
    {"range", 1, {"start", "stop", "step"}, range},
    {"namespace", 0, {NULL}, make_mapping},
    {"dict", 0, {NULL}, make_mapping},
};

const jinja_row *jinja_find_function(jinja_text name)
{
    return jinja_find_row(rows, (int64_t)(sizeof rows / sizeof rows[0]), name);
}
