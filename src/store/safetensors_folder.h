// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_SAFETENSORS_FOLDER_H
#define DPO_STORE_SAFETENSORS_FOLDER_H

#include "dpo/base/buffer.h"
#include "dpo/store/safetensors.h"
#include "dpo/store/safetensors_header.h"

/* One file of the folder. */
typedef struct {
    char *path;
    int fd;
} dpo_safetensors_shard;

/* Invariant: places are in the order of their names, which differ; each lies within its shard. */
struct dpo_safetensors {
    char *folder;
    int64_t n_shards;
    dpo_safetensors_shard *shards;
    dpo_buffer names;
    dpo_buffer places; /* dpo_tensor_place */
};

static inline int64_t dpo_safetensors_places(const dpo_safetensors *weights)
{
    return weights->places.size_bytes / (int64_t)sizeof(dpo_tensor_place);
}

static inline const dpo_tensor_place *dpo_safetensors_place_at(const dpo_safetensors *weights,
                                                               int64_t tensor)
{
    DPO_ASSERT(tensor >= 0 && tensor < dpo_safetensors_places(weights));
    return (const dpo_tensor_place *)weights->places.data + tensor;
}

#endif
