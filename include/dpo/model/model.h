// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_MODEL_H
#define DPO_MODEL_MODEL_H

/**
 * \file
 * A language model: weights, gradients, forward and backward pass, Hugging Face folders in and out.
 *
 * Everything a pass needs is allocated by dpo_model_create(); forward and backward cannot fail.
 * Policy and reference, trainable or not, go through the same code and give the same bits. Weights,
 * gradients, residual stream, statistics and sums are f32, whatever the limits say of the rest.
 *
 * The tensor-parallel ranks of the grid share one model (partition.h): each has its own flat vector of
 * weights (parameters.h), and a pass is one of all of them on the same batch, with the same result.
 *
 * Shapes: N tokens and R rows of a batch, L layers, D model, H heads, K kv-heads, E head_dim, F
 * d_ff, V vocabulary.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/comm/transport.h"
#include "dpo/math/element.h"
#include "dpo/model/batch.h"
#include "dpo/model/config.h"
#include "dpo/model/parameters.h"

/** A model; opaque. One pass at a time, from outside of parallel regions. */
typedef struct dpo_model dpo_model;

/** What of a block's activations is computed again in the backward pass instead of being kept; the last
 * block's are always kept. The results have the same bits. */
typedef enum {
    DPO_RECOMPUTE_NONE,
    DPO_RECOMPUTE_MLP,       /**< the MLP's columns: half of the memory, a tenth more work */
    DPO_RECOMPUTE_ATTENTION, /**< queries, keys, values and what attention makes of them */
    DPO_RECOMPUTE_LAYER /**< all but the block's input: a tenth of the memory, a third more work */
} dpo_recompute;

/** What a model must have room for. */
typedef struct {
    int64_t max_tokens;    /**< largest N of a batch, > 0 */
    int64_t max_rows;      /**< largest R of a batch, > 0 */
    int64_t max_positions; /**< longest sequence with its ancestors, tokens; 0 = the model's whole
                            context */
    int64_t
        logits_bytes; /**< memory for logits kept from forward to backward, >= 0; more is faster,
                           up to
                                4 R V; not used unless trainable */
    bool trainable;   /**< has gradients and keeps activations; false: forward only */
    dpo_recompute recompute; /**< not used unless trainable */
    dpo_element compute; /**< operands of linear layers, attention and vocabulary: DPO_BF16 where
                                     dpo_engine_multiplies_bf16() */
    dpo_element activations; /**< queries, keys, values, heads and the MLP's columns in memory; the
                                     residual stream is f32 */
    dpo_transport_kind transport; /**< between tensor-parallel ranks */
} dpo_model_limits;

/** Memory of a model on this rank, bytes. */
typedef struct {
    int64_t weights;     /**< all parameters, f32 */
    int64_t rounded;     /**< the same, bf16, for products that take them; or 0 */
    int64_t gradients;   /**< as many, or 0 */
    int64_t activations; /**< kept from forward to backward; of one layer if not trainable */
    int64_t scratch;     /**< buffers of one layer's pass */
    int64_t exchange;    /**< matrices that tensor-parallel ranks share, this rank's part */
    int64_t plans;       /**< of the math floor: attention, vocabulary, rotary angles */
    int64_t logits;      /**< kept logits */
    int64_t total;       /**< the sum */
} dpo_model_memory;

/**
 * Says how much memory a model needs, before any of it is allocated.
 *
 * \local
 * \param[in]  config     The model.
 * \param[in]  limits     What it must have room for.
 * \param[in]  partition  The rank's share.
 * \param[out] memory     Exact but for what the allocator rounds up.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_model_plan(const dpo_model_config *config,
                                         const dpo_model_limits *limits,
                                         const dpo_partition *partition, dpo_model_memory *memory);

/**
 * Makes a model; weights and gradients are zero.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid; borrowed for the model's life.
 * \param[in]  config  The model; copied.
 * \param[in]  limits  What it must have room for; copied.
 * \param[out] model   Owned by the caller, for dpo_model_destroy(); NULL on error.
 * \errors{DPO_EUSAGE if max_positions is more than the model's context, or as dpo_partition_make();
 *         DPO_ENOMEM; DPO_EINTERNAL if oneDNN refuses a shape}
 */
DPO_MUST_CHECK dpo_status dpo_model_create(const dpo_grid *grid, const dpo_model_config *config,
                                           const dpo_model_limits *limits, dpo_model **model);

/**
 * Destroys a model and sets the pointer to NULL; NULL is left alone.
 *
 * \collective{all ranks of the grid}
 */
void dpo_model_destroy(dpo_model **model);

/** How the tensor-parallel ranks exchange rows; DPO_TRANSPORT_AUTO of one rank. \local */
dpo_transport_kind dpo_model_transport(const dpo_model *model);

/** The model's configuration; borrowed. \local */
const dpo_model_config *dpo_model_config_of(const dpo_model *model);

/** What the model has room for, max_positions resolved; borrowed. \local */
const dpo_model_limits *dpo_model_limits_of(const dpo_model *model);

/** The model's parameter table; borrowed. \local */
const dpo_parameters *dpo_model_parameters(const dpo_model *model);

/** Parameters as one vector, f32 [n_elements] (parameters.h); borrowed, may be written until the next
 * pass: call this again to write behind it. \local */
float *dpo_model_weights(dpo_model *model);

/** Gradients in the same order, f32 [n_elements]; NULL if not trainable; borrowed. \local */
float *dpo_model_gradients(dpo_model *model);

/** Sets all gradients to zero. \local */
void dpo_model_zero_gradients(dpo_model *model);

/**
 * Log-probabilities of a batch's targets.
 *
 * \collective{the tensor-parallel ranks}
 * \param[in,out] model  Keeps what backward needs if it is trainable.
 * \param[in]     batch  Within the limits (asserted); the same on the tensor-parallel ranks.
 * \param[out]    logp   f32 [R], nats; the same bits on the tensor-parallel ranks.
 */
void dpo_model_forward(dpo_model *model, const dpo_batch *batch, float *logp);

/** What hears of finished gradients. */
typedef struct {
    /** All gradients from `begin` to the vector's end are finished; called with falling begin, 0 at
     * the end. NULL: nobody listens. */
    void (*ready)(void *context, int64_t begin);
    void *context; /**< passed on */
} dpo_gradient_sink;

/**
 * Adds the gradient of L, for dL/dlogp = coefficient, to the gradients. Same inputs, same bits.
 *
 * \collective{the tensor-parallel ranks}
 * \param[in,out] model        Trainable; its last pass was dpo_model_forward() of this batch
 *                             (asserted), whose activations are used up: one backward for each
 *                             forward.
 * \param[in]     batch        As forward.
 * \param[in]     coefficient  f32 [R], dL/dlogp.
 * \param[in]     last         NULL: more is to be added. Else this is the last addend, and what
 *                             several tensor-parallel ranks hold is summed over them.
 */
void dpo_model_backward(dpo_model *model, const dpo_batch *batch, const float *coefficient,
                        const dpo_gradient_sink *last);

/**
 * Digest of names, shapes and weights (as f32).
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid    The grid.
 * \param[in]  model   The model.
 * \param[out] digest  The same on every rank.
 * \errors{DPO_ENOMEM; DPO_EUSAGE if ranks hold different weights}
 */
DPO_MUST_CHECK dpo_status dpo_model_digest(const dpo_grid *grid, const dpo_model *model,
                                           dpo_digest *digest);

/**
 * Reads the weights of a Hugging Face folder.
 *
 * lm_head.weight beside tied embeddings and rotary_emb.inv_freq buffers are passed over, as
 * transformers does.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid    The grid.
 * \param[in,out] model   Its weights are unspecified on error.
 * \param[in]     folder  The model folder.
 * \errors{DPO_EIO; DPO_EDATA if a tensor is absent, of another shape, or not part of the model;
 *         DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_model_load(const dpo_grid *grid, dpo_model *model,
                                         const char *folder);

/**
 * Writes a Hugging Face folder: weights, config.json with their dtype, and the tokenizer's files
 * of the source folder. The folder appears whole; an existing one of that name is replaced.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid           The grid.
 * \param[in] model          The model.
 * \param[in] source_folder  Folder that the model came from.
 * \param[in] folder         The new folder; not the source folder.
 * \param[in] type           DPO_TENSOR_F32, DPO_TENSOR_BF16 or DPO_TENSOR_F16.
 * \errors{DPO_EUSAGE if folder is the source folder or exists and is no model folder; DPO_EIO;
 *         DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_model_export(const dpo_grid *grid, const dpo_model *model,
                                           const char *source_folder, const char *folder,
                                           dpo_tensor_type type);

#endif
