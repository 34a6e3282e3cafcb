// SPDX-License-Identifier: Apache-2.0
/*
 * Buckets among ranks that share memory. Every rank has slots that all can read:
 *
 *     sum:     stage addends of all parts    ->  each rank sums the parts of its column from all slots
 *     gather:  stage the parts of my column  ->  each rank copies the other columns' parts from their slots
 *
 * A rank writes a slot only when all have taken what was in it before, and reads one only when it has been
 * written: two counters a rank say so. Nobody ever waits here; a stage that would have to is tried again.
 */
#include <string.h>

#include "buckets_private.h"
#include "dpo/base/memory.h"
#include "tree.h"

enum { PAGE_BYTES = 4096 };

static int64_t staging_bytes(const dpo_buckets *buckets)
{
    return DPO_BUCKET_SLOTS * buckets->bucket_items * (int64_t)sizeof(float);
}

static int64_t all_counters_bytes(const dpo_buckets *buckets)
{
    int64_t bytes = buckets->group_size * (int64_t)sizeof(dpo_bucket_counters);

    return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

bool dpo_bucket_group_create(dpo_buckets *buckets, MPI_Comm group_comm)
{
    int64_t n_counter_bytes = all_counters_bytes(buckets);
    int64_t n_staging_bytes = staging_bytes(buckets);
    int64_t at = n_counter_bytes + buckets->place * n_staging_bytes;
    dpo_range mine[] = {{at, at + n_staging_bytes}, {0, buckets->place == 0 ? n_counter_bytes : 0}};

    if (!dpo_shared_memory_create(group_comm,
                                  n_counter_bytes + buckets->group_size * n_staging_bytes, 2, mine,
                                  &buckets->memory))
        return false;
    for (int p = 0; p < buckets->group_size; p++) {
        char *base = buckets->memory.base;

        buckets->counters[p] = (dpo_bucket_counters *)(void *)base + p;
        buckets->staging[p] = (float *)(void *)(base + n_counter_bytes + p * n_staging_bytes);
    }
    buckets->n_bytes += n_staging_bytes;
    return true;
}

void dpo_bucket_group_destroy(dpo_buckets *buckets)
{
    dpo_shared_memory_destroy(&buckets->memory);
}

/* Where a place's slot has item `item` of the vector. */
static float *in_slot(const dpo_buckets *buckets, int place, int64_t turn, int64_t item)
{
    return buckets->staging[place] + dpo_bucket_slot(buckets, turn) * buckets->bucket_items + item -
           dpo_bucket_range(buckets, turn).begin;
}

/* Whether all have taken what lay in the slot that this turn uses. */
static bool slot_is_free(const dpo_buckets *buckets, int64_t turn)
{
    int64_t number = buckets->first_turn + turn;

    for (int p = 0; p < buckets->group_size; p++)
        if (atomic_load_explicit(&buckets->counters[p]->n_taken, memory_order_acquire) <
            number - DPO_BUCKET_SLOTS + 1)
            return false;
    return true;
}

static bool all_have_staged(const dpo_buckets *buckets, int64_t turn)
{
    int64_t number = buckets->first_turn + turn;

    for (int p = 0; p < buckets->group_size; p++)
        if (atomic_load_explicit(&buckets->counters[p]->n_staged, memory_order_acquire) <= number)
            return false;
    return true;
}

static void copy(dpo_range part, const float *from, float *to)
{
    if (dpo_range_length(part) > 0) memcpy(to, from, (size_t)dpo_range_length(part) * sizeof *to);
}

/* Copies the parts of my column into my slot, or those of the other columns. */
static bool stage_parts(dpo_buckets *buckets, int64_t turn, bool of_my_column)
{
    if (!slot_is_free(buckets, turn)) return false;
    for (int r = 0; r < buckets->size; r++) {
        dpo_range part = dpo_bucket_part(buckets, turn, r);

        if ((r % buckets->group_size == buckets->place) == of_my_column)
            copy(part, buckets->values + part.begin,
                 in_slot(buckets, buckets->place, turn, part.begin));
    }
    atomic_store_explicit(&buckets->counters[buckets->place]->n_staged,
                          buckets->first_turn + turn + 1, memory_order_release);
    return true;
}

static void take(dpo_buckets *buckets, int64_t turn)
{
    atomic_store_explicit(&buckets->counters[buckets->place]->n_taken,
                          buckets->first_turn + turn + 1, memory_order_release);
}

bool dpo_bucket_stage_addends(dpo_buckets *buckets, int64_t turn)
{
    return stage_parts(buckets, turn, false);
}

/* The group's sum of a part replaces my addends to it: nobody else looks at them. */
bool dpo_bucket_sum_group(dpo_buckets *buckets, int64_t turn)
{
    if (!all_have_staged(buckets, turn)) return false;
    for (int r = buckets->place; r < buckets->size; r += buckets->group_size) {
        dpo_range part = dpo_bucket_part(buckets, turn, r);

        for (int p = 0; p < buckets->group_size; p++)
            buckets->source[p] = p == buckets->place ? buckets->values + part.begin
                                                     : in_slot(buckets, p, turn, part.begin);
        dpo_tree_sum_f32(buckets->group_size, buckets->source, dpo_range_length(part), false,
                         buckets->values + part.begin);
    }
    take(buckets, turn);
    return true;
}

bool dpo_bucket_stage_owned(dpo_buckets *buckets, int64_t turn)
{
    return stage_parts(buckets, turn, true);
}

bool dpo_bucket_copy_group(dpo_buckets *buckets, int64_t turn)
{
    if (!all_have_staged(buckets, turn)) return false;
    for (int r = 0; r < buckets->size; r++) {
        dpo_range part = dpo_bucket_part(buckets, turn, r);
        int place = r % buckets->group_size;

        if (place != buckets->place)
            copy(part, in_slot(buckets, place, turn, part.begin), buckets->values + part.begin);
    }
    take(buckets, turn);
    return true;
}
