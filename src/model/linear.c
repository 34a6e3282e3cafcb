// SPDX-License-Identifier: Apache-2.0
/*
 * Parallel linear layers (Shoeybi et al. 2019) between a residual stream that is split by tokens
 * (Korthikanti et al. 2022). Two ranks, rows are tokens:
 *
 *             h           Wqkv^T, Wgate_up^T     y                x          Wo^T, Wdown^T    residual
 *     rank 0  all rows    [ left  | .     ]   [ left  | . ]   [ left  | . ]   [ upper ]    rows [0, N/2)
 *     rank 1  all rows    [ .     | right ]   [ . | right ]   [ . | right ]   [ lower ]    rows [N/2, N)
 *
 *     column-parallel: y = h W^T     all-gather of h's rows in front; backward: reduce-scatter of dh
 *     row-parallel: out += x W^T     reduce-scatter of the products; backward: all-gather of dout's rows
 *
 * Of one rank all of this is nothing but the products.
 */
#include <string.h>

#include "dpo/comm/collective.h"
#include "model_private.h"

float *dpo_own_rows(const dpo_model *model, int64_t n, float *all)
{
    return all + dpo_partition_tokens(&model->partition, n).begin * model->config.d_model;
}

static bool is_alone(const dpo_model *model)
{
    return model->partition.size == 1;
}

void dpo_linear_gather_input(dpo_model *model, int64_t n)
{
    if (!is_alone(model)) dpo_exchange_gather(model->exchange, DPO_WHOLE_INPUT, n);
}

const float *dpo_linear_gather_rows(dpo_model *model, int64_t n, const float *own)
{
    dpo_range rows = dpo_partition_tokens(&model->partition, n);
    size_t row_bytes = (size_t)model->config.d_model * sizeof *own;

    if (is_alone(model)) return own;
    memcpy(dpo_own_rows(model, n, model->scratch.rows), own,
           (size_t)dpo_range_length(rows) * row_bytes);
    dpo_exchange_gather(model->exchange, DPO_WHOLE_ROWS, n);
    return model->scratch.rows;
}

void dpo_linear_reduce(dpo_model *model, int64_t n, dpo_output output, float *own)
{
    if (!is_alone(model)) dpo_exchange_reduce(model->exchange, n, output == DPO_ADD, own);
}

void dpo_linear_row_forward(dpo_model *model, dpo_matmul *matmul, int64_t n, const void *x,
                            const float *weight, float *own)
{
    if (is_alone(model)) {
        dpo_matmul_forward(matmul, n, x, dpo_model_weight(model, weight), DPO_ADD, own);
        return;
    }
    dpo_matmul_forward(matmul, n, x, dpo_model_weight(model, weight), DPO_ASSIGN,
                       model->scratch.partial);
    dpo_linear_reduce(model, n, DPO_ADD, own);
}

void dpo_linear_column_backward(dpo_model *model, dpo_matmul *matmul, int64_t n, const void *dy,
                                const float *weight)
{
    dpo_matmul_backward_data(matmul, n, dy, dpo_model_weight(model, weight), DPO_ASSIGN,
                             model->scratch.partial);
    dpo_linear_reduce(model, n, DPO_ASSIGN, model->scratch.dh);
}

/* One direction of moving rows between a layer's gradients and a matrix of their common rows. */
typedef void move_rows(int64_t n_elements, float *gradient, float *common);

static void pack(int64_t n_elements, float *gradient, float *common)
{
    memcpy(common, gradient, (size_t)n_elements * sizeof *common);
}

static void unpack(int64_t n_elements, float *gradient, float *common)
{
    memcpy(gradient, common, (size_t)n_elements * sizeof *common);
}

/* Keys and values of the heads that several ranks have; rows of heads that are not here are passed over. */
static float *move_shared_kv(dpo_model *model, float *qkv, move_rows *move, float *common)
{
    const dpo_partition *p = &model->partition;
    int64_t d_head = model->config.head_dim * model->config.d_model;
    int64_t n_heads = dpo_range_length(p->heads), n_kv_heads = dpo_range_length(p->kv_heads);

    for (int value = 0; value < 2; value++)
        for (int64_t i = 0; i < model->n_shared_kv; i++, common += d_head) {
            int64_t head = model->shared_kv[i] - p->kv_heads.begin;

            if (head >= 0 && head < n_kv_heads)
                move(d_head, qkv + (n_heads + value * n_kv_heads + head) * d_head, common);
        }
    return common;
}

/* Returns the number of rows. */
static int64_t move_shared(dpo_model *model, int64_t layer, move_rows *move, float *common)
{
    const dpo_block_vectors *gradient = &model->block[layer].gradient;
    int64_t d_model = model->config.d_model;
    float *at = common;

    move(d_model, gradient->norm1, at);
    move(d_model, gradient->norm2, at + d_model);
    at += 2 * d_model;
    if (layer == model->config.n_layers - 1) {
        move(d_model, dpo_model_norm(model, model->gradients), at);
        at += d_model;
    }
    return (move_shared_kv(model, gradient->qkv, move, at) - common) / d_model;
}

static int64_t n_shared_rows(const dpo_model *model, int64_t layer)
{
    return 2 + (layer == model->config.n_layers - 1) +
           2 * model->n_shared_kv * model->config.head_dim;
}

/*
 * A reduce-scatter and an all-gather of the common rows: the sum has the same bits on every rank. The
 * barriers: others may still read partial, for the last call was the reduce-scatter of it; and the next
 * call may be one that writes h, which others still read here.
 */
void dpo_linear_sum_shared(dpo_model *model, int64_t layer)
{
    dpo_scratch *scratch = &model->scratch;
    int64_t n = n_shared_rows(model, layer);

    if (is_alone(model)) return;
    dpo_barrier(model->grid, DPO_TENSOR);
    memset(scratch->partial, 0, (size_t)(n * model->config.d_model) * sizeof *scratch->partial);
    (void)move_shared(model, layer, pack, scratch->partial);
    dpo_linear_reduce(model, n, DPO_ASSIGN, dpo_own_rows(model, n, scratch->h));
    dpo_linear_gather_input(model, n);
    DPO_ASSERT(move_shared(model, layer, unpack, scratch->h) == n);
    dpo_barrier(model->grid, DPO_TENSOR);
}
