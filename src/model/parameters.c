// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/parameters.h"

#include <stdio.h>
#include <string.h>

#include "dpo/base/memory.h"

/* A tensor to be: columns = 0 makes a vector, which has no weight decay. */
typedef struct {
    const char *name;
    int64_t rows, columns;
    dpo_split split;
    dpo_range held, counted;
} tensor;

static void add_row(dpo_parameters *parameters, const tensor *t)
{
    dpo_parameter *row = &parameters->row[parameters->n_rows++];
    int64_t columns = t->columns == 0 ? 1 : t->columns;
    int64_t across = t->split == DPO_SPLIT_COLUMNS ? t->rows : columns;

    (void)snprintf(row->name, sizeof row->name, "%s", t->name);
    row->n_dims = t->columns == 0 ? 1 : 2;
    row->dims[0] = t->rows;
    row->dims[1] = columns;
    row->split = t->split;
    row->held = t->held;
    row->counted = t->counted;
    row->offset = parameters->n_elements;
    row->count = dpo_range_length(t->held) * across;
    row->decays = row->n_dims == 2;
    parameters->n_elements += row->count;
    parameters->n_elements_global += t->rows * columns;
}

static dpo_range scaled(dpo_range range, int64_t factor)
{
    return (dpo_range){range.begin * factor, range.end * factor};
}

/* A norm's weights are on every rank, and the first counts them. */
static tensor norm(const char *name, int64_t d_model, const dpo_partition *partition)
{
    return (tensor){.name = name,
                    .rows = d_model,
                    .held = {0, d_model},
                    .counted = {0, partition->rank == 0 ? d_model : 0}};
}

/* A matrix of which each rank has rows or columns of its own. */
static tensor shared(const char *name, int64_t rows, int64_t columns, dpo_split split,
                     dpo_range held)
{
    return (tensor){name, rows, columns, split, held, held};
}

static void add_layer(const dpo_model_config *config, const dpo_partition *partition, int64_t layer,
                      dpo_parameters *parameters)
{
    int64_t d_model = config->d_model, d_ff = config->d_ff, head_dim = config->head_dim;
    int64_t d_query = config->n_heads * head_dim, d_key = config->n_kv_heads * head_dim;
    dpo_range heads = scaled(partition->heads, head_dim);
    tensor key = {.rows = d_key,
                  .columns = d_model,
                  .split = DPO_SPLIT_ROWS,
                  .held = scaled(partition->kv_heads, head_dim),
                  .counted = scaled(partition->counted_kv, head_dim)};
    tensor tensors[DPO_PARAMETERS_PER_LAYER] = {
        norm("input_layernorm", d_model, partition),
        shared("self_attn.q_proj", d_query, d_model, DPO_SPLIT_ROWS, heads),
        key,
        key,
        shared("self_attn.o_proj", d_model, d_query, DPO_SPLIT_COLUMNS, heads),
        norm("post_attention_layernorm", d_model, partition),
        shared("mlp.gate_proj", d_ff, d_model, DPO_SPLIT_ROWS, partition->ff),
        shared("mlp.up_proj", d_ff, d_model, DPO_SPLIT_ROWS, partition->ff),
        shared("mlp.down_proj", d_model, d_ff, DPO_SPLIT_COLUMNS, partition->ff),
    };

    tensors[2].name = "self_attn.k_proj";
    tensors[3].name = "self_attn.v_proj";
    for (int i = 0; i < DPO_PARAMETERS_PER_LAYER; i++) {
        char name[DPO_PARAMETER_NAME_BYTES];

        (void)snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer,
                       tensors[i].name);
        tensors[i].name = name;
        add_row(parameters, &tensors[i]);
    }
}

dpo_status dpo_parameters_create(const dpo_model_config *config, const dpo_partition *partition,
                                 dpo_parameters *parameters)
{
    int64_t n_rows = config->n_layers * DPO_PARAMETERS_PER_LAYER + (config->tied ? 2 : 3);
    tensor table = shared("model.embed_tokens.weight", config->n_vocab, config->d_model,
                          DPO_SPLIT_ROWS, partition->vocabulary);
    tensor last_norm = norm("model.norm.weight", config->d_model, partition);

    *parameters = (dpo_parameters){0};
    DPO_TRY(DPO_NEW(parameters->row, n_rows));
    add_row(parameters, &table);
    for (int64_t layer = 0; layer < config->n_layers; layer++)
        add_layer(config, partition, layer, parameters);
    add_row(parameters, &last_norm);
    table.name = "lm_head.weight";
    if (!config->tied) add_row(parameters, &table);
    DPO_ASSERT(parameters->n_rows == n_rows);
    return DPO_OK;
}

void dpo_parameters_destroy(dpo_parameters *parameters)
{
    dpo_free(parameters->row);
    *parameters = (dpo_parameters){0};
}

const dpo_parameter *dpo_parameters_find(const dpo_parameters *parameters, const char *name)
{
    for (int64_t i = 0; i < parameters->n_rows; i++)
        if (strcmp(parameters->row[i].name, name) == 0) return &parameters->row[i];
    return NULL;
}

/* What is counted of columns is what is held: only rows and whole tensors lie on several ranks. */
dpo_range dpo_parameter_counted(const dpo_parameter *parameter)
{
    const dpo_parameter *p = parameter;

    if (p->split == DPO_SPLIT_COLUMNS) return (dpo_range){p->offset, p->offset + p->count};
    int64_t first = p->offset - p->held.begin * p->dims[1];

    return (dpo_range){first + p->counted.begin * p->dims[1], first + p->counted.end * p->dims[1]};
}

/* A part of one tensor: all of it is one run, unless some of its columns are held: then each row is. */
static dpo_status visit_runs(const dpo_parameter *p, int64_t row, dpo_range part,
                             dpo_run_function *visit, void *context)
{
    int64_t begin = part.begin - p->offset, end = part.end - p->offset;
    int64_t width = dpo_range_length(p->held);
    int64_t first = p->split == DPO_SPLIT_ROWS ? p->held.begin * p->dims[1] : 0;

    if (p->split != DPO_SPLIT_COLUMNS || width == p->dims[1])
        return visit(context, row, first + begin, end - begin, part.begin);
    while (begin < end) {
        int64_t row_end = (begin / width + 1) * width;
        int64_t count = (row_end < end ? row_end : end) - begin;
        int64_t global = begin / width * p->dims[1] + p->held.begin + begin % width;

        DPO_TRY(visit(context, row, global, count, p->offset + begin));
        begin += count;
    }
    return DPO_OK;
}

dpo_status dpo_parameters_for_each_run(const dpo_parameters *parameters, dpo_range local,
                                       dpo_elements elements, dpo_run_function *visit,
                                       void *context)
{
    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *p = &parameters->row[i];
        dpo_range wanted = elements == DPO_COUNTED ? dpo_parameter_counted(p)
                                                   : (dpo_range){p->offset, p->offset + p->count};
        dpo_range part = dpo_range_intersect(wanted, local);

        if (dpo_range_length(part) > 0) DPO_TRY(visit_runs(p, i, part, visit, context));
    }
    return DPO_OK;
}
