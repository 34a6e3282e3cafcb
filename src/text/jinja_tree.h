// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TEXT_JINJA_TREE_H
#define DPO_TEXT_JINJA_TREE_H

/* A template as a tree. Nodes and their texts live in a pool. */

#include "jinja_value.h"

typedef enum {
    /* expressions */
    JINJA_LITERAL,    /* value */
    JINJA_VARIABLE,   /* name */
    JINJA_ATTRIBUTE,  /* child[0] . name */
    JINJA_INDEX,      /* child[0] [ child[1] ] */
    JINJA_SLICE,      /* child[0] [ child[1] : child[2] : child[3] ], each of these may be NULL */
    JINJA_CALL,       /* child[0] ( list ) */
    JINJA_FILTER,     /* child[0] | name ( list ) */
    JINJA_TEST,       /* child[0] is name ( list ) */
    JINJA_KEYWORD,    /* name = child[0], in a list of arguments only */
    JINJA_LIST,       /* [ list ] */
    JINJA_DICT,       /* { list }: key, value, key, value, ... */
    JINJA_UNARY,      /* op child[0] */
    JINJA_BINARY,     /* child[0] op child[1] */
    JINJA_COMPARISON, /* child[0], then list: items (child[0], with op) compared one with the next */
    JINJA_AND,        /* child[0] and child[1] */
    JINJA_OR,         /* child[0] or child[1] */
    JINJA_NOT,        /* not child[0] */
    JINJA_CONDITIONAL, /* child[1] if child[0] else child[2], which may be NULL */
    /* statements */
    JINJA_TEXT_OUTPUT, /* value, a text */
    JINJA_OUTPUT,      /* {{ child[0] }} */
    JINJA_IF,          /* child[0]; list, otherwise */
    JINJA_FOR,        /* targets (variables); in child[0], if child[1] (or NULL); list, otherwise */
    JINJA_SET,        /* child[0] (variable or attribute) = child[1] */
    JINJA_SET_BLOCK,  /* child[0] = output of list */
    JINJA_GROUP,      /* list */
    JINJA_DEFINITION, /* macro name (targets: variables, child[0] the default or NULL); list */
    JINJA_BREAK,
    JINJA_CONTINUE
} jinja_node_kind;

typedef enum {
    JINJA_OP_ADD,
    JINJA_OP_SUBTRACT,
    JINJA_OP_MULTIPLY,
    JINJA_OP_DIVIDE,
    JINJA_OP_FLOOR_DIVIDE,
    JINJA_OP_MODULO,
    JINJA_OP_POWER,
    JINJA_OP_CONCATENATE,
    JINJA_OP_EQUAL,
    JINJA_OP_NOT_EQUAL,
    JINJA_OP_LESS,
    JINJA_OP_LESS_EQUAL,
    JINJA_OP_GREATER,
    JINJA_OP_GREATER_EQUAL,
    JINJA_OP_IN,
    JINJA_OP_NOT_IN
} jinja_op;

typedef struct jinja_node jinja_node;

struct jinja_node {
    jinja_node_kind kind;
    jinja_op op;
    int64_t at; /* offset in the source */
    jinja_text name;
    jinja_value value;
    jinja_node *child[4];
    jinja_node *list;
    jinja_node *otherwise;
    jinja_node *targets;
    jinja_node *next; /* the node behind this one in its list */
};

#endif
