// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/export.h"

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/train/model_source.h"

dpo_status dpo_export_model(const dpo_grid *grid, const dpo_model *model, const char *source_folder,
                            const char *folder, const dpo_run_config *run)
{
    const dpo_tensor_type types[] = {DPO_TENSOR_F32, DPO_TENSOR_BF16,
                                     dpo_model_config_of(model)->type}; /* order of export.dtype */

    return dpo_model_export(grid, model, source_folder, folder, types[run->export_.dtype]);
}

static dpo_status export_source(const dpo_grid *grid, const dpo_model_source *source,
                                const dpo_run_config *run)
{
    const char *folder = run->model != NULL ? run->model : source->folder;
    const dpo_model_limits limits = {.max_tokens = 1, .max_rows = 1};
    dpo_model_config config;
    dpo_model *model;

    DPO_TRY(dpo_model_config_read(grid, folder, &config));
    DPO_TRY(dpo_model_create(grid, &config, &limits, &model));
    dpo_status status = dpo_model_source_load(grid, source, model);

    if (status == DPO_OK) status = dpo_export_model(grid, model, folder, run->out, run);
    if (status == DPO_OK) dpo_log_info("model folder %s", run->out);
    dpo_model_destroy(&model);
    return status;
}

dpo_status dpo_export_checkpoint(const dpo_grid *grid, const char *checkpoint,
                                 const dpo_run_config *run)
{
    dpo_model_source source;

    if (run->out == NULL)
        return DPO_FAIL(DPO_EUSAGE, "out: is required; name the new model folder (--out DIR)");
    DPO_TRY(dpo_model_source_find(grid, "export", checkpoint, &source));
    dpo_status status = export_source(grid, &source, run);

    dpo_model_source_destroy(&source);
    return status;
}
