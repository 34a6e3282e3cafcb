// SPDX-License-Identifier: Apache-2.0
#ifndef OPTIM_FIXTURE_H
#define OPTIM_FIXTURE_H

#include "dpo/base/random.h"
#include "dpo/optim/optimizer.h"
#include "mpi_test.h"

/* Appends a tensor; columns = 0 makes a vector. */
static inline void add_tensor(dpo_parameters *parameters, const char *name, int64_t rows,
                              int64_t columns, bool decays)
{
    dpo_parameter *row = &parameters->row[parameters->n_rows++];

    (void)snprintf(row->name, sizeof row->name, "%s", name);
    row->n_dims = columns == 0 ? 1 : 2;
    row->dims[0] = rows;
    row->dims[1] = columns == 0 ? 1 : columns;
    row->offset = parameters->n_elements;
    row->count = row->dims[0] * row->dims[1];
    row->held = row->counted = (dpo_range){0, rows};
    row->decays = decays;
    parameters->n_elements += row->count;
}

static inline const dpo_optimizer_method *method_named(const char *name)
{
    int n;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n);

    for (int i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    fail_msg("no method %s", name);
    return NULL;
}

static inline void make_numbers(uint32_t major, int64_t n, float *value)
{
    for (int64_t i = 0; i < n; i++)
        value[i] = (float)dpo_random_normal(5, DPO_STREAM_TEST, major, (uint64_t)i);
}

#endif
