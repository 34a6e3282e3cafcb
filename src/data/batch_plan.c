// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/batch_plan.h"

#include <stdlib.h>

#include "dpo/base/arena.h"
#include "dpo/base/memory.h"
#include "dpo/base/random.h"

/* An example of the step's global batch and where it goes. */
typedef struct {
    int64_t example;
    int64_t tokens, rows;
    double cost;
    int shard;
    int64_t micro_batch; /* of the shard */
} dealt;

/*
 * Invariant after a run: dealt is sorted by shard, micro-batch and example; examples holds the same
 * in this order. Micro-batch i of shard s is number begin_of_shard[s] + i; number k holds
 * examples[begin_of_micro_batch[k]] up to examples[begin_of_micro_batch[k + 1]].
 */
struct dpo_batch_plan {
    dpo_arena arena; /* owned; all arrays below but costs lie in it */
    dpo_batch_plan_options options;
    const dpo_example_cost *costs; /* borrowed, [n] */
    int n_shards;                  /* of all ranks */
    int64_t epoch;                 /* of order; -1: none yet */
    int64_t *order;                /* [n] */
    int64_t batch_begin;           /* the global batch is order[batch_begin], ... */
    int64_t n_batch;               /* its length, <= capacity */
    int64_t capacity;              /* examples of the largest global batch */
    dealt *dealt;                  /* [capacity] */
    int64_t *examples;             /* [capacity] */
    int64_t *begin_of_micro_batch; /* [capacity + 1] */
    int64_t *begin_of_shard;       /* [n_shards + 1] */
    int64_t *room_tokens;          /* [capacity] left in each micro-batch of one shard */
    int64_t *room_rows;            /* [capacity] likewise */
    double *load;                  /* [n_shards] cost of a shard */
};

static void lay_out_memory(dpo_arena *arena, dpo_batch_plan *plan)
{
    int64_t n_shards = plan->n_shards;

    plan->order = dpo_arena_take(arena, plan->options.n_examples, sizeof *plan->order);
    plan->dealt = dpo_arena_take(arena, plan->capacity, sizeof *plan->dealt);
    plan->examples = dpo_arena_take(arena, plan->capacity, sizeof *plan->examples);
    plan->begin_of_micro_batch =
        dpo_arena_take(arena, plan->capacity + 1, sizeof *plan->begin_of_micro_batch);
    plan->begin_of_shard = dpo_arena_take(arena, n_shards + 1, sizeof *plan->begin_of_shard);
    plan->room_tokens = dpo_arena_take(arena, plan->capacity, sizeof *plan->room_tokens);
    plan->room_rows = dpo_arena_take(arena, plan->capacity, sizeof *plan->room_rows);
    plan->load = dpo_arena_take(arena, n_shards, sizeof *plan->load);
}

static dpo_status allocate(dpo_batch_plan *plan)
{
    lay_out_memory(&plan->arena, plan);
    DPO_TRY(dpo_arena_create(plan->arena.used_bytes, &plan->arena));
    lay_out_memory(&plan->arena, plan);
    return DPO_OK;
}

dpo_status dpo_batch_plan_create(const dpo_batch_plan_options *options,
                                 const dpo_example_cost *costs, dpo_batch_plan **plan)
{
    const int64_t n = options->n_examples;
    const int64_t batch = options->batch_examples;

    DPO_ASSERT(n >= 0 && batch > 0 && options->budget_tokens > 0 && options->budget_rows > 0);
    DPO_ASSERT(options->data_size > 0 && options->rank_shards > 0);
    DPO_TRY(DPO_NEW(*plan, 1));
    (*plan)->options = *options;
    (*plan)->costs = costs;
    (*plan)->n_shards = options->data_size * options->rank_shards;
    (*plan)->epoch = -1;
    (*plan)->capacity = batch < n ? batch : n;
    dpo_status status = allocate(*plan);

    if (status != DPO_OK) dpo_batch_plan_destroy(plan);
    return status;
}

void dpo_batch_plan_destroy(dpo_batch_plan **plan)
{
    if (*plan == NULL) return;
    dpo_arena_destroy(&(*plan)->arena);
    dpo_free(*plan);
    *plan = NULL;
}

int64_t dpo_batch_plan_steps_per_epoch(const dpo_batch_plan *plan)
{
    const dpo_batch_plan_options *o = &plan->options;

    return o->n_examples / o->batch_examples + (o->n_examples % o->batch_examples != 0);
}

static void order_epoch(dpo_batch_plan *plan, int64_t epoch)
{
    const dpo_batch_plan_options *o = &plan->options;

    if (epoch == plan->epoch) return;
    DPO_ASSERT(epoch <= UINT32_MAX);
    if (o->shuffle)
        dpo_random_permutation(o->seed, DPO_STREAM_SHUFFLE, (uint32_t)epoch, o->n_examples,
                               plan->order);
    else
        for (int64_t i = 0; i < o->n_examples; i++)
            plan->order[i] = i;
    plan->epoch = epoch;
}

static void take_batch(dpo_batch_plan *plan, int64_t step_of_epoch)
{
    const dpo_batch_plan_options *o = &plan->options;
    int64_t left;

    plan->batch_begin = step_of_epoch * o->batch_examples;
    left = o->n_examples - plan->batch_begin;
    plan->n_batch = left < o->batch_examples ? left : o->batch_examples;
    for (int64_t i = 0; i < plan->n_batch; i++) {
        int64_t example = plan->order[plan->batch_begin + i];
        const dpo_example_cost *cost = &plan->costs[example];

        plan->dealt[i] = (dealt){.example = example, .tokens = cost->tokens, .rows = cost->rows};
        plan->dealt[i].cost = (double)cost->tokens * o->cost_of_token +
                              (double)cost->rows * o->cost_of_row + cost->pairs * o->cost_of_pair;
    }
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/*
 * The number of the example settles every tie, so that no two items are equal and any sort gives
 * one order.
 */
static int by_falling_cost(const void *a, const void *b)
{
    const dealt *x = a;
    const dealt *y = b;
    int order = (x->cost < y->cost) - (x->cost > y->cost);

    return order != 0 ? order : compare(x->example, y->example);
}

static int by_shard_and_falling_tokens(const void *a, const void *b)
{
    const dealt *x = a;
    const dealt *y = b;
    int order = compare(x->shard, y->shard);

    if (order == 0) order = compare(y->tokens, x->tokens);
    return order != 0 ? order : compare(x->example, y->example);
}

static int by_place(const void *a, const void *b)
{
    const dealt *x = a;
    const dealt *y = b;
    int order = compare(x->shard, y->shard);

    if (order == 0) order = compare(x->micro_batch, y->micro_batch);
    return order != 0 ? order : compare(x->example, y->example);
}

static void sort(dpo_batch_plan *plan, int (*order)(const void *, const void *))
{
    qsort(plan->dealt, (size_t)plan->n_batch, sizeof *plan->dealt, order);
}

static int least_loaded(const dpo_batch_plan *plan)
{
    int least = 0;

    for (int s = 1; s < plan->n_shards; s++)
        if (plan->load[s] < plan->load[least]) least = s;
    return least;
}

static int most_loaded(const dpo_batch_plan *plan)
{
    int most = 0;

    for (int s = 1; s < plan->n_shards; s++)
        if (plan->load[s] > plan->load[most]) most = s;
    return most;
}

static void deal_to_shards(dpo_batch_plan *plan)
{
    for (int s = 0; s < plan->n_shards; s++)
        plan->load[s] = 0.0;
    sort(plan, by_falling_cost);
    for (int64_t i = 0; i < plan->n_batch; i++) {
        dealt *item = &plan->dealt[i];

        item->shard = least_loaded(plan);
        plan->load[item->shard] += item->cost;
    }
}

/* What the most loaded shard may give to another one, for an item of that shard or for nothing. */
typedef struct {
    dealt *given, *taken; /* NULL: none */
    int to;
    double moved; /* cost that goes over, > 0 */
    double most;  /* load of the more loaded one of the two afterwards */
} exchange;

static void consider(const dpo_batch_plan *plan, int from, dealt *given, dealt *taken, int to,
                     exchange *best)
{
    double moved = given->cost - (taken != NULL ? taken->cost : 0.0);
    double left = plan->load[from] - moved, right = plan->load[to] + moved;
    double most = left > right ? left : right;

    if (moved > 0.0 && most < best->most) *best = (exchange){given, taken, to, moved, most};
}

/* The best way to take load off a shard; nothing is given if there is none. */
static exchange find_exchange(const dpo_batch_plan *plan, int from)
{
    exchange best = {.most = plan->load[from]};
    int least = least_loaded(plan);

    for (int64_t i = 0; i < plan->n_batch; i++) {
        dealt *given = &plan->dealt[i];

        if (given->shard != from) continue;
        consider(plan, from, given, NULL, least, &best);
        for (int64_t j = 0; j < plan->n_batch; j++)
            if (plan->dealt[j].shard != from)
                consider(plan, from, given, &plan->dealt[j], plan->dealt[j].shard, &best);
    }
    return best;
}

/*
 * Evens out what dealing leaves, which is much if shards have few examples. Each exchange lowers the load of
 * a most loaded shard; it ends when none does or when nobody would notice.
 */
static void even_out(dpo_batch_plan *plan)
{
    const double unnoticed = 1.001;
    double mean = 0.0;

    for (int s = 0; s < plan->n_shards; s++)
        mean += plan->load[s] / plan->n_shards;
    for (int64_t n = 0; n < plan->n_batch; n++) {
        int from = most_loaded(plan);

        if (plan->load[from] <= unnoticed * mean) return;
        exchange by = find_exchange(plan, from);

        if (by.given == NULL) return;
        by.given->shard = by.to;
        if (by.taken != NULL) by.taken->shard = from;
        plan->load[from] -= by.moved;
        plan->load[by.to] += by.moved;
    }
}

/* Packs the items [begin, end) of one shard, longest first. Returns the number of micro-batches. */
static int64_t pack(dpo_batch_plan *plan, int64_t begin, int64_t end)
{
    int64_t *tokens = plan->room_tokens, *rows = plan->room_rows;
    int64_t n = 0;

    for (int64_t i = begin; i < end; i++) {
        dealt *item = &plan->dealt[i];
        int64_t at = 0;

        while (at < n && (tokens[at] < item->tokens || rows[at] < item->rows))
            at++;
        if (at == n) {
            tokens[n] = plan->options.budget_tokens;
            rows[n++] = plan->options.budget_rows;
        }
        tokens[at] -= item->tokens;
        rows[at] -= item->rows;
        item->micro_batch = at;
    }
    return n;
}

static void pack_micro_batches(dpo_batch_plan *plan)
{
    int64_t begin = 0;

    sort(plan, by_shard_and_falling_tokens);
    plan->begin_of_shard[0] = 0;
    for (int s = 0; s < plan->n_shards; s++) {
        int64_t end = begin;

        while (end < plan->n_batch && plan->dealt[end].shard == s)
            end++;
        plan->begin_of_shard[s + 1] = plan->begin_of_shard[s] + pack(plan, begin, end);
        begin = end;
    }
}

static void lay_out(dpo_batch_plan *plan)
{
    int64_t n = 0;

    sort(plan, by_place);
    for (int64_t i = 0; i < plan->n_batch; i++) {
        const dealt *item = &plan->dealt[i];
        bool first =
            i == 0 || item->shard != item[-1].shard || item->micro_batch != item[-1].micro_batch;

        if (first) plan->begin_of_micro_batch[n++] = i;
        plan->examples[i] = item->example;
    }
    plan->begin_of_micro_batch[n] = plan->n_batch;
    DPO_ASSERT(n == plan->begin_of_shard[plan->n_shards]);
}

void dpo_batch_plan_run(dpo_batch_plan *plan, int64_t step)
{
    int64_t steps_per_epoch = dpo_batch_plan_steps_per_epoch(plan);

    DPO_ASSERT(step >= 0 && steps_per_epoch > 0);
    order_epoch(plan, step / steps_per_epoch);
    take_batch(plan, step % steps_per_epoch);
    deal_to_shards(plan);
    even_out(plan);
    pack_micro_batches(plan);
    lay_out(plan);
}

const int64_t *dpo_batch_plan_examples(const dpo_batch_plan *plan, int64_t *n)
{
    *n = plan->n_batch;
    return plan->order + plan->batch_begin;
}

int64_t dpo_batch_plan_n_micro_batches(const dpo_batch_plan *plan, int shard)
{
    return plan->begin_of_shard[shard + 1] - plan->begin_of_shard[shard];
}

const int64_t *dpo_batch_plan_micro_batch(const dpo_batch_plan *plan, int shard, int64_t i,
                                          int64_t *n)
{
    const int64_t *begin = plan->begin_of_micro_batch + plan->begin_of_shard[shard] + i;

    DPO_ASSERT(i >= 0 && i < dpo_batch_plan_n_micro_batches(plan, shard));
    *n = begin[1] - begin[0];
    return plan->examples + begin[0];
}

double dpo_batch_plan_imbalance(const dpo_batch_plan *plan)
{
    int n_ranks = plan->options.data_size, rank_shards = plan->options.rank_shards;
    double most = 0.0;
    double sum = 0.0;

    for (int r = 0; r < n_ranks; r++) {
        double load = 0.0;

        for (int s = 0; s < rank_shards; s++)
            load += plan->load[r * rank_shards + s];
        if (load > most) most = load;
        sum += load;
    }
    return sum > 0.0 ? most * n_ranks / sum : 1.0;
}
