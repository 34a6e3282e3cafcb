// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/batch_plan.h"

#include <stdlib.h>

#include "deal.h"
#include "dpo/base/arena.h"
#include "dpo/base/memory.h"
#include "dpo/base/random.h"

/* An example of the step's global batch and where it goes. */
typedef struct {
    int64_t example;
    dpo_digest prompt;
    int shard;
    int64_t micro_batch; /* of the shard */
} item;

/*
 * Bundles are made of items that are neighbours when these are sorted by prompt; at the end items are sorted by where
 * they go.
 *
 * Invariant after a run: items are sorted by shard, micro-batch and example; examples holds the same
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
    item *items;                   /* [capacity] */
    int64_t n_bundles;
    bundle *bundles;               /* [capacity] */
    int64_t *examples;             /* [capacity] */
    int64_t *begin_of_micro_batch; /* [capacity + 1] */
    int64_t *begin_of_shard;       /* [n_shards + 1] */
    int64_t *room_tokens;          /* [capacity] left in each micro-batch of one shard */
    int64_t *room_rows;            /* [capacity] likewise */
    double *load;                  /* [n_shards] cost of a shard */
};

bool dpo_example_shares_prompt(const dpo_example_cost *a, const dpo_example_cost *b)
{
    return !dpo_digest_equal(a->prompt, (dpo_digest){0}) && dpo_digest_equal(a->prompt, b->prompt);
}

static void lay_out_memory(dpo_arena *arena, dpo_batch_plan *plan)
{
    int64_t n_shards = plan->n_shards;

    plan->order = dpo_arena_take(arena, plan->options.n_examples, sizeof *plan->order);
    plan->items = dpo_arena_take(arena, plan->capacity, sizeof *plan->items);
    plan->bundles = dpo_arena_take(arena, plan->capacity, sizeof *plan->bundles);
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

        plan->items[i] = (item){.example = example, .prompt = plan->costs[example].prompt};
    }
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* The number of the example settles every tie, so that no two items are equal and any sort gives one order. */
static int by_prompt(const void *a, const void *b)
{
    const item *x = a;
    const item *y = b;
    int order = dpo_digest_compare(x->prompt, y->prompt);

    return order != 0 ? order : compare(x->example, y->example);
}

static int by_shard_and_falling_tokens(const void *a, const void *b)
{
    const bundle *x = a;
    const bundle *y = b;
    int order = compare(x->shard, y->shard);

    if (order == 0) order = compare(y->tokens, x->tokens);
    return order != 0 ? order : compare(x->number, y->number);
}

static int by_place(const void *a, const void *b)
{
    const item *x = a;
    const item *y = b;
    int order = compare(x->shard, y->shard);

    if (order == 0) order = compare(x->micro_batch, y->micro_batch);
    return order != 0 ? order : compare(x->example, y->example);
}

static void sort_items(dpo_batch_plan *plan, int (*order)(const void *, const void *))
{
    qsort(plan->items, (size_t)plan->n_batch, sizeof *plan->items, order);
}

static double cost_of(const dpo_batch_plan_options *o, int64_t tokens, int64_t rows, double pairs)
{
    return (double)tokens * o->cost_of_token + (double)rows * o->cost_of_row +
           pairs * o->cost_of_pair;
}

/* Item i as a bundle of its own. */
static bundle wrap(const dpo_batch_plan *plan, int64_t i)
{
    int64_t example = plan->items[i].example;
    const dpo_example_cost *c = &plan->costs[example];

    return (bundle){.number = example,
                    .items = {i, i + 1},
                    .tokens = c->tokens,
                    .rows = c->rows,
                    .cost = cost_of(&plan->options, c->tokens, c->rows, c->pairs)};
}

/* What it saves to compute item i together with the one before it. */
static bundle saving(const dpo_batch_plan *plan, int64_t i)
{
    const item *x = &plan->items[i];
    const dpo_example_cost *c = &plan->costs[x->example];

    if (i == 0 || !dpo_example_shares_prompt(&plan->costs[x[-1].example], c)) return (bundle){0};
    return (bundle){.tokens = c->prompt_tokens,
                    .cost = cost_of(&plan->options, c->prompt_tokens, 0, c->prompt_pairs)};
}

/* What a shard has to do if each prompt is computed once. */
static double mean_load(const dpo_batch_plan *plan)
{
    double sum = 0.0;

    for (int64_t i = 0; i < plan->n_batch; i++)
        sum += wrap(plan, i).cost - saving(plan, i).cost;
    return sum / plan->n_shards;
}

/* Joins an item to the last bundle, if that then has room in a micro-batch and does not cost more than `most`. */
static bool join(dpo_batch_plan *plan, const bundle *own, const bundle *saved, double most)
{
    bundle *last = &plan->bundles[plan->n_bundles - 1];
    int64_t tokens = last->tokens + own->tokens - saved->tokens, rows = last->rows + own->rows;
    double cost = last->cost + own->cost - saved->cost;

    if (tokens > plan->options.budget_tokens || rows > plan->options.budget_rows || cost > most)
        return false;
    last->items.end++;
    last->tokens = tokens;
    last->rows = rows;
    last->cost = cost;
    return true;
}

/*
 * Puts examples together that have a prompt in common, as long as a micro-batch has room for them and they are no more
 * than a shard's part of the work, a prompt of their own added: a batch of one prompt is work for all shards.
 */
static void make_bundles(dpo_batch_plan *plan)
{
    sort_items(plan, by_prompt);
    double mean = mean_load(plan);

    plan->n_bundles = 0;
    for (int64_t i = 0; i < plan->n_batch; i++) {
        bundle own = wrap(plan, i), saved = saving(plan, i);

        if (saved.tokens == 0 || !join(plan, &own, &saved, mean + saved.cost))
            plan->bundles[plan->n_bundles++] = own;
    }
}

/* Packs the bundles [begin, end) of one shard, longest first. Returns the number of micro-batches. */
static int64_t pack(dpo_batch_plan *plan, int64_t begin, int64_t end)
{
    int64_t *tokens = plan->room_tokens, *rows = plan->room_rows;
    int64_t n = 0;

    for (int64_t i = begin; i < end; i++) {
        bundle *p = &plan->bundles[i];
        int64_t at = 0;

        while (at < n && (tokens[at] < p->tokens || rows[at] < p->rows))
            at++;
        if (at == n) {
            tokens[n] = plan->options.budget_tokens;
            rows[n++] = plan->options.budget_rows;
        }
        tokens[at] -= p->tokens;
        rows[at] -= p->rows;
        p->micro_batch = at;
    }
    return n;
}

static void pack_micro_batches(dpo_batch_plan *plan)
{
    int64_t begin = 0;

    qsort(plan->bundles, (size_t)plan->n_bundles, sizeof *plan->bundles,
          by_shard_and_falling_tokens);
    plan->begin_of_shard[0] = 0;
    for (int s = 0; s < plan->n_shards; s++) {
        int64_t end = begin;

        while (end < plan->n_bundles && plan->bundles[end].shard == s)
            end++;
        plan->begin_of_shard[s + 1] = plan->begin_of_shard[s] + pack(plan, begin, end);
        begin = end;
    }
}

static void unwrap(dpo_batch_plan *plan)
{
    for (int64_t p = 0; p < plan->n_bundles; p++) {
        const bundle *from = &plan->bundles[p];

        for (int64_t i = from->items.begin; i < from->items.end; i++) {
            plan->items[i].shard = from->shard;
            plan->items[i].micro_batch = from->micro_batch;
        }
    }
}

static void lay_out(dpo_batch_plan *plan)
{
    int64_t n = 0;

    sort_items(plan, by_place);
    for (int64_t i = 0; i < plan->n_batch; i++) {
        const item *x = &plan->items[i];
        bool first = i == 0 || x->shard != x[-1].shard || x->micro_batch != x[-1].micro_batch;

        if (first) plan->begin_of_micro_batch[n++] = i;
        plan->examples[i] = x->example;
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
    make_bundles(plan);
    deal_run(&(deal){plan->n_bundles, plan->bundles, plan->n_shards, plan->load});
    pack_micro_batches(plan);
    unwrap(plan);
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
