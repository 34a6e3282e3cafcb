// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ELEMENT_ROWS_H
#define DPO_MATH_ELEMENT_ROWS_H

/*
 * Rows of an array of either element type as f32: read in place or through a buffer, written back through it.
 */

#include <string.h>

#include "dpo/math/element.h"
#include "kernels/kernels.h"

/* Elements [begin, begin + n) of an array as f32: the array itself, or widened into buffer [n]. */
static inline const float *dpo_read_elements(const dpo_kernels *kernels, dpo_element element,
                                             const void *array, int64_t begin, int64_t n,
                                             float *buffer)
{
    if (element == DPO_F32) return (const float *)array + begin;
    kernels->widen(n, (const uint16_t *)array + begin, buffer);
    return buffer;
}

/* Where f32 results for elements from `begin` on are to be written: the array itself, or the buffer. */
static inline float *dpo_begin_elements(dpo_element element, void *array, int64_t begin,
                                        float *buffer)
{
    return element == DPO_F32 ? (float *)array + begin : buffer;
}

/* Behind dpo_begin_elements() and the writing: a buffer goes into the array, narrowed. */
static inline void dpo_end_elements(const dpo_kernels *kernels, dpo_element element, void *array,
                                    int64_t begin, int64_t n, const float *buffer)
{
    if (element == DPO_BF16) kernels->narrow(n, buffer, (uint16_t *)array + begin);
}

/* The element `begin` of an array. */
static inline void *dpo_at(dpo_element element, void *array, int64_t begin)
{
    return (char *)array + begin * dpo_element_bytes(element);
}

static inline const void *dpo_const_at(dpo_element element, const void *array, int64_t begin)
{
    return (const char *)array + begin * dpo_element_bytes(element);
}

/* n elements of one type into those of another, or of the same. */
static inline void dpo_copy_elements(const dpo_kernels *kernels, int64_t n, dpo_element from,
                                     const void *elements, dpo_element to, void *copy)
{
    if (from == to)
        memcpy(copy, elements, (size_t)(n * dpo_element_bytes(to)));
    else if (to == DPO_F32)
        kernels->widen(n, elements, copy);
    else
        kernels->narrow(n, elements, copy);
}

#endif
