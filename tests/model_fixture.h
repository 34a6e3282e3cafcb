// SPDX-License-Identifier: Apache-2.0
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H

#include <stdlib.h>

#include "dpo/base/random.h"
#include "dpo/model/model.h"
#include "mpi_test.h"

/* A model small enough for finite differences, with no two sizes alike. */
static inline dpo_model_config tiny_config(bool tied)
{
    dpo_model_config config = {.n_layers = 2,
                               .d_model = 24,
                               .n_heads = 4,
                               .n_kv_heads = 2,
                               .head_dim = 6,
                               .d_ff = 40,
                               .n_vocab = 50,
                               .max_positions = 64,
                               .norm_eps = 1e-5,
                               .tied = tied,
                               .bos = -1,
                               .padding = -1};

    config.rope = (dpo_rotary_options){.head_dim = 6, .max_positions = 64, .theta = 10000};
    return config;
}

enum { MAX_TOKENS = 60, MAX_ROWS = 70, MAX_SEGMENTS = 16 };

/* Random weights: norms around 1, embeddings of size 1, other matrices so that a layer's output
   has the size of its input. */
static inline void fill_weights(dpo_model *model, uint64_t seed)
{
    const dpo_parameters *parameters = dpo_model_parameters(model);
    float *weights = dpo_model_weights(model);

    for (int64_t i = 0; i < parameters->n_rows; i++) {
        const dpo_parameter *row = &parameters->row[i];
        double spread = i == 0 ? 1 : row->n_dims == 1 ? 0.2 : 1 / sqrt((double)row->dims[1]);

        for (int64_t k = 0; k < row->count; k++)
            weights[row->offset + k] =
                (float)((row->n_dims == 1) + spread * dpo_random_normal(seed, DPO_STREAM_TEST,
                                                                        (uint32_t)i, (uint64_t)k));
    }
}

static inline dpo_model *tiny_model(bool tied, bool trainable, int64_t logits_bytes)
{
    dpo_model_config config = tiny_config(tied);
    dpo_model_limits limits = {.max_tokens = MAX_TOKENS,
                               .max_rows = MAX_ROWS,
                               .logits_bytes = logits_bytes,
                               .trainable = trainable};
    dpo_model *model;

    ASSERT_OK(dpo_model_create(test_grid, &config, &limits, &model));
    fill_weights(model, 1);
    return model;
}

/* A batch with room for its arrays. */
typedef struct {
    dpo_batch batch;
    int32_t token[MAX_TOKENS];
    int64_t begin[MAX_SEGMENTS + 1];
    int64_t parent[MAX_SEGMENTS];
    int64_t row[MAX_ROWS];
    int32_t target[MAX_ROWS];
} test_batch;

static inline void clear_batch(test_batch *b)
{
    memset(b, 0, sizeof *b);
    b->batch.token = b->token;
    b->batch.segments = (dpo_segments){.begin = b->begin, .parent = b->parent};
    b->batch.row = b->row;
    b->batch.target = b->target;
}

/* Appends a segment and returns its number. */
static inline int64_t add_segment(test_batch *b, int64_t parent, int64_t n, const int32_t *token)
{
    int64_t segment = b->batch.segments.n_segments++;

    assert_true(segment < MAX_SEGMENTS && b->batch.n_tokens + n <= MAX_TOKENS);
    memcpy(b->token + b->batch.n_tokens, token, (size_t)n * sizeof *token);
    b->batch.n_tokens += n;
    b->begin[segment + 1] = b->batch.n_tokens;
    b->parent[segment] = parent;
    return segment;
}

static inline void add_row(test_batch *b, int64_t row, int32_t target)
{
    assert_true(b->batch.n_rows < MAX_ROWS);
    b->row[b->batch.n_rows] = row;
    b->target[b->batch.n_rows++] = target;
}

/* Appends a response and the rows that predict its tokens. */
static inline void add_response(test_batch *b, int64_t prompt, int64_t n, const int32_t *token)
{
    int64_t segment = add_segment(b, prompt, n, token);

    for (int64_t i = 0; i < n; i++)
        add_row(b, i == 0 ? b->begin[prompt + 1] - 1 : b->begin[segment] + i - 1, token[i]);
}

/* Random token ids below n_vocab. */
static inline void random_tokens(uint32_t major, int64_t n, int32_t n_vocab, int32_t *token)
{
    for (int64_t i = 0; i < n; i++)
        token[i] =
            (int32_t)(dpo_random_bits(7, DPO_STREAM_TEST, major, (uint64_t)i) % (uint64_t)n_vocab);
}

static inline void random_coefficients(int64_t n, float *coefficient)
{
    for (int64_t i = 0; i < n; i++)
        coefficient[i] = (float)dpo_random_normal(9, DPO_STREAM_TEST, 0, (uint64_t)i);
}

enum { N_SYSTEM = 3, N_QUESTION = 5, N_RESPONSES = 4 };

static const int64_t response_tokens[N_RESPONSES] = {7, 1, 4, 6};

/* A forest: a system prompt with a prompt with two responses, and a prompt with two responses. */
static inline void make_forest(test_batch *b)
{
    int32_t token[16];
    int64_t prompt;

    clear_batch(b);
    random_tokens(0, N_SYSTEM, 50, token);
    prompt = add_segment(b, -1, N_SYSTEM, token);
    for (uint32_t i = 0; i < N_RESPONSES; i++) {
        if (i % 2 == 0) {
            random_tokens(10 + i, N_QUESTION, 50, token);
            prompt = add_segment(b, i == 0 ? prompt : -1, N_QUESTION, token);
        }
        random_tokens(20 + i, response_tokens[i], 50, token);
        add_response(b, prompt, response_tokens[i], token);
    }
}

static inline double loss_of(dpo_model *model, const dpo_batch *batch, const float *coefficient)
{
    float logp[MAX_ROWS];
    double loss = 0;

    dpo_model_forward(model, batch, logp);
    for (int64_t r = 0; r < batch->n_rows; r++)
        loss += (double)coefficient[r] * (double)logp[r];
    return loss;
}

/* Forward and backward pass over the forest, for random coefficients [MAX_ROWS]. */
static inline void differentiate_forest(dpo_model *model, test_batch *b, float *coefficient)
{
    make_forest(b);
    random_coefficients(b->batch.n_rows, coefficient);
    (void)loss_of(model, &b->batch, coefficient);
    dpo_model_backward(model, &b->batch, coefficient, NULL);
}

/* Largest difference of the gradients, relative to the norm of the first. */
static inline double gradient_distance(dpo_model *a, dpo_model *b)
{
    const float *ga = dpo_model_gradients(a), *gb = dpo_model_gradients(b);
    double difference = 0, norm = 0;

    for (int64_t k = 0; k < dpo_model_parameters(a)->n_elements; k++) {
        difference += ((double)ga[k] - (double)gb[k]) * ((double)ga[k] - (double)gb[k]);
        norm += (double)ga[k] * (double)ga[k];
    }
    assert_true(norm > 0);
    return sqrt(difference / norm);
}

#endif
