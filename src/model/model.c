// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/model.h"

#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "dpo/math/elementary.h"
#include "model_private.h"

float *dpo_model_embedding(const dpo_model *model, float *flat)
{
    return flat + model->parameters.row[0].offset;
}

float *dpo_model_norm(const dpo_model *model, float *flat)
{
    return flat +
           model->parameters.row[1 + model->config.n_layers * DPO_PARAMETERS_PER_LAYER].offset;
}

float *dpo_model_head(const dpo_model *model, float *flat)
{
    const dpo_parameters *parameters = &model->parameters;

    if (model->config.tied) return dpo_model_embedding(model, flat);
    return flat + parameters->row[parameters->n_rows - 1].offset;
}

/* The rows of parameters.c in their order; q, k, v and gate, up are one matrix each. */
static dpo_block_vectors block_vectors(const dpo_model *model, int64_t layer, float *flat)
{
    const dpo_parameter *row = &model->parameters.row[1 + layer * DPO_PARAMETERS_PER_LAYER];

    return (dpo_block_vectors){.norm1 = flat + row[0].offset,
                               .qkv = flat + row[1].offset,
                               .o = flat + row[4].offset,
                               .norm2 = flat + row[5].offset,
                               .gate_up = flat + row[6].offset,
                               .down = flat + row[8].offset};
}

/* Everything that needs no arena: from here on lay_out can run. */
static dpo_status prepare(const dpo_model_config *config, const dpo_model_limits *limits,
                          const dpo_partition *partition, dpo_model *model)
{
    DPO_ASSERT(limits->max_tokens > 0 && limits->max_rows > 0);
    DPO_ASSERT(limits->max_positions >= 0 && limits->logits_bytes >= 0);
    model->config = *config;
    model->limits = *limits;
    if (limits->max_positions == 0) model->limits.max_positions = config->max_positions;
    model->partition = *partition;
    model->n_shared_kv = dpo_partition_n_shared_kv(config, partition->size);
    model->kept_tokens = -1;
    DPO_TRY(dpo_parameters_create(config, partition, &model->parameters));
    DPO_TRY(DPO_NEW(model->shared_kv, model->n_shared_kv));
    dpo_partition_shared_kv(config, partition->size, model->shared_kv);
    return DPO_NEW(model->block, config->n_layers);
}

dpo_status dpo_model_plan(const dpo_model_config *config, const dpo_model_limits *limits,
                          const dpo_partition *partition, dpo_model_memory *memory)
{
    dpo_model model = {0};
    dpo_status status = prepare(config, limits, partition, &model);

    *memory = (dpo_model_memory){0};
    if (status == DPO_OK) dpo_model_lay_out(&model, memory);
    dpo_free(model.block);
    dpo_free(model.shared_kv);
    dpo_parameters_destroy(&model.parameters);
    return status;
}

static dpo_status create_arena(dpo_model *model, int64_t *logits_bytes)
{
    dpo_model_memory memory;

    dpo_model_lay_out(model, &memory);
    DPO_TRY(dpo_arena_create(model->arena.used_bytes, &model->arena));
    dpo_model_lay_out(model, &memory);
    *logits_bytes = memory.logits;
    for (int64_t layer = 0; layer < model->config.n_layers; layer++) {
        dpo_block *block = &model->block[layer];

        block->weight = block_vectors(model, layer, model->weights);
        if (model->gradients != NULL)
            block->gradient = block_vectors(model, layer, model->gradients);
    }
    return DPO_OK;
}

dpo_matmul_shape dpo_model_linear_shape(const dpo_model *model, dpo_linear linear)
{
    static const char *const names[DPO_N_LINEARS] = {"qkv", "o", "gate_up", "down"};
    const dpo_model_limits *limits = &model->limits;
    int64_t d_model = model->config.d_model, d_ff = dpo_range_length(model->partition.ff);
    int64_t inside[DPO_N_LINEARS] = {dpo_qkv_width(model), dpo_heads_width(model), 2 * d_ff, d_ff};
    bool is_column = linear == DPO_QKV || linear == DPO_GATE_UP;

    return (dpo_matmul_shape){
        .name = names[linear],
        .d_in = is_column ? d_model : inside[linear],
        .d_out = is_column ? inside[linear] : d_model,
        .max_tokens = limits->max_tokens > limits->max_rows ? limits->max_tokens : limits->max_rows,
        .y_stride = linear == DPO_GATE_UP ? dpo_gate_up_stride(model) : 0,
        .x = is_column ? DPO_F32 : limits->activations,
        .y = is_column ? limits->activations : DPO_F32,
        .compute = limits->compute};
}

static dpo_status create_matmuls(dpo_model *model)
{
    dpo_matmul **const matmul[DPO_N_LINEARS] = {&model->qkv_matmul, &model->o_matmul,
                                                &model->gate_up_matmul, &model->down_matmul};

    for (int linear = 0; linear < DPO_N_LINEARS; linear++) {
        const dpo_matmul_shape shape = dpo_model_linear_shape(model, (dpo_linear)linear);

        DPO_TRY(dpo_matmul_create(&shape, model->scratch.staging, matmul[linear]));
    }
    return DPO_OK;
}

dpo_attention_shape dpo_model_attention_shape(const dpo_model *model)
{
    const dpo_model_config *c = &model->config;
    const dpo_partition *p = &model->partition;
    int64_t group = c->n_heads / c->n_kv_heads;

    return (dpo_attention_shape){.n_heads = dpo_range_length(p->heads),
                                 .n_kv_heads = dpo_range_length(p->kv_heads),
                                 .head_dim = c->head_dim,
                                 .group = group,
                                 .skipped = p->heads.begin % group,
                                 .elements = model->limits.activations,
                                 .compute = model->limits.compute};
}

static dpo_status create_plans(dpo_model *model, int64_t logits_bytes)
{
    const dpo_model_config *c = &model->config;
    const dpo_partition *p = &model->partition;
    const dpo_attention_shape shape = dpo_model_attention_shape(model);
    dpo_rotary_options rope = c->rope;

    rope.max_positions = model->limits.max_positions;
    rope.elements = model->limits.activations;
    DPO_TRY(create_matmuls(model));
    DPO_TRY(dpo_attention_create(&shape, model->limits.max_tokens, &model->attention));
    DPO_TRY(dpo_rotary_create(&rope, &model->rotary));
    return dpo_token_logps_create(c->d_model, p->vocabulary, model->limits.max_rows, logits_bytes,
                                  model->limits.compute, &model->token_logps);
}

static dpo_status create(const dpo_grid *grid, const dpo_model_config *config,
                         const dpo_model_limits *limits, dpo_model **model)
{
    dpo_partition partition;
    int64_t logits_bytes;

    if (limits->max_positions > config->max_positions)
        return DPO_FAIL(DPO_EUSAGE,
                        "sequences of %lld tokens do not fit into the model's context of %lld; set "
                        "data.max_length to at most that",
                        (long long)limits->max_positions, (long long)config->max_positions);
    DPO_TRY(dpo_partition_make(config, dpo_grid_size(grid, DPO_TENSOR),
                               dpo_grid_rank(grid, DPO_TENSOR), &partition));
    DPO_TRY(DPO_NEW(*model, 1));
    (*model)->grid = grid;
    DPO_TRY(prepare(config, limits, &partition, *model));
    DPO_TRY(create_arena(*model, &logits_bytes));
    return create_plans(*model, logits_bytes);
}

/* Of one rank there is none, and its matrices lie in the arena. */
static dpo_status create_exchange(const dpo_grid *grid, dpo_model *model)
{
    DPO_ASSERT(model != NULL);
    dpo_scratch *scratch = &model->scratch;

    if (model->partition.size == 1) return DPO_OK;
    DPO_TRY(dpo_exchange_create(grid, DPO_TENSOR, model->limits.transport,
                                dpo_model_exchange_rows(model), model->config.d_model, DPO_N_WHOLES,
                                &model->exchange));
    scratch->h = dpo_exchange_whole(model->exchange, DPO_WHOLE_INPUT);
    scratch->rows = dpo_exchange_whole(model->exchange, DPO_WHOLE_ROWS);
    scratch->partial = dpo_exchange_partial(model->exchange);
    scratch->dhead = scratch->partial;
    return DPO_OK;
}

dpo_status dpo_model_create(const dpo_grid *grid, const dpo_model_config *config,
                            const dpo_model_limits *limits, dpo_model **model)
{
    dpo_status status;

    *model = NULL;
    status = dpo_agree(grid, create(grid, config, limits, model));
    if (status == DPO_OK) status = create_exchange(grid, *model);
    if (status != DPO_OK) dpo_model_destroy(model);
    return status;
}

void dpo_model_destroy(dpo_model **model)
{
    dpo_model *m = *model;

    if (m == NULL) return;
    dpo_token_logps_destroy(&m->token_logps);
    dpo_rotary_destroy(&m->rotary);
    dpo_attention_destroy(&m->attention);
    dpo_matmul_destroy(&m->down_matmul);
    dpo_matmul_destroy(&m->gate_up_matmul);
    dpo_matmul_destroy(&m->o_matmul);
    dpo_matmul_destroy(&m->qkv_matmul);
    dpo_exchange_destroy(&m->exchange);
    dpo_free(m->block);
    dpo_free(m->shared_kv);
    dpo_arena_destroy(&m->arena);
    dpo_parameters_destroy(&m->parameters);
    dpo_free(m);
    *model = NULL;
}

dpo_transport_kind dpo_model_transport(const dpo_model *model)
{
    return model->exchange != NULL ? dpo_exchange_transport(model->exchange) : DPO_TRANSPORT_AUTO;
}

const dpo_model_config *dpo_model_config_of(const dpo_model *model)
{
    return &model->config;
}

const dpo_model_limits *dpo_model_limits_of(const dpo_model *model)
{
    return &model->limits;
}

const dpo_parameters *dpo_model_parameters(const dpo_model *model)
{
    return &model->parameters;
}

float *dpo_model_weights(dpo_model *model)
{
    model->is_rounded = false;
    return model->weights;
}

void dpo_model_round_weights(dpo_model *model)
{
    if (model->weights_bf16 == NULL || model->is_rounded) return;
    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    dpo_narrow_run(model->parameters.n_elements, model->weights, model->weights_bf16);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
    model->is_rounded = true;
}

float *dpo_model_gradients(dpo_model *model)
{
    return model->gradients;
}

void dpo_model_zero_gradients(dpo_model *model)
{
    dpo_fill_run(model->parameters.n_elements, 0.0f, model->gradients);
}

/* Positions into scratch; ends the program if the batch breaks its contract. */
static void enter(dpo_model *model, const dpo_batch *batch)
{
    const dpo_model_limits *limits = &model->limits;

    DPO_ASSERT(batch->n_tokens >= 0 && batch->n_tokens <= limits->max_tokens);
    DPO_ASSERT(batch->n_rows >= 0 && batch->n_rows <= limits->max_rows);
    DPO_ASSERT(dpo_segments_n_tokens(&batch->segments) == batch->n_tokens);
    dpo_model_round_weights(model);
    dpo_segments_positions(&batch->segments, model->scratch.position);
    for (int64_t n = 0; n < batch->n_tokens; n++) {
        DPO_ASSERT(model->scratch.position[n] < limits->max_positions);
        DPO_ASSERT(batch->token[n] >= 0 && batch->token[n] < model->config.n_vocab);
    }
    for (int64_t r = 0; r < batch->n_rows; r++) {
        DPO_ASSERT(batch->row[r] >= 0 && batch->row[r] < batch->n_tokens);
        DPO_ASSERT(batch->target[r] >= 0 && batch->target[r] < model->config.n_vocab);
    }
}

void dpo_model_forward(dpo_model *model, const dpo_batch *batch, float *logp)
{
    enter(model, batch);
    dpo_model_embed(model, batch);
    for (int64_t layer = 0; layer < model->config.n_layers; layer++)
        dpo_block_forward(model, batch, layer);
    dpo_model_final_norm(model, batch->n_rows);
    dpo_model_head_forward(model, batch, logp);
    model->kept_tokens = batch->n_tokens;
    model->kept_rows = batch->n_rows;
}

/* A layer's gradients, and those of everything behind it, have got their last addend. */
static void finish_layer(dpo_model *model, int64_t layer, const dpo_gradient_sink *sink)
{
    dpo_linear_sum_shared(model, layer);
    if (sink->ready == NULL) return;
    sink->ready(sink->context, model->parameters.row[1 + layer * DPO_PARAMETERS_PER_LAYER].offset);
}

void dpo_model_backward(dpo_model *model, const dpo_batch *batch, const float *coefficient,
                        const dpo_gradient_sink *last)
{
    DPO_ASSERT(model->limits.trainable);
    DPO_ASSERT(model->kept_tokens == batch->n_tokens && model->kept_rows == batch->n_rows);
    model->kept_tokens = -1;
    dpo_model_head_backward(model, batch, coefficient);
    for (int64_t layer = model->config.n_layers - 1; layer >= 0; layer--) {
        dpo_block_backward(model, batch, layer);
        if (last != NULL) finish_layer(model, layer, last);
    }
    dpo_model_dembed(model, batch);
    if (last != NULL && last->ready != NULL) last->ready(last->context, 0);
}
