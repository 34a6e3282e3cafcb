// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_CONFIG_PRIVATE_H
#define DPO_BASE_CONFIG_PRIVATE_H

#include "dpo/base/config.h"

/* Invariant: value[i] is NULL (absent) or a checked value of fields[i], owned. */
struct dpo_config {
    const dpo_field *fields;
    int n_fields;
    dpo_json **value;
};

/* Longest path of a key. */
enum { DPO_MAX_KEY_BYTES = 128 };

/* Index of a name among the field's choices, -1 if it is none. */
int dpo_choice_index(const dpo_field *field, const char *name);

#endif
