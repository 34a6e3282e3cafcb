// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/model_source.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "dpo/base/memory.h"
#include "dpo/train/checkpoint.h"

static dpo_status look_at(const char *key, const char *path, int *is_folder)
{
    struct stat info;

    if (path == NULL)
        return DPO_FAIL(DPO_EUSAGE, "%s: is required; give a Hugging Face model folder", key);
    if (stat(path, &info) != 0)
        return DPO_FAIL(DPO_EIO,
                        "%s: %s: cannot be opened: %s; expected a model folder or a "
                        "checkpoint",
                        key, path, strerror(errno));
    *is_folder = S_ISDIR(info.st_mode);
    return DPO_OK;
}

dpo_status dpo_model_source_find(const dpo_grid *grid, const char *key, const char *path,
                                 dpo_model_source *source)
{
    int is_folder = 0;

    *source = (dpo_model_source){0};
    DPO_TRY(dpo_agree(grid, look_at(key, path, &is_folder)));
    DPO_TRY(dpo_agree_on(grid, path, is_folder));
    dpo_status status = dpo_text_copy(path, is_folder ? &source->folder : &source->checkpoint);

    status = dpo_agree(grid, status);
    if (status == DPO_OK && !is_folder)
        status = dpo_checkpoint_describe(grid, path, NULL, &source->folder);
    if (status != DPO_OK) dpo_model_source_destroy(source);
    return status;
}

dpo_status dpo_model_source_load(const dpo_grid *grid, const dpo_model_source *source,
                                 dpo_model *model)
{
    const dpo_checkpoint_tensors tensors = {.model = model};

    if (source->checkpoint == NULL) return dpo_model_load(grid, model, source->folder);
    return dpo_checkpoint_load(grid, source->checkpoint, &tensors, NULL);
}

dpo_status dpo_model_source_template(const dpo_model_source *source, const char *path,
                                     dpo_chat_template **chat_template)
{
    dpo_buffer text = {0};

    *chat_template = NULL;
    if (path == NULL) return dpo_chat_template_load(source->folder, chat_template);
    dpo_status status = dpo_buffer_append_file(&text, path);

    if (status == DPO_OK)
        status = dpo_chat_template_parse(path, dpo_buffer_text(&text), chat_template);
    dpo_buffer_destroy(&text);
    return status;
}

void dpo_model_source_destroy(dpo_model_source *source)
{
    dpo_free(source->folder);
    dpo_free(source->checkpoint);
    *source = (dpo_model_source){0};
}
