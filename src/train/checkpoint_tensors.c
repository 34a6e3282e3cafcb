// SPDX-License-Identifier: Apache-2.0
/*
 * Weights are whole on every data-parallel rank; optimizer state and average lie in shards. Each rank writes what
 * falls into its shard, of all vectors, so that the work is shared. What several tensor-parallel ranks
 * hold is written by the one that counts it and read by all.
 */
#include "checkpoint_tensors.h"

#include <stdio.h>

#include "dpo/base/memory.h"

static void add_vector(dpo_checkpoint_table *table, const char *group, const char *name,
                       dpo_checkpoint_vector vector)
{
    dpo_checkpoint_vector *added = &table->vector[table->n_vectors++];

    *added = vector;
    (void)snprintf(added->prefix, sizeof added->prefix, "%s%s/", group, name);
}

void dpo_checkpoint_table_begin(const dpo_checkpoint_tensors *tensors, dpo_checkpoint_table *table)
{
    dpo_optimizer *optimizer = tensors->optimizer;

    *table = (dpo_checkpoint_table){.parameters = dpo_model_parameters(tensors->model),
                                    .optimizer = optimizer};
    add_vector(
        table, "", "weights",
        (dpo_checkpoint_vector){"", tensors->shard, dpo_model_weights(tensors->model), true, -1});
    if (optimizer == NULL) return;
    for (int s = 0; s < dpo_optimizer_n_states(optimizer); s++)
        add_vector(table, "optimizer/", dpo_optimizer_state_name(optimizer, s),
                   (dpo_checkpoint_vector){"", dpo_optimizer_state_shard(optimizer, s),
                                           dpo_optimizer_state(optimizer, s), false, s});
    if (tensors->ema != NULL)
        add_vector(
            table, "", "ema",
            (dpo_checkpoint_vector){"", tensors->shard, dpo_ema_values(tensors->ema), false, -1});
}

static bool has_tensor(const dpo_checkpoint_table *table, int v, int64_t row)
{
    int state = table->vector[v].state;

    return state < 0 || dpo_optimizer_state_covers(table->optimizer, state, row);
}

static void name_tensor(dpo_checkpoint_table *table, int v, int64_t r)
{
    const dpo_parameter *row = &table->parameters->row[r];
    int64_t d = table->n_datasets++;

    (void)snprintf(table->names[d], sizeof table->names[d], "%s%s", table->vector[v].prefix,
                   row->name);
    table->datasets[d] = (dpo_h5_dataset){.name = table->names[d],
                                          .type = DPO_H5_F32,
                                          .n_dims = row->n_dims,
                                          .dims = {row->dims[0], row->dims[1]}};
    table->dataset_of[v * table->parameters->n_rows + r] = d;
}

dpo_status dpo_checkpoint_table_name(dpo_checkpoint_table *table)
{
    int64_t n_rows = table->parameters->n_rows;
    int64_t n = table->n_vectors * n_rows;

    DPO_TRY(DPO_NEW(table->names, n));
    DPO_TRY(DPO_NEW(table->datasets, n));
    DPO_TRY(DPO_NEW(table->dataset_of, n));
    for (int64_t i = 0; i < n; i++) {
        table->dataset_of[i] = -1;
        if (has_tensor(table, (int)(i / n_rows), i % n_rows))
            name_tensor(table, (int)(i / n_rows), i % n_rows);
    }
    return DPO_OK;
}

void dpo_checkpoint_table_destroy(dpo_checkpoint_table *table)
{
    dpo_free(table->names);
    dpo_free(table->datasets);
    dpo_free(table->dataset_of);
    *table = (dpo_checkpoint_table){0};
}

/* A walk over the runs of a range: values[0] is the range's first item. */
typedef struct {
    const dpo_checkpoint_table *table;
    int vector;
    dpo_h5_file *write;
    const dpo_h5_file *read;
    int64_t begin;
    float *values;
} transfer;

static dpo_status write_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                            int64_t local_begin)
{
    const transfer *t = context;
    int64_t d = t->table->dataset_of[t->vector * t->table->parameters->n_rows + row];

    return dpo_h5_write(t->write, d, global_begin, count, t->values + (local_begin - t->begin));
}

static dpo_status read_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                           int64_t local_begin)
{
    const transfer *t = context;
    const dpo_parameter *parameter = &t->table->parameters->row[row];
    char name[DPO_PARAMETER_NAME_BYTES + 32];
    int64_t d;

    (void)snprintf(name, sizeof name, "%s%s", t->table->vector[t->vector].prefix, parameter->name);
    DPO_TRY(dpo_h5_get(t->read, name, DPO_H5_F32, parameter->dims[0] * parameter->dims[1], &d));
    return dpo_h5_read(t->read, d, global_begin, count, t->values + (local_begin - t->begin));
}

/* The runs of each range of a shard. */
static dpo_status transfer_shard(transfer *t, const dpo_shard *shard, dpo_elements elements,
                                 dpo_run_function *run)
{
    const dpo_checkpoint_vector *vector = &t->table->vector[t->vector];
    int64_t packed = 0;

    for (int64_t i = 0; i < shard->n_ranges; i++) {
        t->begin = shard->range[i].begin;
        t->values = vector->values + (vector->is_flat ? t->begin : packed);
        DPO_TRY(
            dpo_parameters_for_each_run(t->table->parameters, shard->range[i], elements, run, t));
        packed += dpo_range_length(shard->range[i]);
    }
    return DPO_OK;
}

dpo_status dpo_checkpoint_table_write(const dpo_checkpoint_table *table, dpo_h5_file *file)
{
    for (int v = 0; v < table->n_vectors; v++) {
        transfer t = {.table = table, .vector = v, .write = file};

        DPO_TRY(transfer_shard(&t, table->vector[v].shard, DPO_COUNTED, write_run));
    }
    return DPO_OK;
}

/* The vectors of another optimizer or without an average are not those of this run. */
static dpo_status check_vectors(const dpo_checkpoint_table *table, const dpo_h5_file *file)
{
    for (int v = 1; v < table->n_vectors; v++) {
        char name[DPO_PARAMETER_NAME_BYTES + 32];
        int64_t row = 0;

        while (row < table->parameters->n_rows - 1 && !has_tensor(table, v, row))
            row++;
        (void)snprintf(name, sizeof name, "%s%s", table->vector[v].prefix,
                       table->parameters->row[row].name);
        if (dpo_h5_find(file, name) < 0)
            return DPO_FAIL(DPO_EDATA,
                            "%s: has no %s: it was written with another optimizer, or another "
                            "optimizer.ema, than this run's; continue with the same ones",
                            dpo_h5_path(file), name);
    }
    return DPO_OK;
}

dpo_status dpo_checkpoint_table_read(const dpo_checkpoint_table *table, const dpo_h5_file *file)
{
    dpo_range all = {0, table->parameters->n_elements};
    const dpo_shard whole = {1, &all, all.end};

    DPO_TRY(check_vectors(table, file));
    for (int v = 0; v < table->n_vectors; v++) {
        const dpo_checkpoint_vector *vector = &table->vector[v];
        transfer t = {.table = table, .vector = v, .read = file};

        DPO_TRY(transfer_shard(&t, vector->is_flat ? &whole : vector->shard, DPO_HELD, read_run));
    }
    return DPO_OK;
}
