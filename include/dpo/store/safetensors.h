// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_SAFETENSORS_H
#define DPO_STORE_SAFETENSORS_H

/**
 * \file
 * The weights of a Hugging Face model folder: model.safetensors, or model.safetensors.index.json
 * and its shards.
 *
 * Elements are counted flat, in row-major order; ranges are [begin, begin + count). Values go in
 * and out as f32 whatever the type in the file.
 */

#include <stdint.h>

#include "dpo/base/digest.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"

/** One row per element type: name in the file, bytes. Only floating-point types are numbers. */
#define DPO_TENSOR_TYPE_LIST(ENTRY) \
    ENTRY(F32, 4)                   \
    ENTRY(BF16, 2)                  \
    ENTRY(F16, 2)                   \
    ENTRY(F64, 8)                   \
    ENTRY(I64, 8)                   \
    ENTRY(I32, 4)                   \
    ENTRY(I16, 2)                   \
    ENTRY(I8, 1)                    \
    ENTRY(U64, 8)                   \
    ENTRY(U32, 4)                   \
    ENTRY(U16, 2)                   \
    ENTRY(U8, 1)                    \
    ENTRY(BOOL, 1)                  \
    ENTRY(F8_E4M3, 1)               \
    ENTRY(F8_E5M2, 1)

/** One enumerator of a row. */
#define DPO_TENSOR_TYPE_ENUM(name, bytes) DPO_TENSOR_##name,
/** Type of a tensor's elements in the file. */
typedef enum { DPO_TENSOR_TYPE_LIST(DPO_TENSOR_TYPE_ENUM) DPO_TENSOR_N_TYPES } dpo_tensor_type;
#undef DPO_TENSOR_TYPE_ENUM

enum { DPO_TENSOR_MAX_DIMS = 8 };

/** A tensor of a folder. */
typedef struct {
    const char *name;                  /**< as in the file: "model.layers.0.mlp.up_proj.weight" */
    dpo_tensor_type type;              /**< of the elements in the file */
    int n_dims;                        /**< [0, DPO_TENSOR_MAX_DIMS]; 0 is one element */
    int64_t dims[DPO_TENSOR_MAX_DIMS]; /**< >= 0 each, slowest first */
} dpo_tensor;

/** Elements of a tensor. \local */
int64_t dpo_tensor_elements(const dpo_tensor *tensor);

/** Name of a type: "BF16". \local */
const char *dpo_tensor_type_name(dpo_tensor_type type);

/** An open folder; opaque. */
typedef struct dpo_safetensors dpo_safetensors;

/**
 * Opens a model folder and checks the headers of all its files against their sizes.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid     The grid.
 * \param[in]  folder   All ranks see it. model.safetensors is taken before
 * model.safetensors.index.json.
 * \param[out] weights  For dpo_safetensors_close(); NULL on error.
 * \errors{DPO_EIO if a file is absent or cannot be read; DPO_EDATA if one is malformed or
 *         truncated, or the index and the shards do not fit; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_open(const dpo_grid *grid, const char *folder,
                                               dpo_safetensors **weights);

/** Closes a folder and sets the pointer to NULL; NULL is left alone. \local */
void dpo_safetensors_close(dpo_safetensors **weights);

/** Number of tensors. \local */
int64_t dpo_safetensors_count(const dpo_safetensors *weights);

/** The tensor with a number in [0, count), in the order of strcmp of the names; borrowed. \local */
const dpo_tensor *dpo_safetensors_at(const dpo_safetensors *weights, int64_t tensor);

/** Number of the tensor of a name; -1 if there is none. \local */
int64_t dpo_safetensors_find(const dpo_safetensors *weights, const char *name);

/**
 * Number of a tensor that has to be there.
 *
 * \local
 * \param[in]  weights  The folder.
 * \param[in]  name     Its name.
 * \param[in]  n_dims   Dimensions it has to have.
 * \param[in]  dims     [n_dims] their sizes.
 * \param[out] tensor   Its number; -1 on error.
 * \errors{DPO_EDATA with the folder's name if it is absent, of another shape or not of a
 *         floating-point type}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_get(const dpo_safetensors *weights, const char *name,
                                              int n_dims, const int64_t *dims, int64_t *tensor);

/**
 * Reads elements of a tensor as f32; f64 is rounded to nearest. Threads may call it at the same
 * time.
 *
 * \local
 * \param[in]  weights  The folder.
 * \param[in]  tensor   Its number.
 * \param[in]  begin    First element.
 * \param[in]  count    Elements, >= 0; begin + count <= dpo_tensor_elements().
 * \param[out] values   f32 [count].
 * \errors{DPO_EIO; DPO_EDATA if the tensor's type is not F32, BF16, F16 or F64}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_read(const dpo_safetensors *weights, int64_t tensor,
                                               int64_t begin, int64_t count, float *values);

/**
 * Digest of all tensors' names, types, shapes and bytes, the ranks sharing the work. It does not
 * depend on the number of ranks, nor on how the tensors lie in files.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid     The grid.
 * \param[in]  weights  The folder.
 * \param[out] digest   The same on every rank.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_digest(const dpo_grid *grid,
                                                 const dpo_safetensors *weights,
                                                 dpo_digest *digest);

/** A folder that is being written; opaque. */
typedef struct dpo_safetensors_writer dpo_safetensors_writer;

/**
 * Begins to write the weights of a model folder and takes their space. Every element is zero.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid         The grid; borrowed until the writer is gone.
 * \param[in]  folder       It exists and all ranks see it.
 * \param[in]  n_tensors    > 0.
 * \param[in]  tensors      [n_tensors], the same on every rank, of type F32, BF16 or F16, with
 * different names; copied.
 *                          Number i of dpo_safetensors_write() is tensors[i].
 * \param[in]  shard_bytes  Bytes of data a file may hold (a larger tensor has a file of its own); 0
 * is 5 * 10^9, as
 *                          in transformers.
 * \param[out] writer       For dpo_safetensors_publish() or dpo_safetensors_discard(); NULL on
 *                          error.
 * \errors{DPO_EIO if a file cannot be made or the disk has no space for it; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_create(const dpo_grid *grid, const char *folder,
                                                 int64_t n_tensors, const dpo_tensor *tensors,
                                                 int64_t shard_bytes,
                                                 dpo_safetensors_writer **writer);

/**
 * Writes elements of a tensor, rounded to its type (to nearest, ties to even). Ranks may write
 * different elements at the same time.
 *
 * \local
 * \param[in] writer  The folder.
 * \param[in] tensor  Its number.
 * \param[in] begin   First element.
 * \param[in] count   Elements, >= 0; begin + count <= dpo_tensor_elements().
 * \param[in] values  f32 [count].
 * \errors{DPO_EIO}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_write(dpo_safetensors_writer *writer, int64_t tensor,
                                                int64_t begin, int64_t count, const float *values);

/**
 * Flushes the files, gives them their final names and removes weights in safetensors that were
 * there before. If anything failed on any rank, the new files are removed. A folder whose
 * replacement was interrupted has no index and is refused; it never mixes old and new shards.
 *
 * \collective{all ranks of the grid}
 * \param[in]     grid    The grid.
 * \param[in]     local   This rank's status of writing; anything but DPO_OK on any rank fails all.
 * \param[in,out] writer  NULL on return in every case.
 * \errors{the first rank's local status; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_publish(const dpo_grid *grid, dpo_status local,
                                                  dpo_safetensors_writer **writer);

/** Removes what was not published and sets the pointer to NULL; NULL is left alone. \local */
void dpo_safetensors_discard(dpo_safetensors_writer **writer);

#endif
