// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/store/safetensors.h"
#include "model_private.h"

static const char head_name[] = "lm_head.weight";

/* A head beside tied embeddings must repeat them: transformers unties the two if it does not. */
static dpo_status check_tied_head(const dpo_model *model, const dpo_safetensors *file,
                                  int64_t tensor, const char *folder)
{
    enum { PIECE = 4096 };
    const dpo_parameter *table = &model->parameters.row[0];
    const float *expected = model->weights + table->offset;
    float piece[PIECE];
    int64_t same;

    DPO_TRY(dpo_safetensors_get(file, head_name, table->n_dims, table->dims, &same));
    for (int64_t begin = 0; begin < table->count; begin += PIECE) {
        int64_t count = table->count - begin < PIECE ? table->count - begin : PIECE;

        DPO_TRY(dpo_safetensors_read(file, tensor, begin, count, piece));
        if (memcmp(piece, expected + begin, (size_t)count * sizeof *piece) != 0)
            return DPO_FAIL(DPO_EDATA,
                            "%s: %s differs from %s, but config.json says tie_word_embeddings; "
                            "set that to false to use both",
                            folder, head_name, table->name);
    }
    return DPO_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Whether a tensor of the file belongs to the model or may be passed over. */
static dpo_status check_tensor(const dpo_model *model, const dpo_safetensors *file, int64_t tensor,
                               const char *folder)
{
    const char *name = dpo_safetensors_at(file, tensor)->name;

    if (dpo_parameters_find(&model->parameters, name) != NULL) return DPO_OK;
    if (ends_with(name, "rotary_emb.inv_freq")) return DPO_OK;
    if (model->config.tied && strcmp(name, head_name) == 0)
        return check_tied_head(model, file, tensor, folder);
    return DPO_FAIL(DPO_EDATA,
                    "%s: tensor %s is not part of a model as config.json describes it; the weights "
                    "and the configuration do not fit",
                    folder, name);
}

static dpo_status read_all(const dpo_safetensors *file, dpo_model *model, const char *folder)
{
    const dpo_parameters *parameters = &model->parameters;

    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *row = &parameters->row[i];
        int64_t tensor;

        DPO_TRY(dpo_safetensors_get(file, row->name, row->n_dims, row->dims, &tensor));
        DPO_TRY(dpo_safetensors_read(file, tensor, 0, row->count, model->weights + row->offset));
    }
    for (int64_t tensor = 0; tensor < dpo_safetensors_count(file); tensor++)
        DPO_TRY(check_tensor(model, file, tensor, folder));
    return DPO_OK;
}

dpo_status dpo_model_load(const dpo_grid *grid, dpo_model *model, const char *folder)
{
    dpo_safetensors *file;
    dpo_status status;

    model->kept_tokens = -1;
    DPO_TRY(dpo_safetensors_open(grid, folder, &file));
    status = dpo_agree(grid, read_all(file, model, folder));
    dpo_safetensors_close(&file);
    return status;
}

static dpo_status digest_all(const dpo_model *model, dpo_digest *digest)
{
    const dpo_parameters *parameters = &model->parameters;
    dpo_digest_state *state;

    DPO_TRY(dpo_digest_begin(&state));
    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *row = &parameters->row[i];

        dpo_digest_add(state, row->name, (int64_t)strlen(row->name) + 1);
        dpo_digest_add(state, row->dims, sizeof row->dims);
        dpo_digest_add(state, model->weights + row->offset, row->count * (int64_t)sizeof(float));
    }
    *digest = dpo_digest_end(&state);
    return DPO_OK;
}

dpo_status dpo_model_digest(const dpo_grid *grid, const dpo_model *model, dpo_digest *digest)
{
    *digest = (dpo_digest){0};
    DPO_TRY(dpo_agree(grid, digest_all(model, digest)));
    return dpo_agree_on(grid, "the digest of the model's weights", (int64_t)(digest->low >> 1));
}
