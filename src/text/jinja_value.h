// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_VALUE_H
#define DPO_TEXT_JINJA_VALUE_H

/* Values of the template language: small, passed by value; what they point at lives in a pool or is borrowed. */

#include "dpo/base/json.h"
#include "jinja_pool.h"
#include "jinja_source.h"

typedef enum {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_DOUBLE,
    JINJA_STR,
    JINJA_ARRAY,    /* list or tuple */
    JINJA_MAPPING,  /* dict */
    JINJA_SPACE,    /* namespace(): a dict that {% set a.b = ... %} may change */
    JINJA_FUNCTION, /* str: its name */
    JINJA_METHOD,   /* method: of a text or a dict */
    JINJA_MACRO     /* macro: its definition */
} jinja_value_kind;

typedef struct jinja_array jinja_array;
typedef struct jinja_mapping jinja_mapping;
typedef struct jinja_method jinja_method;

typedef struct {
    jinja_value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        jinja_text str; /* UTF-8 */
        jinja_array *array;
        jinja_mapping *mapping;
        const jinja_method *method;
        const struct jinja_node *macro;
    };
} jinja_value;

/* Invariant: n <= capacity. */
struct jinja_array {
    int64_t n;
    int64_t capacity;
    jinja_value *items;
};

/* Keys (texts) in the order they came. Invariant: no two keys are equal. */
struct jinja_mapping {
    int64_t n;
    int64_t capacity;
    jinja_text *keys;
    jinja_value *values;
};

struct jinja_method {
    jinja_value self;
    jinja_text name;
};

jinja_value jinja_of_bool(bool boolean);
jinja_value jinja_of_int(int64_t integer);
jinja_value jinja_of_text(jinja_text text);
jinja_value jinja_of_terminated(const char *text);
DPO_MUST_CHECK dpo_status jinja_of_json(jinja_pool *pool, const dpo_json *node, jinja_value *value);

/* "a text", "a list", ... */
const char *jinja_kind_name(jinja_value_kind kind);

DPO_MUST_CHECK dpo_status jinja_new_array(jinja_pool *pool, int64_t capacity, jinja_value *value);
DPO_MUST_CHECK dpo_status jinja_array_add(jinja_pool *pool, jinja_array *array, jinja_value item);
DPO_MUST_CHECK dpo_status jinja_new_mapping(jinja_pool *pool, int64_t capacity, jinja_value *value);
DPO_MUST_CHECK dpo_status jinja_mapping_put(jinja_pool *pool, jinja_mapping *mapping,
                                            jinja_text key, jinja_value item);
/* NULL if there is no such key. */
const jinja_value *jinja_mapping_find(const jinja_mapping *mapping, jinja_text key);

/* As Python's bool(), ==. */
bool jinja_is_true(jinja_value value);
bool jinja_equal(jinja_value a, jinja_value b);

/* Bool, int and float are numbers. */
bool jinja_is_number(jinja_value value);
bool jinja_is_whole(jinja_value value);
double jinja_number_of(jinja_value value);
int64_t jinja_whole_of(jinja_value value);

/* Items of a list, characters of a text, keys of a dict; -1 if the value has no length. */
int64_t jinja_length(jinja_value value);

/* The items that a loop sees: a list as it is, characters of a text, keys of a dict, nothing of undefined.
 * *array is NULL if the value cannot be iterated. */
DPO_MUST_CHECK dpo_status jinja_iterate(jinja_pool *pool, jinja_value value, jinja_array **array);

/* What is printed for a value, as Python's str(). *can is false for lists, dicts and functions. */
DPO_MUST_CHECK dpo_status jinja_to_text(jinja_pool *pool, jinja_value value, jinja_text *text,
                                        bool *can);

#endif
