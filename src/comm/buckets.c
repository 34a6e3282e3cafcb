// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/buckets.h"

#include <sched.h>
#include <stdio.h>

#include "buckets_private.h"
#include "dpo/base/clock.h"
#include "dpo/base/memory.h"
#include "grid_private.h"

/* A bucket stays in cache on its way, and messages are long enough for a network. */
enum { LEAST_DEFAULT_BYTES = 1 << 20, LEAST_DEFAULT_PART_BYTES = 64 << 10, N_MEASURED_BUCKETS = 8 };

static int64_t default_bucket_bytes(int size)
{
    int64_t bytes = (int64_t)size * LEAST_DEFAULT_PART_BYTES;

    return bytes > LEAST_DEFAULT_BYTES ? bytes : LEAST_DEFAULT_BYTES;
}

dpo_range dpo_bucket_part(const dpo_buckets *buckets, int64_t turn, int rank)
{
    dpo_range bucket = dpo_bucket_range(buckets, turn);
    int64_t n_blocks = (dpo_range_length(bucket) + DPO_SHARD_BLOCK - 1) / DPO_SHARD_BLOCK;
    dpo_range blocks = dpo_range_of_part(n_blocks, buckets->size, rank);
    int64_t begin = bucket.begin + blocks.begin * DPO_SHARD_BLOCK;
    int64_t end = bucket.begin + blocks.end * DPO_SHARD_BLOCK;

    return (dpo_range){begin < bucket.end ? begin : bucket.end,
                       end < bucket.end ? end : bucket.end};
}

/* Parts of neighbouring buckets never touch, unless there is one rank only: then they are one range. */
static void list_shard(dpo_buckets *buckets)
{
    dpo_shard *shard = &buckets->shard;

    for (int64_t turn = buckets->n_buckets - 1; turn >= 0; turn--) {
        dpo_range part = dpo_bucket_part(buckets, turn, buckets->rank);

        if (dpo_range_length(part) == 0) continue;
        if (shard->n_ranges > 0 && shard->range[shard->n_ranges - 1].end == part.begin)
            shard->range[shard->n_ranges - 1].end = part.end;
        else
            shard->range[shard->n_ranges++] = part;
        shard->n_elements += dpo_range_length(part);
    }
}

static void cut(dpo_buckets *buckets, int64_t n, int64_t bucket_bytes)
{
    int64_t unit = (int64_t)DPO_SHARD_BLOCK * buckets->size;
    int64_t unit_bytes = unit * (int64_t)sizeof(float);
    int64_t n_bytes = bucket_bytes > 0 ? bucket_bytes : default_bucket_bytes(buckets->size);
    int64_t n_units = (n_bytes - 1) / unit_bytes + 1;
    int64_t most_units = (n + unit - 1) / unit;

    buckets->n = n;
    buckets->bucket_items = (n_units < most_units ? n_units : most_units) * unit;
    buckets->n_buckets = n > 0 ? (n - 1) / buckets->bucket_items + 1 : 0;
}

static void list_stages(dpo_buckets *buckets)
{
    dpo_bucket_way *sum = &buckets->sum_way;
    dpo_bucket_way *gather = &buckets->gather_way;

    if (buckets->group_size > 1) {
        sum->stage[sum->n_stages++] = dpo_bucket_stage_addends;
        sum->stage[sum->n_stages++] = dpo_bucket_sum_group;
    }
    if (buckets->n_groups > 1) {
        sum->stage[sum->n_stages++] = dpo_bucket_send_addends;
        sum->stage[sum->n_stages++] = dpo_bucket_sum_column;
        gather->stage[gather->n_stages++] = dpo_bucket_send_owned;
        gather->stage[gather->n_stages++] = dpo_bucket_wait_owned;
    }
    if (buckets->group_size > 1) {
        gather->stage[gather->n_stages++] = dpo_bucket_stage_owned;
        gather->stage[gather->n_stages++] = dpo_bucket_copy_group;
    }
}

static dpo_status get_memory(const dpo_grid *grid, dpo_axis axis, int64_t n,
                             const dpo_buckets_options *options, int group_size,
                             dpo_buckets **buckets)
{
    DPO_TRY(DPO_NEW(*buckets, 1));
    dpo_buckets *b = *buckets;

    b->rank = grid->rank[axis];
    b->size = grid->size[axis];
    b->group_size = group_size;
    b->n_groups = b->size / group_size;
    b->place = b->rank % group_size;
    b->group = b->rank / group_size;
    b->bf16_messages = options->bf16_messages;
    cut(b, n, options->bucket_bytes);
    list_stages(b);
    DPO_TRY(DPO_NEW(b->shard.range, b->n_buckets + 1));
    list_shard(b);
    DPO_TRY(DPO_NEW(b->source, b->size));
    DPO_TRY(DPO_NEW(b->counters, group_size));
    return DPO_NEW(b->staging, group_size);
}

static void free_memory(dpo_buckets **buckets)
{
    if (*buckets == NULL) return;
    dpo_free((*buckets)->staging);
    dpo_free((*buckets)->counters);
    dpo_free((*buckets)->source);
    dpo_free((*buckets)->shard.range);
    dpo_free(*buckets);
    *buckets = NULL;
}

static dpo_status get_group(dpo_buckets *buckets)
{
    MPI_Comm group_comm;

    MPI_Comm_split(buckets->comm, buckets->group, 0, &group_comm);
    bool have_room = dpo_bucket_group_create(buckets, group_comm);

    MPI_Comm_free(&group_comm);
    if (have_room) return DPO_OK;
    return DPO_FAIL(
        DPO_ENOMEM,
        "shared memory: no %.1f MiB for each of %d ranks to be had in /dev/shm; give the "
        "node or container more, or choose messages",
        (double)(DPO_BUCKET_SLOTS * buckets->bucket_items) * 4.0 / 1048576.0, buckets->group_size);
}

/* Buckets with groups of a given size, on all ranks of the grid or on none; the status is this rank's only. */
static dpo_status create_one(const dpo_grid *grid, dpo_axis axis, int64_t n,
                             const dpo_buckets_options *options, int group_size,
                             dpo_buckets **buckets)
{
    dpo_status status = get_memory(grid, axis, n, options, group_size, buckets);

    if (!dpo_true_everywhere(grid, status == DPO_OK) || *buckets == NULL) {
        free_memory(buckets);
        return status;
    }
    MPI_Comm_dup(grid->comm[axis], &(*buckets)->comm);
    if (group_size > 1) status = get_group(*buckets);
    if (status == DPO_OK) status = dpo_bucket_column_create(*buckets);
    if (!dpo_true_everywhere(grid, status == DPO_OK)) dpo_buckets_destroy(buckets);
    return status;
}

void dpo_buckets_destroy(dpo_buckets **buckets)
{
    if (*buckets == NULL) return;
    DPO_ASSERT((*buckets)->values == NULL);
    dpo_bucket_column_destroy(*buckets);
    dpo_bucket_group_destroy(*buckets);
    MPI_Comm_free(&(*buckets)->comm);
    free_memory(buckets);
}

/*
 * Ranks of the axis that can share memory and keep the tree: all, if they have one node; else as many as
 * the largest power of two that divides what each node has of them.
 */
static int find_group_size(const dpo_grid *grid, dpo_axis axis)
{
    MPI_Comm together;
    int n;

    MPI_Comm_split(grid->comm[axis], grid->node, 0, &together);
    MPI_Comm_size(together, &n);
    MPI_Comm_free(&together);
    if (n < grid->size[axis]) n &= -n;
    MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT, MPI_MIN, grid->comm[axis]);
    return n;
}

/* Seconds of the slowest rank for a sum and a gather of a short vector, at their best; < 0 if it cannot be. */
static double measure(const dpo_grid *grid, dpo_axis axis, int64_t n,
                      const dpo_buckets_options *options, int group_size)
{
    enum { N_TIMES = 3 };
    dpo_buckets *buckets;
    float *values;
    double best_s = -1.0;
    dpo_status status = create_one(grid, axis, n, options, group_size, &buckets);

    if (status != DPO_OK || buckets == NULL) return best_s;
    status = DPO_NEW(values, n);
    bool can_run = dpo_true_everywhere(grid, status == DPO_OK);

    for (int i = 0; i < N_TIMES && can_run; i++) {
        double begin_s = dpo_clock_s();

        dpo_buckets_begin(buckets, values);
        dpo_buckets_end(buckets);
        dpo_buckets_gather(buckets, values);
        double s = dpo_clock_s() - begin_s;

        MPI_Allreduce(MPI_IN_PLACE, &s, 1, MPI_DOUBLE, MPI_MAX, grid->comm[DPO_WORLD]);
        if (i == 0 || s < best_s) best_s = s;
    }
    dpo_free(values);
    dpo_buckets_destroy(&buckets);
    return best_s;
}

static void describe(dpo_buckets *buckets, double shared_s, double messages_s)
{
    char *text = buckets->description;
    size_t room = sizeof buckets->description;
    const char *kind = buckets->bf16_messages ? "bf16 messages" : "messages";
    int n = 0;

    if (buckets->size == 1)
        n = snprintf(text, room, "one rank, nothing to send");
    else if (buckets->group_size == 1)
        n = snprintf(text, room, "%s among %d ranks", kind, buckets->n_groups);
    else if (buckets->n_groups == 1)
        n = snprintf(text, room, "shared memory of %d ranks", buckets->group_size);
    else
        n = snprintf(text, room, "shared memory of %d ranks, %s among %d groups",
                     buckets->group_size, kind, buckets->n_groups);
    n += snprintf(text + n, room - (size_t)n, ", buckets of %.3g MiB",
                  (double)buckets->bucket_items * 4.0 / 1048576.0);
    if (shared_s >= 0.0 && messages_s >= 0.0)
        (void)snprintf(text + n, room - (size_t)n,
                       " (%d: %.3g ms there and back with shared memory, %.3g ms without)",
                       N_MEASURED_BUCKETS, shared_s * 1e3, messages_s * 1e3);
}

/* Shared memory that cannot be had is no failure here. */
static dpo_status create_fastest(const dpo_grid *grid, dpo_axis axis, int64_t n,
                                 const dpo_buckets_options *options, int group_size,
                                 dpo_buckets **buckets)
{
    int64_t bucket_bytes =
        options->bucket_bytes > 0 ? options->bucket_bytes : default_bucket_bytes(grid->size[axis]);
    int64_t n_measured = N_MEASURED_BUCKETS * bucket_bytes / (int64_t)sizeof(float);

    if (n_measured > n) n_measured = n;
    double shared_s = measure(grid, axis, n_measured, options, group_size);
    double messages_s = measure(grid, axis, n_measured, options, 1);
    bool share = shared_s >= 0.0 && (messages_s < 0.0 || shared_s < messages_s);
    dpo_status status = create_one(grid, axis, n, options, share ? group_size : 1, buckets);

    if (*buckets == NULL && share) status = create_one(grid, axis, n, options, 1, buckets);
    if (*buckets != NULL) describe(*buckets, shared_s, messages_s);
    return status;
}

static dpo_status create_kind(const dpo_grid *grid, dpo_axis axis, int64_t n,
                              const dpo_buckets_options *options, dpo_buckets **buckets)
{
    int group_size = find_group_size(grid, axis);
    bool nobody_shares = dpo_true_everywhere(grid, group_size == 1);

    if (options->kind == DPO_TRANSPORT_AUTO && !nobody_shares)
        return create_fastest(grid, axis, n, options, group_size, buckets);
    if (options->kind == DPO_TRANSPORT_MESSAGES) group_size = 1;
    dpo_status status = create_one(grid, axis, n, options, group_size, buckets);

    if (*buckets != NULL) describe(*buckets, -1.0, -1.0);
    return status;
}

dpo_status dpo_buckets_create(const dpo_grid *grid, dpo_axis axis, int64_t n,
                              const dpo_buckets_options *options, dpo_buckets **buckets)
{
    DPO_ASSERT(n >= 0 && options->bucket_bytes >= 0 &&
               options->bucket_bytes <= DPO_BUCKET_MAX_BYTES);
    *buckets = NULL;
    dpo_status status = dpo_agree(grid, create_kind(grid, axis, n, options, buckets));

    if (status != DPO_OK) dpo_buckets_destroy(buckets);
    return status;
}

const dpo_shard *dpo_buckets_shard(const dpo_buckets *buckets)
{
    return &buckets->shard;
}

const char *dpo_buckets_describe(const dpo_buckets *buckets)
{
    return buckets->description;
}

int64_t dpo_buckets_bytes(const dpo_buckets *buckets)
{
    return buckets->n_bytes;
}

/* Does what can be done without waiting; returns whether it was anything. */
static bool advance(dpo_buckets *buckets)
{
    const dpo_bucket_way *way = buckets->way;
    bool any = false;

    for (int i = 0; i < way->n_stages; i++) {
        int64_t *n_done = buckets->n_done;
        int64_t limit = i == 0 ? buckets->n_ready : n_done[i - 1];

        while (n_done[i] < limit && way->stage[i](buckets, n_done[i])) {
            n_done[i]++;
            any = true;
        }
    }
    return any;
}

static void begin(dpo_buckets *buckets, const dpo_bucket_way *way, float *values)
{
    DPO_ASSERT(buckets->values == NULL && (values != NULL || buckets->n == 0));
    buckets->values = values;
    buckets->way = way;
    buckets->n_ready = 0;
    for (int i = 0; i < DPO_BUCKET_MAX_STAGES; i++)
        buckets->n_done[i] = 0;
}

/* The way to the end. While there is nothing to do, MPI and the other ranks of this processor get the time. */
static void finish(dpo_buckets *buckets)
{
    int n_stages = buckets->way->n_stages;
    int found;

    buckets->n_ready = buckets->n_buckets;
    while (n_stages > 0 && buckets->n_done[n_stages - 1] < buckets->n_buckets) {
        if (advance(buckets)) continue;
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, buckets->comm, &found, MPI_STATUS_IGNORE);
        (void)sched_yield();
    }
    buckets->first_turn += buckets->n_buckets;
    buckets->values = NULL;
}

void dpo_buckets_begin(dpo_buckets *buckets, float *values)
{
    begin(buckets, &buckets->sum_way, values);
}

void dpo_buckets_ready(dpo_buckets *buckets, int64_t begin_item)
{
    double begin_s = dpo_clock_s();

    DPO_ASSERT(begin_item >= 0 && begin_item <= buckets->n);
    if (buckets->n_buckets == 0) return;
    int64_t first = (begin_item + buckets->bucket_items - 1) / buckets->bucket_items;

    if (buckets->n_ready < buckets->n_buckets - first)
        buckets->n_ready = buckets->n_buckets - first;
    (void)advance(buckets);
    dpo_comm_time_add(dpo_clock_s() - begin_s);
}

void dpo_buckets_end(dpo_buckets *buckets)
{
    double begin_s = dpo_clock_s();

    finish(buckets);
    dpo_comm_time_add(dpo_clock_s() - begin_s);
}

void dpo_buckets_gather(dpo_buckets *buckets, float *values)
{
    double begin_s = dpo_clock_s();

    begin(buckets, &buckets->gather_way, values);
    finish(buckets);
    dpo_comm_time_add(dpo_clock_s() - begin_s);
}
