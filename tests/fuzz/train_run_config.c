// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/base/memory.h"
#include "dpo/train/run_config.h"
#include "fuzz/fuzz_target.h"

const char *const dpo_fuzz_seeds[] = {
    "{\"model\": \"m\", \"out\": \"o\", \"data\": {\"train\": [\"a\", {\"path\": \"b\"}]}}",
    "{ // comment\n \"batch\": {\"examples\": 64}, \"optimizer\": {\"betas\": [0.9, 0.95]}}",
    "{\"schedule\": {\"name\": \"cosine\", \"min_lr\": 1e-7, \"warmup\": 0.1}, \"seed\": 1}",
    "{\"evaluate\": {\"prompts\": [\"x\"]}, \"generate\": {\"top_p\": 0.9, \"temperature\": 1}}",
    NULL,
};

/* What is accepted is, resolved and written out, accepted again, and is the same run. */
static void check_resolved(const dpo_field *fields, int n_fields, const dpo_run_config *run)
{
    dpo_json *resolved = NULL;
    dpo_json *again = NULL;
    dpo_buffer text = {0};
    dpo_config *config = NULL;
    dpo_run_config copy = {0};
    dpo_status status = dpo_config_to_json(fields, n_fields, run, &resolved);

    if (status == DPO_OK) status = dpo_json_print(resolved, true, &text);
    if (status == DPO_OK) status = dpo_config_create(fields, n_fields, &config);
    if (status == DPO_OK) status = dpo_config_add_text(config, "again", dpo_buffer_text(&text));
    if (status == DPO_OK) status = dpo_config_fill(config, &copy);
    if (status == DPO_OK) status = dpo_config_to_json(fields, n_fields, &copy, &again);
    DPO_ASSERT(status == DPO_OK);
    DPO_ASSERT(dpo_run_config_difference(resolved, again) == NULL);
    dpo_run_config_destroy(&copy);
    dpo_config_destroy(&config);
    dpo_buffer_destroy(&text);
    dpo_json_destroy(&resolved);
    dpo_json_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);
    dpo_buffer text = {0};
    dpo_config *config = NULL;
    dpo_run_config run = {0};
    dpo_status status = dpo_buffer_append(&text, data, (int64_t)n_bytes);

    if (status == DPO_OK) status = dpo_config_create(fields, n_fields, &config);
    if (status == DPO_OK) status = dpo_config_add_text(config, "fuzz", dpo_buffer_text(&text));
    if (status == DPO_OK) status = dpo_config_fill(config, &run);
    if (status == DPO_OK) status = dpo_run_config_check(config, &run, DPO_FOR_TRAIN);
    if (status == DPO_OK) check_resolved(fields, n_fields, &run);
    dpo_run_config_destroy(&run);
    dpo_config_destroy(&config);
    dpo_buffer_destroy(&text);
    return 0;
}
