// SPDX-License-Identifier: Apache-2.0
#ifndef CHECKPOINT_TENSORS_H
#define CHECKPOINT_TENSORS_H

/* The tensors of a checkpoint: which vectors it holds, under which names, and who writes and reads what. */

#include "dpo/store/h5file.h"
#include "dpo/train/checkpoint.h"

enum { DPO_MAX_VECTORS = 2 + DPO_OPTIMIZER_MAX_STATES };

/* A vector over the parameters, or over those tensors that have it. */
typedef struct {
    char prefix[32];        /* "weights/", "optimizer/m/", "ema/" */
    const dpo_shard *shard; /* items that this rank writes */
    float *values;          /* f32, packed over the shard, or the whole flat vector */
    bool is_flat;
    int state; /* of the optimizer; -1: every tensor has it */
} dpo_checkpoint_vector;

/* The vectors, and while writing the datasets of their tensors. */
typedef struct {
    const dpo_parameters *parameters;
    const dpo_optimizer *optimizer;
    int n_vectors;
    dpo_checkpoint_vector vector[DPO_MAX_VECTORS];
    char (*names)[DPO_PARAMETER_NAME_BYTES + 32]; /* owned, [datasets] */
    dpo_h5_dataset *datasets;                     /* owned */
    int64_t n_datasets;
    int64_t *dataset_of; /* owned, [n_vectors * rows] number; -1: none */
} dpo_checkpoint_table;

/* Lists the vectors of a model and, unless tensors->optimizer is NULL, of its training. */
void dpo_checkpoint_table_begin(const dpo_checkpoint_tensors *tensors, dpo_checkpoint_table *table);

/* Names the datasets. */
DPO_MUST_CHECK dpo_status dpo_checkpoint_table_name(dpo_checkpoint_table *table);

void dpo_checkpoint_table_destroy(dpo_checkpoint_table *table);

/* Writes what this rank owns and counts. */
DPO_MUST_CHECK dpo_status dpo_checkpoint_table_write(const dpo_checkpoint_table *table,
                                                     dpo_h5_file *file);

/* Reads what this rank holds: all of the weights, its shard of the rest. */
DPO_MUST_CHECK dpo_status dpo_checkpoint_table_read(const dpo_checkpoint_table *table,
                                                    const dpo_h5_file *file);

#endif
