// SPDX-License-Identifier: Apache-2.0
/*
 * logp[r] = z[r, target[r]] - lse[r], z = h W^T, lse[r] = log sum_v exp z[r, v].
 * dz[r, v] = coefficient[r] (1[v = target[r]] - exp(z[r, v] - lse[r])); dh = dz W, dW += dz^T h.
 *
 *   R rows, D d_model, V vocabulary; h [R, D], W [V, D], dz like z [R, V].
 *
 * Rows and vocabulary are cut into blocks; z exists one block [rows, columns] at a time, small enough for
 * the last-level cache and large enough for the matmul. Blocks that were kept lie one behind the other,
 * each dense, in the order in which both passes visit them.
 */
#include "dpo/math/token_logps.h"

#include <math.h>

#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "dpo/base/range.h"
#include "element_rows.h"
#include "kernels/kernels.h"
#include "onednn.h"

/* A width that is a power of two puts the rows of z into the same cache sets and costs the products 3 %. */
enum { BLOCK_ROWS = 1024, BLOCK_COLUMNS = 768 };

struct dpo_token_logps {
    int64_t d_model, n_vocab, max_rows, max_kept; /* n_vocab = V, of the local vocabulary */
    int64_t first_token;                          /* of the local vocabulary */
    float *lse;                                   /* [max_rows] stays until the backward pass */
    dpo_element compute;
    float *block; /* [BLOCK_ROWS, BLOCK_COLUMNS] logits that are not kept */
    float *kept;  /* [max_kept] logits of the last forward pass; consumed by backward */
    /* NULL unless products take bf16: h of the run, dL/dz of a block */
    uint16_t *h_bf16;  /* [max_rows, D] */
    uint16_t *dz_bf16; /* [BLOCK_ROWS, BLOCK_COLUMNS] */
};

/* One block of logits, and where it is. */
typedef struct {
    dpo_range rows, columns;
    int is_kept; /* z survives until the backward pass */
    float *z;    /* [rows, columns] */
} logits_block;

static int64_t n_parts(int64_t n, int64_t part)
{
    return (n + part - 1) / part;
}

/* Logits of a block that is not kept. */
static int64_t block_floats(int64_t n_vocab, int64_t max_rows)
{
    int64_t rows = max_rows < BLOCK_ROWS ? max_rows : BLOCK_ROWS;

    return rows * (n_vocab < BLOCK_COLUMNS ? n_vocab : BLOCK_COLUMNS);
}

int64_t dpo_token_logps_plan_bytes(int64_t d_model, dpo_range vocabulary_local, int64_t max_rows,
                                   dpo_element compute)
{
    int64_t floats = block_floats(dpo_range_length(vocabulary_local), max_rows);
    int64_t bytes = (max_rows + floats) * (int64_t)sizeof(float);

    if (compute == DPO_BF16) bytes += (max_rows * d_model + floats) * dpo_element_bytes(DPO_BF16);
    return bytes;
}

static dpo_status allocate(dpo_token_logps *logps)
{
    DPO_TRY(DPO_NEW(logps->lse, logps->max_rows));
    DPO_TRY(DPO_NEW(logps->block, block_floats(logps->n_vocab, logps->max_rows)));
    if (logps->compute == DPO_BF16) {
        DPO_TRY(DPO_NEW(logps->h_bf16, logps->max_rows * logps->d_model));
        DPO_TRY(DPO_NEW(logps->dz_bf16, block_floats(logps->n_vocab, logps->max_rows)));
    }
    return DPO_NEW(logps->kept, logps->max_kept);
}

dpo_status dpo_token_logps_create(int64_t d_model, dpo_range vocabulary_local, int64_t max_rows,
                                  int64_t budget_bytes, dpo_element compute,
                                  dpo_token_logps **logps)
{
    int64_t n_vocab = dpo_range_length(vocabulary_local);

    DPO_ASSERT(d_model > 0 && n_vocab > 0 && max_rows > 0 && budget_bytes >= 0);
    DPO_ASSERT(compute == DPO_F32 || dpo_onednn_multiplies_bf16());
    int64_t affordable = budget_bytes / (int64_t)sizeof(float);
    int64_t all = max_rows * n_vocab;

    DPO_TRY(DPO_NEW(*logps, 1));
    (*logps)->d_model = d_model;
    (*logps)->n_vocab = n_vocab;
    (*logps)->first_token = vocabulary_local.begin;
    (*logps)->max_rows = max_rows;
    (*logps)->compute = compute;
    (*logps)->max_kept = affordable < all ? affordable : all;
    dpo_status status = allocate(*logps);

    if (status != DPO_OK) dpo_token_logps_destroy(logps);
    return status;
}

void dpo_token_logps_destroy(dpo_token_logps **logps)
{
    if (*logps == NULL) return;
    dpo_free((*logps)->lse);
    dpo_free((*logps)->block);
    dpo_free((*logps)->kept);
    dpo_free((*logps)->h_bf16);
    dpo_free((*logps)->dz_bf16);
    dpo_free(*logps);
    *logps = NULL;
}

/* Columns of a block: whole vectors, or products over its rows are some per cent slower. */
static dpo_range columns_of(int64_t n_vocab, int64_t n_blocks, int64_t index)
{
    enum { VECTOR = 16 };
    dpo_range vectors = dpo_range_of_part(n_parts(n_vocab, VECTOR), n_blocks, index);

    return dpo_range_intersect((dpo_range){vectors.begin * VECTOR, vectors.end * VECTOR},
                               (dpo_range){0, n_vocab});
}

/* Block number `index` of n_rows rows; n_kept counts the logits kept by the blocks before it. */
static logits_block block_of(const dpo_token_logps *logps, int64_t n_rows, int64_t index,
                             int64_t *n_kept)
{
    int64_t column_blocks = n_parts(logps->n_vocab, BLOCK_COLUMNS);
    int64_t row_blocks = n_parts(n_rows, BLOCK_ROWS);
    logits_block block = {.rows = dpo_range_of_part(n_rows, row_blocks, index / column_blocks),
                          .columns =
                              columns_of(logps->n_vocab, column_blocks, index % column_blocks)};
    int64_t size = dpo_range_length(block.rows) * dpo_range_length(block.columns);

    block.is_kept = *n_kept + size <= logps->max_kept;
    block.z = block.is_kept ? logps->kept + *n_kept : logps->block;
    *n_kept += block.is_kept ? size : 0;
    return block;
}

static int64_t n_blocks(const dpo_token_logps *logps, int64_t n_rows)
{
    return n_parts(logps->n_vocab, BLOCK_COLUMNS) * n_parts(n_rows, BLOCK_ROWS);
}

/* Rows of f32 as the products read them; every thread narrows its own. */
static void narrow_rows(int64_t n_rows, int64_t width, const float *rows, uint16_t *narrow)
{
    const dpo_kernels *kernels = dpo_kernels_get();

#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < n_rows; r++)
        kernels->narrow(width, rows + r * width, narrow + r * width);
}

/* h and W of a run, as the products read them. */
typedef struct {
    const void *h, *weight;
} operands;

static operands read_operands(const dpo_token_logps *logps, int64_t n_rows, const float *h,
                              dpo_weight weight)
{
    DPO_ASSERT(n_rows >= 0 && n_rows <= logps->max_rows);
    if (logps->compute == DPO_F32) return (operands){h, weight.f32};
    narrow_rows(n_rows, logps->d_model, h, logps->h_bf16);
    return (operands){logps->h_bf16, weight.bf16};
}

/* Rows of h or W from `row` on. */
static dpo_matrix rows_from(const dpo_token_logps *logps, const void *array, int64_t row,
                            int transposed)
{
    return (dpo_matrix){dpo_const_at(logps->compute, array, row * logps->d_model), logps->d_model,
                        transposed};
}

/* z [rows, columns] = h W^T for ranges of both. */
static void multiply_by_head(const dpo_token_logps *logps, dpo_range rows, dpo_range columns,
                             operands from, float *z)
{
    int64_t width = dpo_range_length(columns);

    dpo_gemm((dpo_product){logps->compute, dpo_range_length(rows), width, logps->d_model, width},
             rows_from(logps, from.h, rows.begin, 0),
             rows_from(logps, from.weight, columns.begin, 1), 0.0f, z);
}

/* Column of a row's target in the block; -1 if it is elsewhere. */
static int64_t target_column(const dpo_token_logps *logps, const logits_block *block,
                             int32_t target)
{
    int64_t column = target - logps->first_token;

    if (column < block->columns.begin || column >= block->columns.end) return -1;
    return column - block->columns.begin;
}

/* Carries on the online log-sum-exp of the block's rows. */
static void absorb_block(const dpo_token_logps *logps, const logits_block *block,
                         const int32_t *target, dpo_logit_statistics *statistics)
{
    const dpo_kernels *kernels = dpo_kernels_get();
    int64_t width = dpo_range_length(block->columns);
    int is_first = block->columns.begin == 0;

#pragma omp parallel for schedule(static)
    for (int64_t r = block->rows.begin; r < block->rows.end; r++) {
        const float *z = block->z + (r - block->rows.begin) * width;
        dpo_logit_statistics *row = &statistics[r];
        int64_t column = target_column(logps, block, target[r]);
        float largest = kernels->largest(width, z);
        float max = !is_first && row->max > largest ? row->max : largest;
        double before = is_first ? 0.0 : row->sum * exp((double)(row->max - max));

        row->sum = before + (double)kernels->exp_sum(width, max, z);
        row->max = max;
        if (is_first) row->picked = -INFINITY;
        if (column >= 0) row->picked = z[column];
    }
}

void dpo_token_logps_statistics(dpo_token_logps *logps, int64_t n_rows, const float *h,
                                dpo_weight weight, const int32_t *target,
                                dpo_logit_statistics *statistics)
{
    int64_t n_kept = 0;

    dpo_phase_begin(DPO_PHASE_VOCABULARY_FORWARD);
    dpo_phase_add_flops(DPO_PHASE_VOCABULARY_FORWARD,
                        2.0 * (double)n_rows * (double)logps->n_vocab * (double)logps->d_model);
    operands from = read_operands(logps, n_rows, h, weight);

    for (int64_t index = 0; index < n_blocks(logps, n_rows); index++) {
        logits_block block = block_of(logps, n_rows, index, &n_kept);

        multiply_by_head(logps, block.rows, block.columns, from, block.z);
        absorb_block(logps, &block, target, statistics);
    }
    dpo_phase_end(DPO_PHASE_VOCABULARY_FORWARD);
}

void dpo_logit_statistics_merge(int64_t n_rows, const dpo_logit_statistics *part,
                                dpo_logit_statistics *whole)
{
    for (int64_t r = 0; r < n_rows; r++) {
        const dpo_logit_statistics *p = &part[r];
        dpo_logit_statistics *w = &whole[r];
        float max = w->max > p->max ? w->max : p->max;

        w->sum = w->sum * exp((double)(w->max - max)) + p->sum * exp((double)(p->max - max));
        w->max = max;
        w->picked = w->picked > p->picked ? w->picked : p->picked;
    }
}

void dpo_token_logps_finish(dpo_token_logps *logps, int64_t n_rows,
                            const dpo_logit_statistics *statistics, float *logp)
{
    dpo_phase_begin(DPO_PHASE_VOCABULARY_FORWARD);
    for (int64_t r = 0; r < n_rows; r++) {
        const dpo_logit_statistics *row = &statistics[r];
        double lse = (double)row->max + log(row->sum);

        logps->lse[r] = (float)lse;
        logp[r] = (float)((double)row->picked - lse);
    }
    dpo_phase_end(DPO_PHASE_VOCABULARY_FORWARD);
}

/* z becomes dz, in place. */
static void differentiate_block(dpo_token_logps *logps, const logits_block *block,
                                const int32_t *target, const float *coefficient)
{
    const dpo_kernels *kernels = dpo_kernels_get();
    int64_t width = dpo_range_length(block->columns);

#pragma omp parallel for schedule(static)
    for (int64_t r = block->rows.begin; r < block->rows.end; r++) {
        float *z = block->z + (r - block->rows.begin) * width;

        int64_t column = target_column(logps, block, target[r]);

        kernels->exp_scaled(width, -coefficient[r], logps->lse[r], z);
        if (column >= 0) z[column] += coefficient[r];
    }
}

/* dL/dz of a block, as the products read it. */
static const void *read_block(const dpo_token_logps *logps, const logits_block *block)
{
    if (logps->compute == DPO_F32) return block->z;
    narrow_rows(dpo_range_length(block->rows), dpo_range_length(block->columns), block->z,
                logps->dz_bf16);
    return logps->dz_bf16;
}

static void add_gradients(const dpo_token_logps *logps, const logits_block *block, operands from,
                          float *dh, float *dweight)
{
    int64_t d_model = logps->d_model, width = dpo_range_length(block->columns);
    int64_t n_rows = dpo_range_length(block->rows), is_first = block->columns.begin == 0;
    const void *dz = read_block(logps, block);

    dpo_gemm((dpo_product){logps->compute, n_rows, d_model, width, d_model},
             (dpo_matrix){dz, width, 0}, rows_from(logps, from.weight, block->columns.begin, 0),
             is_first ? 0.0f : 1.0f, dh + block->rows.begin * d_model);
    dpo_gemm((dpo_product){logps->compute, width, d_model, n_rows, d_model},
             (dpo_matrix){dz, width, 1}, rows_from(logps, from.h, block->rows.begin, 0), 1.0f,
             dweight + block->columns.begin * d_model);
}

void dpo_token_logps_backward(dpo_token_logps *logps, int64_t n_rows, const float *h,
                              dpo_weight weight, const int32_t *target, const float *coefficient,
                              float *dh, float *dweight)
{
    int64_t n_kept = 0;

    dpo_phase_begin(DPO_PHASE_VOCABULARY_BACKWARD);
    dpo_phase_add_flops(DPO_PHASE_VOCABULARY_BACKWARD,
                        4.0 * (double)n_rows * (double)logps->n_vocab * (double)logps->d_model);
    operands from = read_operands(logps, n_rows, h, weight);

    for (int64_t index = 0; index < n_blocks(logps, n_rows); index++) {
        logits_block block = block_of(logps, n_rows, index, &n_kept);

        if (!block.is_kept) multiply_by_head(logps, block.rows, block.columns, from, block.z);
        differentiate_block(logps, &block, target, coefficient);
        add_gradients(logps, &block, from, dh, dweight);
    }
    dpo_phase_end(DPO_PHASE_VOCABULARY_BACKWARD);
}

void dpo_token_logps_logits(dpo_token_logps *logps, int64_t n_rows, const float *h,
                            dpo_weight weight, float *logits)
{
    dpo_phase_begin(DPO_PHASE_VOCABULARY_FORWARD);
    dpo_phase_add_flops(DPO_PHASE_VOCABULARY_FORWARD,
                        2.0 * (double)n_rows * (double)logps->n_vocab * (double)logps->d_model);
    multiply_by_head(logps, (dpo_range){0, n_rows}, (dpo_range){0, logps->n_vocab},
                     read_operands(logps, n_rows, h, weight), logits);
    dpo_phase_end(DPO_PHASE_VOCABULARY_FORWARD);
}
