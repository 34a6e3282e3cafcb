// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ONEDNN_H
#define DPO_MATH_ONEDNN_H

/* All that the rest of math knows of oneDNN; onednn.c alone includes its header. */

#include <stdint.h>

/* A row-major f32 matrix that is read, or its transpose. */
typedef struct {
    const float *data;
    int64_t stride; /* elements between rows as stored */
    int transposed; /* what is meant is the transpose of what is stored */
} dpo_matrix;

/*
 * C = A B + beta C for C [m, n], A [m, k], B [k, n]; outside of a parallel region on all threads, inside
 * on the calling one. Sizes may be 0.
 */
void dpo_gemm(int64_t m, int64_t n, int64_t k, dpo_matrix a, dpo_matrix b, float beta, float *c,
              int64_t c_stride);

/* Version and instruction set of the library that runs. */
const char *dpo_onednn_version(void);
const char *dpo_onednn_cpu(void);

#endif
