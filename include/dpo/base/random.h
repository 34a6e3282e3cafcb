// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_RANDOM_H
#define DPO_BASE_RANDOM_H

/**
 * \file
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
 * 1, 2, 3").
 *
 * A number depends on (seed, stream, index) only, so any rank can draw any of them in any order.
 */

#include <stdint.h>

/** What a stream of random numbers is for; part of the counter. */
typedef enum {
    DPO_STREAM_SHUFFLE,  /**< order of the examples of an epoch */
    DPO_STREAM_GENERATE, /**< sampling of text */
    DPO_STREAM_TEST      /**< tests */
} dpo_stream;

/**
 * 64 random bits.
 *
 * \local
 * \param[in] seed    Seed of the run.
 * \param[in] stream  Use.
 * \param[in] major   For example the epoch or the sequence.
 * \param[in] minor   For example the index within it.
 * \return Uniform in [0, 2^64).
 */
uint64_t dpo_random_bits(uint64_t seed, dpo_stream stream, uint32_t major, uint64_t minor);

/** Uniform in [0, 1), 53 bits. \local */
double dpo_random_uniform(uint64_t seed, dpo_stream stream, uint32_t major, uint64_t minor);

/** Standard normal (Box and Muller 1958). \local */
double dpo_random_normal(uint64_t seed, dpo_stream stream, uint32_t major, uint64_t minor);

/**
 * A random permutation of 0, ..., n - 1 (Fisher-Yates).
 *
 * \local
 * \param[in]  seed, stream, major  As above.
 * \param[in]  n            >= 0.
 * \param[out] permutation  [n].
 */
void dpo_random_permutation(uint64_t seed, dpo_stream stream, uint32_t major, int64_t n,
                            int64_t *permutation);

#endif
