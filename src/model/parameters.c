// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/parameters.h"

#include <stdio.h>
#include <string.h>

#include "dpo/base/memory.h"

/* Appends a row; columns = 0 makes a vector, which has no weight decay. */
static void add_row(dpo_parameters *parameters, const char *name, int64_t rows, int64_t columns)
{
    dpo_parameter *row = &parameters->row[parameters->n_rows++];

    (void)snprintf(row->name, sizeof row->name, "%s", name);
    row->n_dims = columns == 0 ? 1 : 2;
    row->dims[0] = rows;
    row->dims[1] = columns == 0 ? 1 : columns;
    row->offset = parameters->n_elements;
    row->count = row->dims[0] * row->dims[1];
    row->decays = row->n_dims == 2;
    parameters->n_elements += row->count;
}

static void add_layer(const dpo_model_config *config, int64_t layer, dpo_parameters *parameters)
{
    int64_t d_model = config->d_model;
    int64_t d_query = config->n_heads * config->head_dim;
    int64_t d_key = config->n_kv_heads * config->head_dim;
    const struct {
        const char *name;
        int64_t rows, columns;
    } tensors[DPO_PARAMETERS_PER_LAYER] = {
        {"input_layernorm", d_model, 0},          {"self_attn.q_proj", d_query, d_model},
        {"self_attn.k_proj", d_key, d_model},     {"self_attn.v_proj", d_key, d_model},
        {"self_attn.o_proj", d_model, d_query},   {"post_attention_layernorm", d_model, 0},
        {"mlp.gate_proj", config->d_ff, d_model}, {"mlp.up_proj", config->d_ff, d_model},
        {"mlp.down_proj", d_model, config->d_ff},
    };

    for (int i = 0; i < DPO_PARAMETERS_PER_LAYER; i++) {
        char name[DPO_PARAMETER_NAME_BYTES];

        (void)snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)layer,
                       tensors[i].name);
        add_row(parameters, name, tensors[i].rows, tensors[i].columns);
    }
}

dpo_status dpo_parameters_create(const dpo_model_config *config, dpo_parameters *parameters)
{
    int64_t n_rows = config->n_layers * DPO_PARAMETERS_PER_LAYER + (config->tied ? 2 : 3);

    *parameters = (dpo_parameters){0};
    DPO_TRY(DPO_NEW(parameters->row, n_rows));
    add_row(parameters, "model.embed_tokens.weight", config->n_vocab, config->d_model);
    for (int64_t layer = 0; layer < config->n_layers; layer++)
        add_layer(config, layer, parameters);
    add_row(parameters, "model.norm.weight", config->d_model, 0);
    if (!config->tied) add_row(parameters, "lm_head.weight", config->n_vocab, config->d_model);
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
