// SPDX-License-Identifier: Apache-2.0
/* Whoever holds which part of the flat vector, an update has the same bits. */
#include "dpo/comm/all_to_all.h"
#include "dpo/optim/clip.h"
#include "optim_fixture.h"

enum { N_TENSORS = 7, MAX_RANGES = 64 };

/* The yardstick holds everything on rank 0; dealt is block by block, in turn or at random. */
typedef enum { ALL_ON_FIRST, IN_TURN, AT_RANDOM } division;

typedef struct {
    dpo_parameter row[N_TENSORS];
    dpo_parameters parameters;
    dpo_range range[MAX_RANGES];
    dpo_shard shard;
} fixture;

static int owner_of(division how, int64_t block)
{
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    if (how == ALL_ON_FIRST) return 0;
    if (how == IN_TURN) return (int)(block % size);
    return (int)(dpo_random_bits(3, DPO_STREAM_TEST, 0, (uint64_t)block) % (uint64_t)size);
}

static void make_shard(fixture *f, division how)
{
    int rank = dpo_grid_rank(test_grid, DPO_WORLD);
    int64_t n = f->parameters.n_elements;

    f->shard = (dpo_shard){.range = f->range};
    for (int64_t at = 0; at < n; at += DPO_SHARD_BLOCK) {
        dpo_range block = {at, at + DPO_SHARD_BLOCK < n ? at + DPO_SHARD_BLOCK : n};

        if (owner_of(how, at / DPO_SHARD_BLOCK) != rank) continue;
        assert_true(f->shard.n_ranges < MAX_RANGES);
        f->range[f->shard.n_ranges++] = block;
        f->shard.n_elements += dpo_range_length(block);
    }
}

static void make_fixture(fixture *f, division how)
{
    memset(f, 0, sizeof *f);
    f->parameters.row = f->row;
    add_tensor(&f->parameters, "model.embed_tokens.weight", 170, 60, true);
    add_tensor(&f->parameters, "model.layers.0.input_layernorm.weight", 60, 0, false);
    add_tensor(&f->parameters, "model.layers.0.self_attn.q_proj.weight", 90, 60, true);
    add_tensor(&f->parameters, "model.layers.0.self_attn.o_proj.weight", 60, 90, true);
    add_tensor(&f->parameters, "model.layers.0.mlp.up_proj.weight", 150, 60, true);
    add_tensor(&f->parameters, "model.layers.0.mlp.down_proj.weight", 60, 150, true);
    add_tensor(&f->parameters, "model.norm.weight", 60, 0, false);
    make_shard(f, how);
}

/* What a rank does not own is not read: it is NaN before and after. */
static void keep_own(const fixture *f, float *values)
{
    int64_t at = 0;

    for (int64_t i = 0; i <= f->shard.n_ranges; i++) {
        int64_t end = i < f->shard.n_ranges ? f->shard.range[i].begin : f->parameters.n_elements;

        for (; at < end; at++)
            values[at] = (float)NAN;
        at = i < f->shard.n_ranges ? f->shard.range[i].end : end;
    }
}

/* Owners' items of all ranks together. */
static void gather(const fixture *f, division how, float *values)
{
    for (int64_t at = 0; at < f->parameters.n_elements; at += DPO_SHARD_BLOCK) {
        int64_t n = f->parameters.n_elements - at;

        if (n > DPO_SHARD_BLOCK) n = DPO_SHARD_BLOCK;
        dpo_broadcast(test_grid, DPO_WORLD, owner_of(how, at / DPO_SHARD_BLOCK),
                      n * (int64_t)sizeof *values, values + at);
    }
}

/* Weights after three updates, owned by the caller; *n of them. */
static float *updated_weights(const dpo_optimizer_method *method, division how, int64_t *n)
{
    fixture f;
    dpo_optimizer *optimizer;
    dpo_optimizer_options options = method->initial;
    float *weights, *gradients;

    make_fixture(&f, how);
    *n = f.parameters.n_elements;
    options.weight_decay = 0.1;
    if (method->momentum_state >= 0) options.momentum = 0.8;
    ASSERT_OK(DPO_NEW(weights, *n));
    ASSERT_OK(DPO_NEW(gradients, *n));
    ASSERT_OK(
        dpo_optimizer_create(test_grid, method, &options, &f.parameters, &f.shard, &optimizer));
    make_numbers(0, *n, weights);
    keep_own(&f, weights);
    for (uint32_t u = 1; u <= 3; u++) {
        dpo_optimizer_update update = {0.01, 0.7, gradients, weights};

        make_numbers(u, *n, gradients);
        keep_own(&f, gradients);
        dpo_optimizer_run(optimizer, &update);
    }
    gather(&f, how, weights);
    dpo_optimizer_destroy(&optimizer);
    dpo_free(gradients);
    return weights;
}

static void every_division_gives_the_same_bits(void **state)
{
    (void)state;
    int n_methods;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n_methods);

    for (int k = 0; k < n_methods; k++) {
        int64_t n;
        float *want = updated_weights(&table[k], ALL_ON_FIRST, &n);

        for (int how = IN_TURN; how <= AT_RANDOM; how++) {
            float *got = updated_weights(&table[k], (division)how, &n);

            ASSERT_ALL(memcmp(got, want, (size_t)n * sizeof *got) == 0);
            dpo_free(got);
        }
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(want[i])) fail_msg("%s: weight %d", table[k].name, (int)i);
        dpo_free(want);
    }
}

static void every_division_gives_the_same_norm(void **state)
{
    (void)state;
    double norm[3];

    for (int how = ALL_ON_FIRST; how <= AT_RANDOM; how++) {
        fixture f;
        float *gradients;
        dpo_exact_sum squares = {0};

        make_fixture(&f, (division)how);
        ASSERT_OK(DPO_NEW(gradients, f.parameters.n_elements));
        make_numbers(1, f.parameters.n_elements, gradients);
        keep_own(&f, gradients);
        dpo_clip_add_squares(&f.parameters, &f.shard, gradients, &squares);
        norm[how] = dpo_clip_norm(test_grid, &squares);
        dpo_free(gradients);
    }
    ASSERT_ALL(norm[0] == norm[1] && norm[0] == norm[2]);
    ASSERT_ALL(fabs(norm[0] - sqrt(39000.0)) < 3.0);
}

static void one_bad_item_is_seen_by_all(void **state)
{
    (void)state;
    int rank = dpo_grid_rank(test_grid, DPO_WORLD);
    dpo_exact_sum squares = {0};

    dpo_exact_sum_add(&squares,
                      rank == dpo_grid_size(test_grid, DPO_WORLD) - 1 ? (double)NAN : 1.0);
    ASSERT_ALL(isnan(dpo_clip_norm(test_grid, &squares)));
}

/* Rank r has r + s + 1 bytes "r" for rank s. */
static void every_rank_gets_what_the_others_have_for_it(void **state)
{
    (void)state;
    enum { MAX_RANKS = 16 };
    int size = dpo_grid_size(test_grid, DPO_WORLD);
    int rank = dpo_grid_rank(test_grid, DPO_WORLD);
    int64_t n_send[MAX_RANKS], n_receive[MAX_RANKS];
    char send[MAX_RANKS * 2 * MAX_RANKS], receive[MAX_RANKS * 2 * MAX_RANKS];
    int64_t at = 0;
    int is_right = 1;

    for (int r = 0; r < size; r++)
        n_send[r] = n_receive[r] = rank + r + 1;
    memset(send, 'a' + rank, sizeof send);
    dpo_all_to_all_bytes(test_grid, DPO_WORLD, n_send, send, n_receive, receive);
    for (int r = 0; r < size; r++)
        for (int64_t i = 0; i < n_receive[r]; i++)
            is_right &= receive[at++] == 'a' + r;
    ASSERT_ALL(is_right);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_rank_gets_what_the_others_have_for_it),
    cmocka_unit_test(every_division_gives_the_same_norm),
    cmocka_unit_test(every_division_gives_the_same_bits),
    cmocka_unit_test(one_bad_item_is_seen_by_all),
};

MPI_TEST_MAIN(tests)
