// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_EMBEDDING_H
#define DPO_MATH_EMBEDDING_H

/**
 * \file
 * Token embedding; a rank may hold a part of the vocabulary only.
 *
 * Rows that meet in the gradient are added in the order of the tokens, whatever the number of threads.
 * Called from outside of parallel regions.
 */

#include <stdint.h>

#include "dpo/base/range.h"

/**
 * y[n] = table[token[n]], zero where the token is not in the vocabulary's local part.
 *
 * \local
 * \param[in]  n_tokens          N >= 0.
 * \param[in]  d_model           D > 0.
 * \param[in]  vocabulary_local  Token ids whose rows the table holds; {0, V} for all.
 * \param[in]  token             [N], any ids.
 * \param[in]  table             f32 [length of vocabulary_local, D].
 * \param[out] y                 f32 [N, D].
 */
void dpo_embedding_forward(int64_t n_tokens, int64_t d_model, dpo_range vocabulary_local,
                           const int32_t *token, const float *table, float *y);

/**
 * dtable[token[n]] += dy[n], nothing where the token is not in the vocabulary's local part.
 *
 * \local
 * \param[in]     n_tokens          N >= 0.
 * \param[in]     d_model           D > 0.
 * \param[in]     vocabulary_local  As forward.
 * \param[in]     token             [N], as forward.
 * \param[in]     dy                f32 [N, D].
 * \param[in,out] dtable            f32 [length of vocabulary_local, D].
 */
void dpo_embedding_backward(int64_t n_tokens, int64_t d_model, dpo_range vocabulary_local,
                            const int32_t *token, const float *dy, float *dtable);

#endif
