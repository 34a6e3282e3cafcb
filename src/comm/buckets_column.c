// SPDX-License-Identifier: Apache-2.0
/*
 * Buckets among ranks of equal place in their groups, by messages:
 *
 *     sum:     every rank sends each owner of the column its addends; the owner sums them in order
 *     gather:  every owner sends its part to the column's other ranks
 *
 * A pair of ranks exchanges the messages of all buckets in the same order, so one tag is enough.
 */
#include "buckets_private.h"
#include "dpo/base/float16.h"
#include "dpo/base/memory.h"
#include "tree.h"

dpo_status dpo_bucket_column_create(dpo_buckets *buckets)
{
    int64_t n_others = buckets->n_groups - 1;
    int64_t slot_items = n_others * dpo_bucket_part_items(buckets);
    int64_t n_slots = buckets->bf16_messages ? 1 : DPO_BUCKET_SLOTS;

    DPO_TRY(DPO_NEW(buckets->requests, 2 * n_others * DPO_BUCKET_SLOTS));
    DPO_TRY(DPO_NEW(buckets->received, n_slots * slot_items));
    buckets->n_bytes += n_slots * slot_items * (int64_t)sizeof *buckets->received;
    if (!buckets->bf16_messages) return DPO_OK;
    DPO_TRY(DPO_NEW(buckets->bf16_received, DPO_BUCKET_SLOTS * slot_items));
    DPO_TRY(DPO_NEW(buckets->bf16_sent, DPO_BUCKET_SLOTS * slot_items));
    buckets->n_bytes += 2 * slot_items * DPO_BUCKET_SLOTS * (int64_t)sizeof *buckets->bf16_sent;
    return DPO_OK;
}

void dpo_bucket_column_destroy(dpo_buckets *buckets)
{
    dpo_free(buckets->bf16_sent);
    dpo_free(buckets->bf16_received);
    dpo_free(buckets->received);
    dpo_free(buckets->requests);
}

static int rank_of_group(const dpo_buckets *buckets, int group)
{
    return group * buckets->group_size + buckets->place;
}

static MPI_Request *next_request(dpo_buckets *buckets, int64_t slot)
{
    return &buckets->requests[slot * 2 * (buckets->n_groups - 1) + buckets->n_requests[slot]++];
}

static void post_receive(dpo_buckets *buckets, int64_t slot, int from, int64_t n, MPI_Datatype type,
                         void *items)
{
    if (n > 0) MPI_Irecv(items, (int)n, type, from, 0, buckets->comm, next_request(buckets, slot));
}

static void post_send(dpo_buckets *buckets, int64_t slot, int to, int64_t n, MPI_Datatype type,
                      const void *items)
{
    if (n > 0) MPI_Isend(items, (int)n, type, to, 0, buckets->comm, next_request(buckets, slot));
}

/* Takes a slot for a bucket if one is free. */
static bool begin_messages(dpo_buckets *buckets, int64_t turn)
{
    if (buckets->n_in_flight == DPO_BUCKET_SLOTS) return false;
    buckets->n_in_flight++;
    buckets->n_requests[dpo_bucket_slot(buckets, turn)] = 0;
    return true;
}

static bool messages_are_through(dpo_buckets *buckets, int64_t turn)
{
    int64_t slot = dpo_bucket_slot(buckets, turn);
    int done; /* 0 or 1 */

    MPI_Testall(buckets->n_requests[slot], buckets->requests + slot * 2 * (buckets->n_groups - 1),
                &done, MPI_STATUSES_IGNORE);
    buckets->n_in_flight -= done;
    return done != 0;
}

/* Where messages number `other` of a turn lie in memory of DPO_BUCKET_SLOTS slots. */
static int64_t place_in_slots(const dpo_buckets *buckets, int64_t turn, int64_t other)
{
    int64_t n_others = buckets->n_groups - 1;

    return (dpo_bucket_slot(buckets, turn) * n_others + other) * dpo_bucket_part_items(buckets);
}

static void send_part(dpo_buckets *buckets, int64_t turn, int64_t other, int to)
{
    dpo_range part = dpo_bucket_part(buckets, turn, to);
    int64_t n = dpo_range_length(part);
    int64_t slot = dpo_bucket_slot(buckets, turn);
    const float *addends = buckets->values + part.begin;

    if (!buckets->bf16_messages) {
        post_send(buckets, slot, to, n, MPI_FLOAT, addends);
        return;
    }
    uint16_t *bits = buckets->bf16_sent + place_in_slots(buckets, turn, other);

    dpo_bf16_from_f32_many(n, addends, bits);
    post_send(buckets, slot, to, n, MPI_UINT16_T, bits);
}

static void receive_part(dpo_buckets *buckets, int64_t turn, int64_t other, int from)
{
    int64_t n = dpo_range_length(dpo_bucket_part(buckets, turn, buckets->rank));
    int64_t slot = dpo_bucket_slot(buckets, turn);
    int64_t at = place_in_slots(buckets, turn, other);

    if (buckets->bf16_messages)
        post_receive(buckets, slot, from, n, MPI_UINT16_T, buckets->bf16_received + at);
    else
        post_receive(buckets, slot, from, n, MPI_FLOAT, buckets->received + at);
}

bool dpo_bucket_send_addends(dpo_buckets *buckets, int64_t turn)
{
    if (!begin_messages(buckets, turn)) return false;
    for (int g = 0, other = 0; g < buckets->n_groups; g++) {
        if (g == buckets->group) continue;
        receive_part(buckets, turn, other, rank_of_group(buckets, g));
        send_part(buckets, turn, other, rank_of_group(buckets, g));
        other++;
    }
    return true;
}

/* f32 addends that came from another group. */
static const float *received_part(dpo_buckets *buckets, int64_t turn, int64_t other, int64_t n)
{
    int64_t at = place_in_slots(buckets, turn, other);

    if (!buckets->bf16_messages) return buckets->received + at;
    float *addends = buckets->received + other * dpo_bucket_part_items(buckets);

    dpo_f32_from_bf16_many(n, buckets->bf16_received + at, addends);
    return addends;
}

bool dpo_bucket_sum_column(dpo_buckets *buckets, int64_t turn)
{
    if (!messages_are_through(buckets, turn)) return false;
    dpo_range part = dpo_bucket_part(buckets, turn, buckets->rank);
    float *own = buckets->values + part.begin;
    int64_t n = dpo_range_length(part);

    for (int g = 0, other = 0; g < buckets->n_groups; g++)
        buckets->source[g] = g == buckets->group ? own : received_part(buckets, turn, other++, n);
    dpo_tree_sum_f32(buckets->n_groups, buckets->source, n, false, own);
    return true;
}

bool dpo_bucket_send_owned(dpo_buckets *buckets, int64_t turn)
{
    if (!begin_messages(buckets, turn)) return false;
    int64_t slot = dpo_bucket_slot(buckets, turn);
    dpo_range mine = dpo_bucket_part(buckets, turn, buckets->rank);

    for (int g = 0; g < buckets->n_groups; g++) {
        int other = rank_of_group(buckets, g);
        dpo_range theirs = dpo_bucket_part(buckets, turn, other);

        if (g == buckets->group) continue;
        post_receive(buckets, slot, other, dpo_range_length(theirs), MPI_FLOAT,
                     buckets->values + theirs.begin);
        post_send(buckets, slot, other, dpo_range_length(mine), MPI_FLOAT,
                  buckets->values + mine.begin);
    }
    return true;
}

bool dpo_bucket_wait_owned(dpo_buckets *buckets, int64_t turn)
{
    return messages_are_through(buckets, turn);
}
