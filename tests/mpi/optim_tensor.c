// SPDX-License-Identifier: Apache-2.0
/*
 * Updates of a model that tensor-parallel ranks share, on every grid of the ranks there are: they are those of
 * one rank that has all of it. Muon's matrices come together before anything is computed, and what
 * goes item by item sees no other: the same bits. LAMB and LARS add up norms in blocks of
 * other places: the same to rounding.
 */
#include "model_fixture.h"
#include "optim_fixture.h"

enum { MAX_RANGES = 16 };

/* One rank's share of the model and of its optimizer. */
typedef struct {
    dpo_parameters parameters;
    dpo_range range[MAX_RANGES];
    dpo_shard shard;
    float *weights, *gradients; /* flat */
} share;

static void make_share(const dpo_grid *grid, int tensor_size, bool all_on_first, share *s)
{
    dpo_model_config config = tiny_config(false);
    dpo_partition partition;
    int rank = dpo_grid_rank(grid, DPO_DATA), size = dpo_grid_size(grid, DPO_DATA);

    memset(s, 0, sizeof *s);
    ASSERT_OK(dpo_partition_make(
        &config, tensor_size, tensor_size == 1 ? 0 : dpo_grid_rank(grid, DPO_TENSOR), &partition));
    ASSERT_OK(dpo_parameters_create(&config, &partition, &s->parameters));
    int64_t n = s->parameters.n_elements;

    s->shard.range = s->range;
    for (int64_t at = 0; at < n; at += DPO_SHARD_BLOCK) {
        dpo_range block = {at, at + DPO_SHARD_BLOCK < n ? at + DPO_SHARD_BLOCK : n};
        int owner = all_on_first ? 0 : (int)(at / DPO_SHARD_BLOCK % size);

        if (owner != rank) continue;
        s->range[s->shard.n_ranges++] = block;
        s->shard.n_elements += dpo_range_length(block);
    }
    ASSERT_OK(DPO_NEW(s->weights, n));
    ASSERT_OK(DPO_NEW(s->gradients, n));
}

static void free_share(share *s)
{
    dpo_parameters_destroy(&s->parameters);
    dpo_free(s->weights);
    dpo_free(s->gradients);
}

/* Numbers of the whole tensors, whoever holds which part. */
typedef struct {
    uint32_t update; /* 0: weights */
    float *values;
} filling;

static dpo_status fill_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                           int64_t local_begin)
{
    const filling *f = context;

    for (int64_t i = 0; i < count; i++)
        f->values[local_begin + i] = (float)dpo_random_normal(
            f->update, DPO_STREAM_TEST, (uint32_t)row, (uint64_t)(global_begin + i));
    return DPO_OK;
}

static void fill(const share *s, uint32_t update, float *values)
{
    filling f = {update, values};
    dpo_range all = {0, s->parameters.n_elements};

    ASSERT_OK(dpo_parameters_for_each_run(&s->parameters, all, DPO_HELD, fill_run, &f));
}

static void run_updates(const dpo_grid *grid, const dpo_optimizer_method *method, share *s)
{
    dpo_optimizer *optimizer;
    dpo_optimizer_options options = method->initial;

    options.weight_decay = 0.1;
    ASSERT_OK(dpo_optimizer_create(grid, method, &options, &s->parameters, &s->shard, &optimizer));
    fill(s, 0, s->weights);
    for (uint32_t u = 1; u <= 3; u++) {
        dpo_optimizer_update update = {0.01, 0.7, s->gradients, s->weights};

        fill(s, u, s->gradients);
        dpo_optimizer_run(optimizer, &update);
    }
    dpo_optimizer_destroy(&optimizer);
}

/* The largest difference of a rank's shard from the whole. */
typedef struct {
    const share *whole, *part;
    double largest;
} comparison;

static dpo_status compare_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                              int64_t local_begin)
{
    comparison *c = context;
    const float *want = c->whole->weights + c->whole->parameters.row[row].offset + global_begin;

    for (int64_t i = 0; i < count; i++) {
        double distance = fabs((double)c->part->weights[local_begin + i] - (double)want[i]);

        if (distance > c->largest) c->largest = distance;
    }
    return DPO_OK;
}

static double difference(const share *whole, const share *part)
{
    comparison c = {whole, part, 0.0};

    for (int64_t i = 0; i < part->shard.n_ranges; i++)
        ASSERT_OK(dpo_parameters_for_each_run(&part->parameters, part->shard.range[i], DPO_HELD,
                                              compare_run, &c));
    return c.largest;
}

static void check_grid(const dpo_optimizer_method *method, int tensor_size, const share *whole)
{
    dpo_grid *grid;
    share part;

    ASSERT_OK(dpo_grid_create(tensor_size, &grid));
    make_share(grid, tensor_size, false, &part);
    run_updates(grid, method, &part);
    double worst = difference(whole, &part);
    bool adds_norms = strcmp(method->name, "lamb") == 0 || strcmp(method->name, "lars") == 0;

    if (!all_true(worst <= (adds_norms ? 1e-6 : 0.0)))
        fail_msg("%s on tensor width %d: weights differ by %g", method->name, tensor_size, worst);
    free_share(&part);
    dpo_grid_destroy(&grid);
}

static void every_grid_makes_the_updates_of_one_rank(void **state)
{
    (void)state;
    int n_methods;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n_methods);
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    for (int k = 0; k < n_methods; k++) {
        share whole;

        make_share(test_grid, 1, true, &whole);
        run_updates(test_grid, &table[k], &whole);
        dpo_broadcast(test_grid, DPO_WORLD, 0, whole.parameters.n_elements * (int64_t)sizeof(float),
                      whole.weights);
        for (int tensor_size = 1; tensor_size <= size; tensor_size *= 2)
            check_grid(&table[k], tensor_size, &whole);
        free_share(&whole);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_grid_makes_the_updates_of_one_rank),
};

MPI_TEST_MAIN(tests)
