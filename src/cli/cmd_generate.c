// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "command.h"
#include "dpo/base/memory.h"
#include "dpo/train/precision.h"
#include "dpo/train/samples.h"

/* Tokens of one pass over a prompt. */
enum { PREFILL_TOKENS = 512 };

static dpo_status load(dpo_call *call, const dpo_model_source *source, dpo_model **model,
                       dpo_tokenizer **tokenizer, dpo_chat_template **chat_template)
{
    dpo_model_limits limits = {.max_tokens = PREFILL_TOKENS, .max_rows = 1};
    dpo_model_config config;
    dpo_precision precision;

    DPO_TRY(dpo_precision_choose(call->grid, &call->run, &precision));
    limits.compute = precision.compute;
    limits.activations = precision.activations;
    DPO_TRY(dpo_model_config_read(call->grid, source->folder, &config));
    DPO_TRY(dpo_agree(call->grid, dpo_tokenizer_load(source->folder, tokenizer)));
    if (call->run.generate.chat)
        DPO_TRY(dpo_agree(call->grid, dpo_model_source_template(
                                          source, call->run.data.chat_template, chat_template)));
    DPO_TRY(dpo_model_create(call->grid, &config, &limits, model));
    return dpo_model_source_load(call->grid, source, *model);
}

static dpo_status write_texts(dpo_call *call, const dpo_sampler *sampler)
{
    dpo_buffer *texts;
    dpo_status status = dpo_agree(call->grid, DPO_NEW(texts, call->n_arguments));

    if (status == DPO_OK)
        status = dpo_sampler_run(sampler, call->n_arguments, (const char *const *)call->arguments,
                                 texts);
    for (int i = 0; texts != NULL && i < call->n_arguments; i++) {
        if (status == DPO_OK && dpo_grid_rank(call->grid, DPO_WORLD) == 0)
            (void)printf("%s%s\n", call->run.generate.chat ? "" : call->arguments[i],
                         dpo_buffer_text(&texts[i]));
        dpo_buffer_destroy(&texts[i]);
    }
    dpo_free(texts);
    return status;
}

dpo_status dpo_command_generate(dpo_call *call)
{
    dpo_model *model = NULL;
    dpo_tokenizer *tokenizer = NULL;
    dpo_chat_template *chat_template = NULL;
    dpo_model_source source;

    DPO_TRY(dpo_model_source_find(call->grid, "model", call->run.model, &source));
    dpo_status status = load(call, &source, &model, &tokenizer, &chat_template);

    if (status == DPO_OK) {
        const dpo_sampler sampler = {call->grid, model, tokenizer, chat_template, &call->run};

        status = write_texts(call, &sampler);
    }
    dpo_model_destroy(&model);
    dpo_chat_template_destroy(&chat_template);
    dpo_tokenizer_destroy(&tokenizer);
    dpo_model_source_destroy(&source);
    return status;
}
