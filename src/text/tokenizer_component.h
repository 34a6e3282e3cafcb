// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_COMPONENT_H
#define TOKENIZER_COMPONENT_H

#include "dpo/base/json.h"

/* A type of component that is understood, and what loads one: appends to a list of the kind's own.
   */
typedef struct {
    const char *type;
    dpo_status (*load)(const char *where, const dpo_json *node, void *list);
} tokenizer_component;

/* A kind of component: normalizers, pre-tokenizers, post-processors, decoders. */
typedef struct {
    const char *items; /* what a "Sequence" of this kind calls its items */
    const tokenizer_component *component;
    int n_components;
} tokenizer_component_kind;

/* Loads a component, or the items of a Sequence one after the other, into a list; null loads
   nothing. A type that the kind does not know is refused. where: "tokenizer.json: decoder". */
DPO_MUST_CHECK dpo_status tokenizer_components_load(const char *where,
                                                    const tokenizer_component_kind *kind,
                                                    const dpo_json *node, void *list);

/* A required text of one character, borrowed. */
DPO_MUST_CHECK dpo_status tokenizer_get_char(const dpo_json *node, const char *where,
                                             const char *key, const char **c);

#endif
