// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_EXACT_SUM_H
#define DPO_BASE_EXACT_SUM_H

/**
 * \file
 * Sums of f64 that do not depend on the order of their terms.
 *
 * A sum is kept exactly, as a fixed-point number over the whole range of f64. Two sums are added limb by
 * limb, so ranks add theirs with dpo_sum_i64() and all get the same bits, however the terms were dealt.
 */

#include <stdint.h>

/** Items of int64 in a sum: 66 limbs of 32 bits, and one counter each for NaN, infinity and minus infinity. */
enum { DPO_EXACT_SUM_LIMBS = 69 };

/**
 * A sum; zero-initialised it is empty. Holds up to 2^30 terms, of all ranks together.
 *
 * Invariant: limb[i] counts units of 2^(32 i - 1074) for i < 66 and may be negative or above 32 bits.
 */
typedef struct {
    int64_t limb[DPO_EXACT_SUM_LIMBS]; /**< see above */
} dpo_exact_sum;

/** Adds one term, which may be NaN or infinite. \local */
void dpo_exact_sum_add(dpo_exact_sum *sum, double term);

/** The f64 nearest to the sum, ties to even; NaN or infinite as IEEE 754 addition would give. \local */
double dpo_exact_sum_value(const dpo_exact_sum *sum);

#endif
