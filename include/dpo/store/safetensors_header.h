// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_SAFETENSORS_HEADER_H
#define DPO_STORE_SAFETENSORS_HEADER_H

/**
 * \file
 * The header of a file in safetensors: 8 bytes of length (little-endian), so many bytes of JSON,
 * then the data.
 *
 *     {"__metadata__": {"format": "pt"}, "NAME": {"dtype": "BF16", "shape": [2, 3], "data_offsets":
 *     [0, 12]}, ...}
 *
 * Offsets count from the beginning of the data; the tensors cover the data without overlap and
 * without holes. Nothing of it is trusted before it was checked.
 */

#include <stdint.h>

#include "dpo/base/buffer.h"
#include "dpo/base/status.h"
#include "dpo/store/safetensors.h"

enum { DPO_SAFETENSORS_LENGTH_BYTES = 8 };

/** A tensor and where it lies. */
typedef struct {
    dpo_tensor tensor; /**< its name is set when all names are there, see name_at */
    int64_t name_at;   /**< byte in the buffer of names */
    int64_t shard;     /**< number of its file, as given */
    int64_t offset;    /**< byte in its file */
    int64_t n_bytes;   /**< size there */
} dpo_tensor_place;

/**
 * Length of a header with the 8 bytes in front of it.
 *
 * \local
 * \param[in]  source      Name of the file for messages.
 * \param[in]  bytes       The first 8 bytes of the file, or fewer if it is shorter.
 * \param[in]  file_bytes  Size of the file.
 * \param[out] n_bytes     Bytes to read for dpo_safetensors_header_parse().
 * \errors{DPO_EDATA if the file is too short or the length absurd}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_header_length(const char *source, const void *bytes,
                                                        int64_t file_bytes, int64_t *n_bytes);

/**
 * Reads a header and checks all it says against the size of the file.
 *
 * \local
 * \param[in]     source      Name of the file for messages.
 * \param[in]     bytes       The beginning of the file, as long as dpo_safetensors_header_length()
 * says.
 * \param[in]     file_bytes  Size of the file.
 * \param[in]     shard       Number of the file, copied into the places.
 * \param[in,out] names       Zero-terminated names are appended.
 * \param[in,out] places      dpo_tensor_place, one a tensor, are appended.
 * \errors{DPO_EDATA; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_header_parse(const char *source, const void *bytes,
                                                       int64_t file_bytes, int64_t shard,
                                                       dpo_buffer *names, dpo_buffer *places);

/** Bytes of one element. \local */
int64_t dpo_tensor_type_bytes(dpo_tensor_type type);

#endif
