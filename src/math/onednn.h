// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ONEDNN_H
#define DPO_MATH_ONEDNN_H

/* All that the rest of math knows of oneDNN; onednn.c and prepacked.c alone include its header. */

#include <stdbool.h>
#include <stdint.h>

/* A row-major f32 matrix that is read, or its transpose. */
typedef struct {
    const float *data;
    int64_t stride; /* elements between rows as stored */
    int transposed; /* what is meant is the transpose of what is stored */
} dpo_matrix;

/* The same of bf16 elements. */
typedef struct {
    const uint16_t *data;
    int64_t stride;
    int transposed;
} dpo_matrix_bf16;

/*
 * C = A B + beta C for C [m, n], A [m, k], B [k, n]; outside of a parallel region on all threads, inside
 * on the calling one. Sizes may be 0.
 */
void dpo_gemm(int64_t m, int64_t n, int64_t k, dpo_matrix a, dpo_matrix b, float beta, float *c,
              int64_t c_stride);

/* The same for bf16 A and B and f32 C, sums in f32, beta 0 or 1; needs dpo_onednn_multiplies_bf16(). */
void dpo_gemm_bf16(int64_t m, int64_t n, int64_t k, dpo_matrix_bf16 a, dpo_matrix_bf16 b,
                   float beta, float *c, int64_t c_stride);

/* Whether the library has bf16 products on this CPU; the first call, from outside of parallel regions,
   takes the time to make them. */
bool dpo_onednn_multiplies_bf16(void);

/* Whether the CPU, as far as the library uses it, multiplies bf16 itself. */
bool dpo_onednn_cpu_has_bf16(void);

/* Version and instruction set of the library that runs. */
const char *dpo_onednn_version(void);
const char *dpo_onednn_cpu(void);

#endif
