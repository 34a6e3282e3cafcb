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
#include "kernels/kernels.h"
#include "onednn.h"

enum { BLOCK_ROWS = 1024, BLOCK_COLUMNS = 1024 };

struct dpo_token_logps {
    int64_t d_model, n_vocab, max_rows, max_kept; /* n_vocab = V, of the local vocabulary */
    int64_t first_token;                          /* of the local vocabulary */
    float *lse;                                   /* [max_rows] stays until the backward pass */
    float *block; /* [BLOCK_ROWS, BLOCK_COLUMNS] logits that are not kept */
    float *kept;  /* [max_kept] logits of the last forward pass; consumed by backward */
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

int64_t dpo_token_logps_plan_bytes(dpo_range vocabulary_local, int64_t max_rows)
{
    int64_t n_vocab = dpo_range_length(vocabulary_local);

    return (max_rows + block_floats(n_vocab, max_rows)) * (int64_t)sizeof(float);
}

static dpo_status allocate(dpo_token_logps *logps)
{
    DPO_TRY(DPO_NEW(logps->lse, logps->max_rows));
    DPO_TRY(DPO_NEW(logps->block, block_floats(logps->n_vocab, logps->max_rows)));
    return DPO_NEW(logps->kept, logps->max_kept);
}

dpo_status dpo_token_logps_create(int64_t d_model, dpo_range vocabulary_local, int64_t max_rows,
                                  int64_t budget_bytes, dpo_token_logps **logps)
{
    int64_t n_vocab = dpo_range_length(vocabulary_local);

    DPO_ASSERT(d_model > 0 && n_vocab > 0 && max_rows > 0 && budget_bytes >= 0);
    int64_t affordable = budget_bytes / (int64_t)sizeof(float);
    int64_t all = max_rows * n_vocab;

    DPO_TRY(DPO_NEW(*logps, 1));
    (*logps)->d_model = d_model;
    (*logps)->n_vocab = n_vocab;
    (*logps)->first_token = vocabulary_local.begin;
    (*logps)->max_rows = max_rows;
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
    dpo_free(*logps);
    *logps = NULL;
}

/* Block number `index` of n_rows rows; n_kept counts the logits kept by the blocks before it. */
static logits_block block_of(const dpo_token_logps *logps, int64_t n_rows, int64_t index,
                             int64_t *n_kept)
{
    int64_t column_blocks = n_parts(logps->n_vocab, BLOCK_COLUMNS);
    int64_t row_blocks = n_parts(n_rows, BLOCK_ROWS);
    logits_block block = {
        .rows = dpo_range_of_part(n_rows, row_blocks, index / column_blocks),
        .columns = dpo_range_of_part(logps->n_vocab, column_blocks, index % column_blocks)};
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

static void compute_logits(const dpo_token_logps *logps, const logits_block *block, const float *h,
                           const float *weight)
{
    int64_t d_model = logps->d_model, width = dpo_range_length(block->columns);

    dpo_gemm(dpo_range_length(block->rows), width, d_model,
             (dpo_matrix){h + block->rows.begin * d_model, d_model, 0},
             (dpo_matrix){weight + block->columns.begin * d_model, d_model, 1}, 0.0f, block->z,
             width);
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
                                const float *weight, const int32_t *target,
                                dpo_logit_statistics *statistics)
{
    int64_t n_kept = 0;

    dpo_phase_begin(DPO_PHASE_VOCABULARY_FORWARD);
    dpo_phase_add_flops(DPO_PHASE_VOCABULARY_FORWARD,
                        2.0 * (double)n_rows * (double)logps->n_vocab * (double)logps->d_model);
    DPO_ASSERT(n_rows >= 0 && n_rows <= logps->max_rows);
    for (int64_t index = 0; index < n_blocks(logps, n_rows); index++) {
        logits_block block = block_of(logps, n_rows, index, &n_kept);

        compute_logits(logps, &block, h, weight);
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

static void add_gradients(const dpo_token_logps *logps, const logits_block *block, const float *h,
                          const float *weight, float *dh, float *dweight)
{
    int64_t d_model = logps->d_model, width = dpo_range_length(block->columns);
    int64_t n_rows = dpo_range_length(block->rows), is_first = block->columns.begin == 0;

    dpo_gemm(n_rows, d_model, width, (dpo_matrix){block->z, width, 0},
             (dpo_matrix){weight + block->columns.begin * d_model, d_model, 0},
             is_first ? 0.0f : 1.0f, dh + block->rows.begin * d_model, d_model);
    dpo_gemm(width, d_model, n_rows, (dpo_matrix){block->z, width, 1},
             (dpo_matrix){h + block->rows.begin * d_model, d_model, 0}, 1.0f,
             dweight + block->columns.begin * d_model, d_model);
}

void dpo_token_logps_backward(dpo_token_logps *logps, int64_t n_rows, const float *h,
                              const float *weight, const int32_t *target, const float *coefficient,
                              float *dh, float *dweight)
{
    int64_t n_kept = 0;

    dpo_phase_begin(DPO_PHASE_VOCABULARY_BACKWARD);
    dpo_phase_add_flops(DPO_PHASE_VOCABULARY_BACKWARD,
                        4.0 * (double)n_rows * (double)logps->n_vocab * (double)logps->d_model);
    for (int64_t index = 0; index < n_blocks(logps, n_rows); index++) {
        logits_block block = block_of(logps, n_rows, index, &n_kept);

        if (!block.is_kept) compute_logits(logps, &block, h, weight);
        differentiate_block(logps, &block, target, coefficient);
        add_gradients(logps, &block, h, weight, dh, dweight);
    }
    dpo_phase_end(DPO_PHASE_VOCABULARY_BACKWARD);
}

void dpo_token_logps_logits(dpo_token_logps *logps, int64_t n_rows, const float *h,
                            const float *weight, float *logits)
{
    int64_t d_model = logps->d_model;

    dpo_phase_begin(DPO_PHASE_VOCABULARY_FORWARD);
    dpo_phase_add_flops(DPO_PHASE_VOCABULARY_FORWARD,
                        2.0 * (double)n_rows * (double)logps->n_vocab * (double)logps->d_model);
    DPO_ASSERT(n_rows >= 0 && n_rows <= logps->max_rows);
    dpo_gemm(n_rows, logps->n_vocab, d_model, (dpo_matrix){h, d_model, 0},
             (dpo_matrix){weight, d_model, 1}, 0.0f, logits, logps->n_vocab);
    dpo_phase_end(DPO_PHASE_VOCABULARY_FORWARD);
}
