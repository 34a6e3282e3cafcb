// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "dpo/bench/bench.h"
#include "dpo/train/manifest.h"
#include "dpo/train/model_source.h"

/* Enough rows for the products to run at their peak, as in a training step. */
enum { DEFAULT_TOKENS = 2048 };

static dpo_status read_config(const dpo_call *call, dpo_model_config *config)
{
    dpo_model_source source;

    *config = dpo_bench_default_config();
    if (call->run.model == NULL) return DPO_OK;
    DPO_TRY(dpo_model_source_find(call->grid, "model", call->run.model, &source));
    dpo_status status = dpo_model_config_read(call->grid, source.folder, config);

    dpo_model_source_destroy(&source);
    return status;
}

dpo_status dpo_command_bench(dpo_call *call)
{
    dpo_model_config config;

    dpo_start_log(call->grid);
    DPO_TRY(read_config(call, &config));
    const dpo_bench_options options = {
        .name = call->n_arguments > 0 ? call->arguments[0] : NULL,
        .model = call->run.model,
        .config = &config,
        .n_tokens = call->run.batch.tokens > 0 ? call->run.batch.tokens : DEFAULT_TOKENS,
        .folder = call->run.out};

    return dpo_bench_run(call->grid, &options);
}
