// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ELEMENT_H
#define DPO_MATH_ELEMENT_H

/**
 * \file
 * How activations lie in memory.
 *
 * Arithmetic, statistics and sums are f32 whatever the elements are: kernels widen what they read and
 * round what they write, to nearest, ties to even. Functions that take either say "elements" for the type;
 * such an array is passed as a pointer to void.
 */

#include <stdint.h>

/** Type of an array's elements. */
typedef enum {
    DPO_F32, /**< float */
    DPO_BF16 /**< the upper half of a float, uint16_t (base/float16.h) */
} dpo_element;

/** Size of one element, bytes. */
static inline int64_t dpo_element_bytes(dpo_element element)
{
    return element == DPO_BF16 ? 2 : 4;
}

/** A weight matrix, as products read it. */
typedef struct {
    const float *f32;     /**< W, f32 [rows, columns] */
    const uint16_t *bf16; /**< W rounded to bf16; only read where products take bf16 */
} dpo_weight;

#endif
