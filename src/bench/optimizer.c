// SPDX-License-Identifier: Apache-2.0
/* An update of AdamW: gradient, two moments and weight are read, all but the gradient written. */
#include "dpo/optim/optimizer.h"

#include "bench_private.h"
#include "dpo/base/memory.h"
#include "dpo/math/elementary.h"

enum { ITEMS_PER_RANK = 1 << 23, N_MOVED = 7 };

/* One tensor, of which each rank has a part; memory is used for the part only. */
typedef struct {
    dpo_optimizer *optimizer; /* owned, as the vectors */
    float *gradients, *weights;
    dpo_parameter tensor;
    dpo_parameters parameters;
    dpo_range part;
    dpo_shard shard;
} update_bench;

static void update(void *context)
{
    update_bench *u = context;
    const dpo_optimizer_update how = {
        .lr = 1e-6, .gradient_scale = 1.0, .gradients = u->gradients, .weights = u->weights};

    dpo_optimizer_run(u->optimizer, &how);
}

static dpo_status allocate(update_bench *u)
{
    DPO_TRY(DPO_NEW(u->gradients, u->parameters.n_elements));
    DPO_TRY(DPO_NEW(u->weights, u->parameters.n_elements));
    dpo_fill_run(ITEMS_PER_RANK, 0.01f, u->gradients + u->part.begin);
    dpo_fill_run(ITEMS_PER_RANK, 0.01f, u->weights + u->part.begin);
    return DPO_OK;
}

static dpo_status create(const dpo_grid *grid, update_bench *u)
{
    int n_methods;
    const dpo_optimizer_method *adamw = dpo_optimizer_table(&n_methods);
    int64_t n = (int64_t)ITEMS_PER_RANK * dpo_grid_size(grid, DPO_DATA);
    int64_t begin = (int64_t)ITEMS_PER_RANK * dpo_grid_rank(grid, DPO_DATA);

    u->tensor = (dpo_parameter){.name = "bench",
                                .n_dims = 2,
                                .dims = {n / DPO_SHARD_BLOCK, DPO_SHARD_BLOCK},
                                .held = {0, n / DPO_SHARD_BLOCK},
                                .counted = {0, n / DPO_SHARD_BLOCK},
                                .count = n,
                                .decays = true};
    u->parameters = (dpo_parameters){1, &u->tensor, n, n};
    u->part = (dpo_range){begin, begin + ITEMS_PER_RANK};
    u->shard = (dpo_shard){1, &u->part, ITEMS_PER_RANK};
    DPO_TRY(dpo_agree(grid, allocate(u)));
    return dpo_optimizer_create(grid, adamw, &adamw->initial, &u->parameters, &u->shard,
                                &u->optimizer);
}

dpo_status dpo_bench_optimizer(dpo_bench *bench)
{
    const dpo_bench_case row = {.group = "kernels",
                                .name = "adamw",
                                .unit = "B/s",
                                .bound = DPO_BOUND_MEMORY,
                                .amount = (double)N_MOVED * (double)ITEMS_PER_RANK * sizeof(float)};
    update_bench u = {0};
    dpo_status status = create(bench->grid, &u);

    if (status == DPO_OK) status = dpo_bench_measure(bench, &row, update, &u);
    dpo_optimizer_destroy(&u.optimizer);
    dpo_free(u.gradients);
    dpo_free(u.weights);
    return status;
}
