// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_BUCKETS_PRIVATE_H
#define DPO_COMM_BUCKETS_PRIVATE_H

#include <mpi.h>
#include <stdatomic.h>

#include "dpo/base/range.h"
#include "dpo/comm/buckets.h"
#include "shared_memory.h"

/* Buckets in flight at most: memory for staging and for messages is there for so many. */
enum { DPO_BUCKET_SLOTS = 4, DPO_BUCKET_MAX_STAGES = 4 };

/*
 * One stage of the way of a bucket; turn counts the buckets of a sum or gather from 0 on. Does the work if it
 * can be done without waiting; returns whether it is done.
 */
typedef bool dpo_bucket_stage(dpo_buckets *buckets, int64_t turn);

typedef struct {
    int n_stages;
    dpo_bucket_stage *stage[DPO_BUCKET_MAX_STAGES];
} dpo_bucket_way;

/* How many buckets a rank has put into its slots, and taken from those of the others, since creation. */
typedef struct {
    _Alignas(64) _Atomic int64_t n_staged;
    _Alignas(64) _Atomic int64_t n_taken;
} dpo_bucket_counters;

/*
 * Groups of group_size consecutive ranks share memory; ranks of equal place in their groups form a column,
 * within which messages go. A rank of a column owns what the column's other ranks send it.
 *
 *     rank  = group * group_size + place,     size = n_groups * group_size
 *
 * Invariant: n_done[i] >= n_done[i + 1] for the stages of the way; n_ready >= n_done[0]. Bucket number `turn`
 * of a sum or gather uses slot (first_turn + turn) % DPO_BUCKET_SLOTS.
 */
struct dpo_buckets {
    MPI_Comm comm; /* a copy of the axis's */
    int rank, size;
    int place, group_size, group, n_groups;
    int64_t n, bucket_items, n_buckets;
    bool bf16_messages;
    dpo_shard shard;
    int64_t n_bytes;
    char description[192];

    float *values; /* borrowed; NULL if nothing is under way */
    dpo_bucket_way sum_way, gather_way;
    const dpo_bucket_way *way;
    int64_t n_ready, first_turn, n_done[DPO_BUCKET_MAX_STAGES];
    const float **source; /* [size] what is summed */

    /* group */
    dpo_shared_memory memory;
    dpo_bucket_counters **counters; /* [group_size] */
    float **staging;                /* [group_size] of f32 [DPO_BUCKET_SLOTS, bucket_items] */

    /* column */
    MPI_Request *requests; /* [DPO_BUCKET_SLOTS, 2 (n_groups - 1)] */
    int n_requests[DPO_BUCKET_SLOTS];
    int n_in_flight; /* slots in use */
    float *received; /* f32 [DPO_BUCKET_SLOTS, n_groups - 1, items a rank]; one slot if bf16 */
    uint16_t *bf16_received; /* bf16 [DPO_BUCKET_SLOTS, n_groups - 1, items a rank] or NULL */
    uint16_t *bf16_sent;     /* likewise */
};

/* Memory and stages of a group; group_comm holds its ranks. False on all of them if there is no room. */
bool dpo_bucket_group_create(dpo_buckets *buckets, MPI_Comm group_comm);
void dpo_bucket_group_destroy(dpo_buckets *buckets);
dpo_bucket_stage dpo_bucket_stage_addends, dpo_bucket_sum_group, dpo_bucket_stage_owned,
    dpo_bucket_copy_group;

/* Memory and stages of a column. */
dpo_status dpo_bucket_column_create(dpo_buckets *buckets);
void dpo_bucket_column_destroy(dpo_buckets *buckets);
dpo_bucket_stage dpo_bucket_send_addends, dpo_bucket_sum_column, dpo_bucket_send_owned,
    dpo_bucket_wait_owned;

/* Most items that a rank owns of a bucket. */
static inline int64_t dpo_bucket_part_items(const dpo_buckets *buckets)
{
    return buckets->bucket_items / buckets->size;
}

static inline int64_t dpo_bucket_slot(const dpo_buckets *buckets, int64_t turn)
{
    return (buckets->first_turn + turn) % DPO_BUCKET_SLOTS;
}

/* Items of the bucket whose turn it is: the last bucket is the first. */
static inline dpo_range dpo_bucket_range(const dpo_buckets *buckets, int64_t turn)
{
    int64_t begin = (buckets->n_buckets - 1 - turn) * buckets->bucket_items;
    int64_t end = begin + buckets->bucket_items;

    return (dpo_range){begin, end < buckets->n ? end : buckets->n};
}

/* Items of it that a rank owns. */
dpo_range dpo_bucket_part(const dpo_buckets *buckets, int64_t turn, int rank);

#endif
