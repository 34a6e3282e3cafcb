// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ONEDNN_H
#define DPO_MATH_ONEDNN_H

/* All that the rest of math knows of oneDNN; onednn.c and prepacked.c alone include its header. */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/math/element.h"

/* A row-major matrix that is read, or its transpose; of elements as its product takes them. */
typedef struct {
    const void *data;
    int64_t stride; /* elements between rows as stored */
    int transposed; /* what is meant is the transpose of what is stored */
} dpo_matrix;

/* C = A B + beta C: C [m, n], A [m, k], B [k, n]; sizes may be 0. */
typedef struct {
    dpo_element compute; /* of A and B */
    int64_t m, n, k;
    int64_t c_stride; /* elements between rows of C */
} dpo_product;

/*
 * f32 C = A B + beta C, sums in f32, on all threads; from outside of parallel regions. Operands of bf16 need
 * dpo_onednn_multiplies_bf16() and a beta of 0 or 1.
 */
void dpo_gemm(dpo_product product, dpo_matrix a, dpo_matrix b, float beta, float *c);

/* The same from inside of a parallel region, on the calling thread, which has `work` for itself. A call of bf16
   costs 2 microseconds before it multiplies. */
void dpo_gemm_alone(dpo_product product, dpo_matrix a, dpo_matrix b, float beta, float *c,
                    void *work);

/* Bytes of that work, >= 0. */
int64_t dpo_gemm_work_bytes(dpo_element compute);

/* Whether the library has bf16 products on this CPU; the first call, from outside of parallel regions,
   takes the time to make them. */
bool dpo_onednn_multiplies_bf16(void);

/* Whether the CPU, as far as the library uses it, multiplies bf16 itself. */
bool dpo_onednn_cpu_has_bf16(void);

/* Version and instruction set of the library that runs. */
const char *dpo_onednn_version(void);
const char *dpo_onednn_cpu(void);

#endif
