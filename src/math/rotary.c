// SPDX-License-Identifier: Apache-2.0
/* Frequencies, table and the loop over rows; the turn itself is in kernels/elementwise.c. */
#include "dpo/math/rotary.h"

#include <math.h>

#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "element_rows.h"

enum { PARALLEL_FROM = 1 << 14, MAX_HEAD_DIM = 1024 };

struct dpo_rotary {
    int64_t max_positions, n_pairs; /* n_pairs = E / 2 */
    dpo_element elements;
    float *cosine, *sine; /* [max_positions, n_pairs] */
};

/* The published Llama 3.1 rule: a ramp in the number of wavelengths that fit the old context. */
static double llama3_frequency(const dpo_rotary_options *options, double frequency)
{
    const double two_pi = 6.283185307179586476925;
    double turns = options->original_max_positions * frequency / two_pi;
    double low = options->low_freq_factor, high = options->high_freq_factor;
    double kept = fmin(fmax((turns - low) / (high - low), 0.0), 1.0);

    return frequency * (kept + (1.0 - kept) / options->factor);
}

/* 1 / theta^(2i/E), rounded to f32 at every operation, as in the pretraining of the models. */
static double frequency_of_pair(const dpo_rotary_options *options, int64_t pair)
{
    float exponent = (float)(2 * pair) / (float)options->head_dim;
    double frequency = (double)(1.0f / (float)pow(options->theta, (double)exponent));

    switch (options->scaling) {
    case DPO_ROPE_LINEAR:
        return frequency / options->factor;
    case DPO_ROPE_LLAMA3:
        return llama3_frequency(options, frequency);
    case DPO_ROPE_PLAIN:
        break;
    }
    return frequency;
}

static dpo_status allocate(dpo_rotary *rotary)
{
    DPO_TRY(DPO_NEW(rotary->cosine, rotary->max_positions * rotary->n_pairs));
    return DPO_NEW(rotary->sine, rotary->max_positions * rotary->n_pairs);
}

dpo_status dpo_rotary_create(const dpo_rotary_options *options, dpo_rotary **rotary)
{
    DPO_ASSERT(options->head_dim > 0 && options->head_dim % 2 == 0 && options->theta > 0);
    DPO_ASSERT(options->max_positions > 0);
    DPO_ASSERT(options->elements == DPO_F32 || options->head_dim <= MAX_HEAD_DIM);
    int64_t n_pairs = options->head_dim / 2;

    DPO_TRY(DPO_NEW(*rotary, 1));
    (*rotary)->max_positions = options->max_positions;
    (*rotary)->n_pairs = n_pairs;
    (*rotary)->elements = options->elements;
    dpo_status status = allocate(*rotary);

    if (status != DPO_OK) {
        dpo_rotary_destroy(rotary);
        return status;
    }
    for (int64_t pair = 0; pair < n_pairs; pair++) {
        float frequency = (float)frequency_of_pair(options, pair);

        for (int64_t position = 0; position < options->max_positions; position++) {
            float angle = frequency * (float)position;

            (*rotary)->cosine[position * n_pairs + pair] = (float)cos((double)angle);
            (*rotary)->sine[position * n_pairs + pair] = (float)sin((double)angle);
        }
    }
    return DPO_OK;
}

void dpo_rotary_destroy(dpo_rotary **rotary)
{
    if (*rotary == NULL) return;
    dpo_free((*rotary)->cosine);
    dpo_free((*rotary)->sine);
    dpo_free(*rotary);
    *rotary = NULL;
}

/* One row, all heads that are to be turned. */
static void turn_row(const dpo_rotary *rotary, const dpo_kernels *kernels, int32_t position,
                     int64_t n_heads, float sign, void *row)
{
    int64_t n_pairs = rotary->n_pairs, head_dim = 2 * n_pairs;
    const float *cosine = rotary->cosine + position * n_pairs;
    const float *sine = rotary->sine + position * n_pairs;
    float buffer[MAX_HEAD_DIM];

    for (int64_t at = 0; at < n_heads * head_dim; at += head_dim) {
        float *head = dpo_begin_elements(rotary->elements, row, at, buffer);

        (void)dpo_read_elements(kernels, rotary->elements, row, at, head_dim, buffer);
        kernels->rotate(n_pairs, sign, cosine, sine, head);
        dpo_end_elements(kernels, rotary->elements, row, at, head_dim, head);
    }
}

static void turn(const dpo_rotary *rotary, int64_t n_tokens, const int32_t *position,
                 int64_t n_heads, int64_t row_width, float sign, void *rows)
{
    const dpo_kernels *kernels = dpo_kernels_get();

#pragma omp parallel for schedule(static) if (n_tokens * row_width >= PARALLEL_FROM)
    for (int64_t n = 0; n < n_tokens; n++) {
        DPO_ASSERT(position[n] >= 0 && position[n] < rotary->max_positions);
        turn_row(rotary, kernels, position[n], n_heads, sign,
                 dpo_at(rotary->elements, rows, n * row_width));
    }
}

void dpo_rotary_forward(const dpo_rotary *rotary, int64_t n_tokens, const int32_t *position,
                        int64_t n_heads, int64_t row_width, void *rows)
{
    dpo_phase_begin(DPO_PHASE_ROTARY);
    turn(rotary, n_tokens, position, n_heads, row_width, 1.0f, rows);
    dpo_phase_end(DPO_PHASE_ROTARY);
}

void dpo_rotary_backward(const dpo_rotary *rotary, int64_t n_tokens, const int32_t *position,
                         int64_t n_heads, int64_t row_width, void *drows)
{
    dpo_phase_begin(DPO_PHASE_ROTARY);
    turn(rotary, n_tokens, position, n_heads, row_width, -1.0f, drows);
    dpo_phase_end(DPO_PHASE_ROTARY);
}
