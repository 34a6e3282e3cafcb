// SPDX-License-Identifier: Apache-2.0
/*
 * Decoding one text on each rank. Every new token reads all weights once, so the memory bounds it; the
 * key-value cache of a short text is not counted.
 */
#include "dpo/model/generate.h"

#include "bench_private.h"
#include "dpo/base/memory.h"
#include "dpo/math/elementary.h"
#include "dpo/scaling/flops.h"

enum { NEW_TOKENS = 32 };

typedef struct {
    dpo_model *model;         /* owned */
    dpo_generator *generator; /* owned */
    int32_t token[NEW_TOKENS];
} decoder;

static void decode(void *context)
{
    decoder *d = context;
    const int32_t prompt = 0;
    const dpo_sampling sampling = {.top_p = 1.0, .max_new_tokens = NEW_TOKENS};

    (void)dpo_generator_run(d->generator, 1, &prompt, &sampling, d->token);
}

static dpo_status create(const dpo_bench *bench, decoder *d)
{
    const dpo_model_limits limits = {
        .max_tokens = 1, .max_rows = 1, .max_positions = NEW_TOKENS + 1};

    DPO_TRY(dpo_model_create(bench->grid, bench->options->config, &limits, &d->model));
    dpo_fill_run(dpo_model_parameters(d->model)->n_elements, 0.01f, dpo_model_weights(d->model));
    return dpo_agree(bench->grid, dpo_generator_create(d->model, NEW_TOKENS + 1, &d->generator));
}

/* A multiply-add of the linear layers and the head reads one weight. */
static double bytes_per_token(const dpo_model_config *config)
{
    const dpo_work work = {.tokens = 1.0, .rows = 1.0};

    return 0.5 * dpo_forward_flops(config, &work) * sizeof(float);
}

dpo_status dpo_bench_generate(dpo_bench *bench)
{
    const dpo_bench_case row = {.group = "generate",
                                .name = "decode, a text on each rank",
                                .unit = "tokens/s",
                                .bound = DPO_BOUND_MEMORY,
                                .amount = NEW_TOKENS,
                                .per_item = bytes_per_token(bench->options->config)};
    decoder d = {0};
    dpo_status status = create(bench, &d);

    if (status == DPO_OK) status = dpo_bench_measure(bench, &row, decode, &d);
    dpo_generator_destroy(&d.generator);
    dpo_model_destroy(&d.model);
    return status;
}
