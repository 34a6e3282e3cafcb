// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MODEL_SAMPLING_H
#define DPO_MODEL_SAMPLING_H

#include <stdint.h>

#include "dpo/model/generate.h"

/* A token and how likely it is. */
typedef struct {
    double probability; /* relative to the most likely one, which has 1 */
    int32_t token;
} dpo_candidate;

/* The most likely token, the lowest id among equals. */
int32_t dpo_most_likely(int64_t n_vocab, const float *logits);

/*
 * Chooses a token.
 *
 *   logits    f32 [n_vocab], finite
 *   index     number of the new token within its text: the counter of the random numbers
 *   candidate [n_vocab] scratch
 */
int32_t dpo_sample(const dpo_sampling *sampling, int64_t n_vocab, const float *logits,
                   int64_t index, dpo_candidate *candidate);

#endif
