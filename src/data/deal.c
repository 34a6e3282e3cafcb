// SPDX-License-Identifier: Apache-2.0
#include "deal.h"

#include <stdlib.h>

static int by_falling_cost(const void *a, const void *b)
{
    const bundle *x = a;
    const bundle *y = b;
    int order = (x->cost < y->cost) - (x->cost > y->cost);

    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

static int least_loaded(const deal *d)
{
    int least = 0;

    for (int s = 1; s < d->n_shards; s++)
        if (d->load[s] < d->load[least]) least = s;
    return least;
}

static int most_loaded(const deal *d)
{
    int most = 0;

    for (int s = 1; s < d->n_shards; s++)
        if (d->load[s] > d->load[most]) most = s;
    return most;
}

/* The most expensive first, each to the shard with the least to do. */
static void deal_in_turn(const deal *d)
{
    for (int s = 0; s < d->n_shards; s++)
        d->load[s] = 0.0;
    qsort(d->bundles, (size_t)d->n, sizeof *d->bundles, by_falling_cost);
    for (int64_t i = 0; i < d->n; i++) {
        bundle *p = &d->bundles[i];

        p->shard = least_loaded(d);
        d->load[p->shard] += p->cost;
    }
}

/* What the most loaded shard may give to another one, for a bundle of that shard or for nothing. */
typedef struct {
    bundle *given, *taken; /* NULL: none */
    int to;
    double moved; /* cost that goes over, > 0 */
    double most;  /* load of the more loaded one of the two afterwards */
} exchange;

static void consider(const deal *d, int from, bundle *given, bundle *taken, int to, exchange *best)
{
    double moved = given->cost - (taken != NULL ? taken->cost : 0.0);
    double left = d->load[from] - moved, right = d->load[to] + moved;
    double most = left > right ? left : right;

    if (moved > 0.0 && most < best->most) *best = (exchange){given, taken, to, moved, most};
}

/* The best way to take load off a shard; nothing is given if there is none. */
static exchange find_exchange(const deal *d, int from)
{
    exchange best = {.most = d->load[from]};
    int least = least_loaded(d);

    for (int64_t i = 0; i < d->n; i++) {
        bundle *given = &d->bundles[i];

        if (given->shard != from) continue;
        consider(d, from, given, NULL, least, &best);
        for (int64_t j = 0; j < d->n; j++)
            if (d->bundles[j].shard != from)
                consider(d, from, given, &d->bundles[j], d->bundles[j].shard, &best);
    }
    return best;
}

/*
 * Evens out what dealing leaves, which is much if shards have few bundles. Each exchange lowers the load of
 * a most loaded shard; it ends when none does or when nobody would notice.
 */
static void even_out(const deal *d)
{
    const double unnoticed = 1.001;
    double mean = 0.0;

    for (int s = 0; s < d->n_shards; s++)
        mean += d->load[s] / d->n_shards;
    for (int64_t n = 0; n < d->n; n++) {
        int from = most_loaded(d);

        if (d->load[from] <= unnoticed * mean) return;
        exchange by = find_exchange(d, from);

        if (by.given == NULL) return;
        by.given->shard = by.to;
        if (by.taken != NULL) by.taken->shard = from;
        d->load[from] -= by.moved;
        d->load[by.to] += by.moved;
    }
}

void deal_run(const deal *d)
{
    deal_in_turn(d);
    even_out(d);
}
