// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "dpo/comm/collective.h"
#include "dpo/store/safetensors.h"
#include "model_private.h"

static const char head_name[] = "lm_head.weight";

/* A folder and the model that its weights go to. */
typedef struct {
    const dpo_safetensors *file;
    dpo_model *model;
    const char *folder;
} loading;

/* A head beside tied embeddings must repeat them: transformers unties the two if it does not. */
static dpo_status check_tied_head(const loading *l, int64_t tensor)
{
    enum { PIECE = 4096 };
    const dpo_parameter *table = &l->model->parameters.row[0];
    const float *expected = l->model->weights + table->offset;
    int64_t first = table->held.begin * table->dims[1];
    float piece[PIECE];
    int64_t same;

    DPO_TRY(dpo_safetensors_get(l->file, head_name, table->n_dims, table->dims, &same));
    for (int64_t begin = 0; begin < table->count; begin += PIECE) {
        int64_t count = table->count - begin < PIECE ? table->count - begin : PIECE;

        DPO_TRY(dpo_safetensors_read(l->file, tensor, first + begin, count, piece));
        if (memcmp(piece, expected + begin, (size_t)count * sizeof *piece) != 0)
            return DPO_FAIL(DPO_EDATA,
                            "%s: %s differs from %s, but config.json says tie_word_embeddings; "
                            "set that to false to use both",
                            l->folder, head_name, table->name);
    }
    return DPO_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Whether a tensor of the file belongs to the model or may be passed over. */
static dpo_status check_tensor(const loading *l, int64_t tensor)
{
    const char *name = dpo_safetensors_at(l->file, tensor)->name;

    if (dpo_parameters_find(&l->model->parameters, name) != NULL) return DPO_OK;
    if (ends_with(name, "rotary_emb.inv_freq")) return DPO_OK;
    if (l->model->config.tied && strcmp(name, head_name) == 0) return check_tied_head(l, tensor);
    return DPO_FAIL(DPO_EDATA,
                    "%s: tensor %s is not part of a model as config.json describes it; the weights "
                    "and the configuration do not fit",
                    l->folder, name);
}

static dpo_status read_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                           int64_t local_begin)
{
    loading *l = context;
    const dpo_parameter *parameter = &l->model->parameters.row[row];
    int64_t tensor;

    DPO_TRY(
        dpo_safetensors_get(l->file, parameter->name, parameter->n_dims, parameter->dims, &tensor));
    return dpo_safetensors_read(l->file, tensor, global_begin, count,
                                l->model->weights + local_begin);
}

static dpo_status read_all(loading *l)
{
    const dpo_parameters *parameters = &l->model->parameters;

    DPO_TRY(dpo_parameters_for_each_run(parameters, (dpo_range){0, parameters->n_elements},
                                        DPO_HELD, read_run, l));
    for (int64_t tensor = 0; tensor < dpo_safetensors_count(l->file); tensor++)
        DPO_TRY(check_tensor(l, tensor));
    return DPO_OK;
}

dpo_status dpo_model_load(const dpo_grid *grid, dpo_model *model, const char *folder)
{
    dpo_safetensors *file;

    model->kept_tokens = -1;
    model->is_rounded = false;
    DPO_TRY(dpo_safetensors_open(grid, folder, &file));
    loading l = {file, model, folder};
    dpo_status status = dpo_agree(grid, read_all(&l));

    dpo_safetensors_close(&file);
    return status;
}

/* Digests of names and shapes, and sums over the elements that this rank digests. */
typedef struct {
    const dpo_model *model;
    dpo_digest sum;
} digesting;

static dpo_status digest_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                             int64_t local_begin)
{
    digesting *d = context;

    dpo_digest_add_elements((uint64_t)row, global_begin, count, d->model->weights + local_begin,
                            &d->sum);
    return DPO_OK;
}

static dpo_digest digest_shapes(const dpo_parameters *parameters)
{
    dpo_digest digest = {0};

    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *row = &parameters->row[i];

        digest = dpo_digest_join(digest, dpo_digest_of(row->name, (int64_t)strlen(row->name)));
        digest = dpo_digest_join(digest, dpo_digest_of(row->dims, sizeof row->dims));
    }
    return digest;
}

/* Every data-parallel rank digests all of its weights, so that other ones are noticed. */
dpo_status dpo_model_digest(const dpo_grid *grid, const dpo_model *model, dpo_digest *digest)
{
    const dpo_parameters *parameters = &model->parameters;
    dpo_range all = {0, parameters->n_elements};
    digesting d = {.model = model};
    dpo_status status = dpo_parameters_for_each_run(parameters, all, DPO_COUNTED, digest_run, &d);
    int64_t halves[2] = {(int64_t)d.sum.low, (int64_t)d.sum.high};

    DPO_TRY(dpo_agree(grid, status));
    dpo_sum_i64(grid, DPO_TENSOR, 2, halves);
    *digest = dpo_digest_join(digest_shapes(parameters),
                              (dpo_digest){(uint64_t)halves[0], (uint64_t)halves[1]});
    return dpo_agree_on(grid, "the digest of the model's weights", (int64_t)(digest->low >> 1));
}
