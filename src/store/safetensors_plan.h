// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_SAFETENSORS_PLAN_H
#define DPO_STORE_SAFETENSORS_PLAN_H

#include <stdbool.h>

#include "dpo/base/buffer.h"
#include "dpo/store/safetensors.h"
#include "dpo/store/safetensors_header.h"

/* A file that becomes `path`; the name is the part of it behind the folder. */
typedef struct {
    char *path;
    const char *name;
    char *temporary;
    int64_t n_bytes; /* of the file */
    int fd;
} dpo_new_shard;

/*
 * Invariants: places[i] is tensor i of the caller; tensors of a shard lie in it by falling size of
 * their items, so that each is aligned, and otherwise in the caller's order.
 */
struct dpo_safetensors_writer {
    char *folder;
    bool is_root;
    int64_t n_tensors;
    dpo_tensor_place
        *places; /* offset counts from the beginning of the data until the header is known */
    dpo_buffer names;
    int64_t n_shards;
    dpo_new_shard *shards;
};

/**
 * Appends the header of one shard, filled up with blanks so that the data begin at a multiple of 8.
 *
 * \local
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_safetensors_make_header(const dpo_safetensors_writer *w,
                                                      int64_t number, dpo_buffer *header);

/** Appends the text of model.safetensors.index.json. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_safetensors_make_index(const dpo_safetensors_writer *w,
                                                     dpo_buffer *text);

#endif
