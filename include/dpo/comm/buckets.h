// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_COMM_BUCKETS_H
#define DPO_COMM_BUCKETS_H

/**
 * \file
 * Sums of a long vector over the ranks of an axis, bucket by bucket while the vector is still being
 * computed from its end to its beginning; and the way back, from the owners of the parts to all ranks.
 *
 *     values:   |     bucket 0      |     bucket 1      |  bucket 2   |   cut at fixed places, the last shorter
 *     owners:   | 0  | 1  | 2  | 3  | 0  | 1  | 2  | 3  | 0 | 1 | 2 |     in whole DPO_SHARD_BLOCKs
 *
 * Sums run along a fixed binary tree over the ranks:
 *
 *     tree(lo, hi) = tree(lo, mid) + tree(mid, hi),   mid = lo + the largest power of two below hi - lo
 *
 * so they have the same bits with every transport, and 1, 2, 4 or 8 ranks that each bring the tree sum of
 * their share of a fixed set of addends get the same bits too (in f32 messages).
 *
 * On the way ranks of a node add up what they have in shared memory first; ranks of equal place then exchange
 * messages. Nothing is allocated after creation. Several nodes may differ in their number of ranks: ranks
 * share memory in groups of the largest power of two that divides all these numbers.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/shard.h"
#include "dpo/comm/grid.h"
#include "dpo/comm/transport.h"

/** Buckets of one vector length; opaque. */
typedef struct dpo_buckets dpo_buckets;

/** How sums travel; zero-initialised it is a good choice. */
typedef struct {
    dpo_transport_kind
        kind; /**< DPO_TRANSPORT_SHARED shares memory where ranks have a node in common */
    int64_t
        bucket_bytes; /**< f32 bytes of a bucket, rounded up to whole blocks a rank; 0: the default */
    bool bf16_messages; /**< addends are rounded to bf16 for messages; sums are f32 all the same */
} dpo_buckets_options;

/** Largest bucket_bytes. */
enum { DPO_BUCKET_MAX_BYTES = 1 << 30 };

/**
 * Plans buckets and gets all memory they need.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid     Borrowed for the call.
 * \param[in]  axis     Ranks whose vectors are summed.
 * \param[in]  n        Items of the vector, >= 0; the same along the axis.
 * \param[in]  options  Copied; bucket_bytes in [0, DPO_BUCKET_MAX_BYTES]; the same on every rank.
 * \param[out] buckets  Owned by the caller, for dpo_buckets_destroy(); NULL on error.
 * \errors{DPO_ENOMEM, also if shared memory was asked for and cannot be had}
 */
DPO_MUST_CHECK dpo_status dpo_buckets_create(const dpo_grid *grid, dpo_axis axis, int64_t n,
                                             const dpo_buckets_options *options,
                                             dpo_buckets **buckets);

/** Destroys buckets and sets the pointer to NULL; NULL is left alone. \collective{the axis} */
void dpo_buckets_destroy(dpo_buckets **buckets);

/** What this rank owns; valid as long as the buckets. Independent of the transport. \local */
const dpo_shard *dpo_buckets_shard(const dpo_buckets *buckets);

/** One line for the log: transport, size of a bucket, measured times. Valid as long as the buckets. \local */
const char *dpo_buckets_describe(const dpo_buckets *buckets);

/** Memory that dpo_buckets_create() got on this rank, shared memory included, in bytes. \local */
int64_t dpo_buckets_bytes(const dpo_buckets *buckets);

/**
 * Begins a sum.
 *
 * \local
 * \param[in,out] buckets  No sum is under way.
 * \param[in,out] values   f32 [n], this rank's addends as far as they are ready; borrowed until dpo_buckets_end().
 */
void dpo_buckets_begin(dpo_buckets *buckets, float *values);

/**
 * Says that values [begin, n) are final; buckets that lie in it go out, and what has come in is added. Does
 * not wait for other ranks.
 *
 * \local
 * \param[in,out] buckets  A sum is under way.
 * \param[in]     begin    [0, n]; not above that of the call before.
 */
void dpo_buckets_ready(dpo_buckets *buckets, int64_t begin);

/**
 * Ends a sum: all values are final, and it is waited for. The items of the shard then hold the sum; the
 * others are unspecified.
 *
 * \collective{the axis}
 */
void dpo_buckets_end(dpo_buckets *buckets);

/**
 * Gives every rank the whole of a vector of which each rank holds its shard.
 *
 * \collective{the axis}
 * \param[in,out] buckets  No sum is under way.
 * \param[in,out] values   f32 [n]; in: the items of the shard are valid; out: all of it.
 */
void dpo_buckets_gather(dpo_buckets *buckets, float *values);

#endif
