// SPDX-License-Identifier: Apache-2.0
/*
 * What the ranks of a job send each other: gradient sums and weights of data parallelism, rows of tensor
 * parallelism, a few numbers. A speed is the length of the whole vector over the time.
 */
#include "bench_private.h"
#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/comm/buckets.h"
#include "dpo/comm/collective.h"
#include "dpo/comm/exchange.h"

enum { VECTOR_ITEMS = 1 << 24, N_NUMBERS = 16 };

/* All ranks are along the axis DPO_DATA. Each function ends when all ranks have ended. */
typedef struct {
    const dpo_grid *grid;
    dpo_buckets *buckets;   /* owned, as all that follows */
    dpo_exchange *exchange; /* of one whole */
    int64_t n_rows;
    float *vector; /* [VECTOR_ITEMS] */
    float *own;    /* [own rows of the exchange, width] */
} collectives;

static void bucket_sum(void *context)
{
    collectives *c = context;

    dpo_buckets_begin(c->buckets, c->vector);
    dpo_buckets_ready(c->buckets, 0);
    dpo_buckets_end(c->buckets);
    dpo_barrier(c->grid, DPO_DATA);
}

static void bucket_gather(void *context)
{
    collectives *c = context;

    dpo_buckets_gather(c->buckets, c->vector);
    dpo_barrier(c->grid, DPO_DATA);
}

static void exchange_gather(void *context)
{
    collectives *c = context;

    dpo_exchange_gather(c->exchange, 0, c->n_rows);
    dpo_barrier(c->grid, DPO_DATA);
}

static void exchange_reduce(void *context)
{
    collectives *c = context;

    dpo_exchange_reduce(c->exchange, c->n_rows, false, c->own);
    dpo_barrier(c->grid, DPO_DATA);
}

static void sum_numbers(void *context)
{
    collectives *c = context;
    double numbers[N_NUMBERS] = {1.0};

    dpo_sum_f64(c->grid, DPO_WORLD, N_NUMBERS, numbers);
}

static dpo_status allocate(const dpo_bench *bench, collectives *c)
{
    DPO_TRY(dpo_bench_values(VECTOR_ITEMS, &c->vector));
    return dpo_bench_values(c->n_rows * bench->options->config->d_model, &c->own);
}

static dpo_status create(const dpo_bench *bench, collectives *c)
{
    const dpo_buckets_options options = {0};

    c->grid = bench->grid;
    c->n_rows = bench->options->n_tokens;
    DPO_TRY(dpo_agree(c->grid, allocate(bench, c)));
    DPO_TRY(dpo_buckets_create(c->grid, DPO_DATA, VECTOR_ITEMS, &options, &c->buckets));
    DPO_TRY(dpo_exchange_create(c->grid, DPO_DATA, DPO_TRANSPORT_AUTO, c->n_rows,
                                bench->options->config->d_model, 1, &c->exchange));
    dpo_log_info("buckets: %s", dpo_buckets_describe(c->buckets));
    dpo_log_info("exchange: %s", dpo_transport_name(dpo_exchange_transport(c->exchange)));
    return DPO_OK;
}

static void destroy(collectives *c)
{
    dpo_exchange_destroy(&c->exchange);
    dpo_buckets_destroy(&c->buckets);
    dpo_free(c->own);
    dpo_free(c->vector);
}

static dpo_status measure(dpo_bench *bench, collectives *c)
{
    double n_ranks = (double)dpo_grid_size(bench->grid, DPO_WORLD);
    double vector_bytes = (double)VECTOR_ITEMS * sizeof(float) / n_ranks;
    double rows_bytes =
        (double)(c->n_rows * bench->options->config->d_model) * sizeof(float) / n_ranks;
    const struct {
        const char *name;
        dpo_bench_function *run;
        const char *unit;
        double amount; /* of all ranks, over their number */
    } table[] = {
        {"gradient buckets, sum", bucket_sum, "B/s", vector_bytes},
        {"gradient buckets, gather", bucket_gather, "B/s", vector_bytes},
        {"tensor-parallel rows, gather", exchange_gather, "B/s", rows_bytes},
        {"tensor-parallel rows, sum", exchange_reduce, "B/s", rows_bytes},
        {"sum of 16 numbers", sum_numbers, "calls/s", 1.0 / n_ranks},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const dpo_bench_case row = {.group = "collectives",
                                    .name = table[i].name,
                                    .unit = table[i].unit,
                                    .amount = table[i].amount};

        DPO_TRY(dpo_bench_measure(bench, &row, table[i].run, c));
    }
    return DPO_OK;
}

dpo_status dpo_bench_collectives(dpo_bench *bench)
{
    collectives c = {0};
    dpo_status status = create(bench, &c);

    if (status == DPO_OK) status = measure(bench, &c);
    destroy(&c);
    return status;
}
