// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_DIGEST_H
#define DPO_BASE_DIGEST_H

/**
 * \file
 * 128-bit digests (XXH3) that name contents: files, weights, token sequences. They guard against mistakes
 * and damage, not against an adversary.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"

/** A digest; a plain value. */
typedef struct {
    uint64_t low;  /**< low 64 bits */
    uint64_t high; /**< high 64 bits */
} dpo_digest;

/** A digest under construction; opaque. */
typedef struct dpo_digest_state dpo_digest_state;

enum { DPO_DIGEST_HEX_BYTES = 33 };

/** Digest of n_bytes bytes. \local */
dpo_digest dpo_digest_of(const void *bytes, int64_t n_bytes);

/** Digest of two digests in this order. \local */
dpo_digest dpo_digest_join(dpo_digest a, dpo_digest b);

/** Whether two digests are the same. \local */
bool dpo_digest_equal(dpo_digest a, dpo_digest b);

/** An order of digests: < 0 if a comes before b, 0 if they are the same, > 0 otherwise. \local */
int dpo_digest_compare(dpo_digest a, dpo_digest b);

/** Writes a digest as 32 hexadecimal digits, high half first, and a zero. \local */
void dpo_digest_to_hex(dpo_digest digest, char hex[DPO_DIGEST_HEX_BYTES]);

/** Reads what dpo_digest_to_hex() wrote. \local \errors{DPO_EDATA} */
DPO_MUST_CHECK dpo_status dpo_digest_from_hex(const char *hex, dpo_digest *digest);

/**
 * Adds f32 elements of one of several arrays to a sum that does not depend on the order: parts of
 * the arrays may be added anywhere, and the sums of several ranks added modulo 2^64 in each half.
 *
 * \local
 * \param[in]     array   Number of the array.
 * \param[in]     first   Index of the first element in the array, >= 0.
 * \param[in]     n       Elements, >= 0.
 * \param[in]     values  f32 [n]; their bits count.
 * \param[in,out] sum     Zero at the beginning.
 */
void dpo_digest_add_elements(uint64_t array, int64_t first, int64_t n, const float *values,
                             dpo_digest *sum);

/** Begins a digest over several pieces; the state is the caller's. \local \errors{DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_digest_begin(dpo_digest_state **state);

/** Adds bytes. \local */
void dpo_digest_add(dpo_digest_state *state, const void *bytes, int64_t n_bytes);

/** The digest of all that was added, as if it had been one piece; destroys the state. \local */
dpo_digest dpo_digest_end(dpo_digest_state **state);

#endif
