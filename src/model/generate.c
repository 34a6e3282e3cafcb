// SPDX-License-Identifier: Apache-2.0
#include "dpo/model/generate.h"

#include "dpo/base/memory.h"
#include "dpo/math/elementary.h"
#include "model_private.h"
#include "sampling.h"

/*
 * Invariant: the first `length` rows of every cache hold the keys and values of the first `length`
 * tokens of the sequence; length <= max_length.
 */
struct dpo_generator {
    dpo_model *model; /* borrowed */
    int64_t max_length;
    int64_t length;
    dpo_arena arena;          /* owned; holds what follows */
    float *key;               /* [L, max_length, K E], K kv-heads of this rank */
    float *value;             /* [L, max_length, K E] */
    float *logits;            /* [V] */
    dpo_candidate *candidate; /* [V] */
};

/* Columns of a rank's keys: K E. */
static int64_t key_width(const dpo_model *model)
{
    return dpo_range_length(model->partition.kv_heads) * model->config.head_dim;
}

static void lay_out(const dpo_model *model, dpo_generator *g)
{
    const dpo_model_config *c = &model->config;
    int64_t cache = c->n_layers * g->max_length * key_width(model);

    g->key = dpo_arena_take(&g->arena, cache, sizeof *g->key);
    g->value = dpo_arena_take(&g->arena, cache, sizeof *g->value);
    g->logits = dpo_arena_take(&g->arena, c->n_vocab, sizeof *g->logits);
    g->candidate = dpo_arena_take(&g->arena, c->n_vocab, sizeof *g->candidate);
}

dpo_status dpo_generator_create(dpo_model *model, int64_t max_length, dpo_generator **generator)
{
    dpo_status status;

    *generator = NULL;
    if (max_length < 1 || max_length > model->limits.max_positions)
        return DPO_FAIL(DPO_EUSAGE,
                        "texts of %lld tokens do not fit into the model's %lld positions; ask for "
                        "shorter ones",
                        (long long)max_length, (long long)model->limits.max_positions);
    DPO_TRY(DPO_NEW(*generator, 1));
    (*generator)->model = model;
    (*generator)->max_length = max_length;
    lay_out(model, *generator);
    status = dpo_arena_create((*generator)->arena.used_bytes, &(*generator)->arena);
    if (status == DPO_OK) lay_out(model, *generator);
    if (status != DPO_OK) dpo_generator_destroy(generator);
    return status;
}

void dpo_generator_destroy(dpo_generator **generator)
{
    if (*generator == NULL) return;
    dpo_arena_destroy(&(*generator)->arena);
    dpo_free(*generator);
    *generator = NULL;
}

/* First row of a layer in a cache. */
static float *of_layer(const dpo_generator *g, float *cache, int64_t layer)
{
    return cache + layer * g->max_length * key_width(g->model);
}

/* Copies keys and values of the first n tokens out of a block's qkv. */
static void fill_cache(const dpo_generator *g, int64_t layer, int64_t n)
{
    int64_t d_query = dpo_heads_width(g->model), d_key = key_width(g->model);
    const char *qkv = g->model->block[layer].act.qkv;
    float *key = of_layer(g, g->key, layer), *value = of_layer(g, g->value, layer);
    dpo_element element = g->model->limits.activations;
    int64_t bytes = dpo_element_bytes(element);

    for (int64_t t = 0; t < n; t++) {
        const char *keys = qkv + (t * (d_query + 2 * d_key) + d_query) * bytes;

        dpo_widen_run(element, d_key, keys, key + t * d_key);
        dpo_widen_run(element, d_key, keys + d_key * bytes, value + t * d_key);
    }
}

/* One segment of n tokens, the last of which predicts. */
static void run_prompt(dpo_generator *g, int64_t n, const int32_t *token)
{
    dpo_model *model = g->model;
    int64_t begin[2] = {0, n}, parent = -1, row = n - 1;
    dpo_batch batch = {.n_tokens = n,
                       .token = token,
                       .segments = {.n_segments = 1, .begin = begin, .parent = &parent},
                       .n_rows = 1,
                       .row = &row,
                       .target = token};

    dpo_segments_positions(&batch.segments, model->scratch.position);
    dpo_model_embed(model, &batch);
    for (int64_t layer = 0; layer < model->config.n_layers; layer++) {
        dpo_block_forward(model, &batch, layer);
        fill_cache(g, layer, n);
    }
    g->length = n;
}

/* One more token, behind those in the cache. */
static void run_token(dpo_generator *g, int32_t token)
{
    dpo_model *model = g->model;
    int64_t row = 0;
    dpo_batch batch = {.n_tokens = 1, .token = &token, .n_rows = 1, .row = &row};

    model->scratch.position[0] = (int32_t)g->length;
    dpo_model_embed(model, &batch);
    for (int64_t layer = 0; layer < model->config.n_layers; layer++)
        dpo_block_decode(model, &batch, layer, g->length, of_layer(g, g->key, layer),
                         of_layer(g, g->value, layer));
    g->length++;
}

static bool is_stop(const dpo_sampling *sampling, int32_t token)
{
    for (int64_t i = 0; i < sampling->n_stops; i++)
        if (sampling->stop[i] == token) return true;
    return false;
}

static void check(const dpo_generator *g, int64_t n_prompt, const int32_t *prompt,
                  const dpo_sampling *sampling)
{
    DPO_ASSERT(n_prompt > 0 && n_prompt <= g->max_length);
    DPO_ASSERT(sampling->temperature >= 0 && sampling->top_k >= 0);
    DPO_ASSERT(sampling->top_p > 0 && sampling->top_p <= 1);
    for (int64_t i = 0; i < n_prompt; i++)
        DPO_ASSERT(prompt[i] >= 0 && prompt[i] < g->model->config.n_vocab);
}

int64_t dpo_generator_run(dpo_generator *g, int64_t n_prompt, const int32_t *prompt,
                          const dpo_sampling *sampling, int32_t *token)
{
    int64_t max_tokens = g->model->limits.max_tokens, n_new = 0;
    int64_t n_first = n_prompt < max_tokens ? n_prompt : max_tokens;

    check(g, n_prompt, prompt, sampling);
    g->model->kept_tokens = -1;
    dpo_model_round_weights(g->model);
    run_prompt(g, n_first, prompt);
    for (int64_t i = n_first; i < n_prompt; i++)
        run_token(g, prompt[i]);
    while (n_new < sampling->max_new_tokens) {
        dpo_model_final_norm(g->model, 1);
        token[n_new] = dpo_model_next_token(g->model, sampling, n_new, g->logits, g->candidate);
        n_new++;
        if (is_stop(sampling, token[n_new - 1]) || n_prompt + n_new >= g->max_length) break;
        if (n_new < sampling->max_new_tokens) run_token(g, token[n_new - 1]);
    }
    return n_new;
}
