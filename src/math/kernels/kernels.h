// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_KERNELS_H
#define DPO_MATH_KERNELS_H

/*
 * The inner loops of math: one thread, contiguous f32 (bf16 is widened and narrowed), nothing allocated. Every file of this folder is
 * compiled once per instruction set level (DPO_LEVEL); dpo_kernels_get() gives the table of the best
 * level that this CPU has.
 *
 * Sums run in vector lanes, so their order depends on the level but on nothing else.
 */

#include <stdint.h>

/* One row per kernel: result, name, parameters. n is a length, stride a distance between rows. */
#define DPO_KERNEL_LIST(ENTRY)                                                                       \
    /* y = exp(x); y may be x */                                                                     \
    ENTRY(void, exp_run, (int64_t n, const float *x, float *y))                                      \
    /* y = 1 / (1 + exp(-x)); y may be x */                                                          \
    ENTRY(void, sigmoid_run, (int64_t n, const float *x, float *y))                                  \
    /* f32 y = bf16 x */                                                                             \
    ENTRY(void, widen, (int64_t n, const uint16_t *x, float *y))                                     \
    /* bf16 y = f32 x, to nearest, ties to even; NaN stays NaN */                                    \
    ENTRY(void, narrow, (int64_t n, const float *x, uint16_t *y))                                    \
    /* y += x */                                                                                     \
    ENTRY(void, add, (int64_t n, const float *x, float *y))                                          \
    /* y = a x; y may be x */                                                                        \
    ENTRY(void, scale, (int64_t n, float a, const float *x, float *y))                               \
    /* sum of x y */                                                                                 \
    ENTRY(float, dot, (int64_t n, const float *x, const float *y))                                   \
    /* largest of x, n > 0 */                                                                        \
    ENTRY(float, largest, (int64_t n, const float *x))                                               \
    /* sum of exp(x - shift) */                                                                      \
    ENTRY(float, exp_sum, (int64_t n, float shift, const float *x))                                  \
    /* x = a exp(x - shift) */                                                                       \
    ENTRY(void, exp_scaled, (int64_t n, float a, float shift, float *x))                             \
    /* y = silu(gate) up */                                                                          \
    ENTRY(void, swiglu_forward, (int64_t n, const float *gate, const float *up, float *y))           \
    /* dgate and dup may be gate and up */                                                           \
    ENTRY(void, swiglu_backward,                                                                     \
          (int64_t n, const float *gate, const float *up, const float *dy, float *dgate,             \
           float *dup))                                                                              \
    /* one row; gives rstd; y may be x */                                                            \
    ENTRY(float, rms_norm_forward,                                                                   \
          (int64_t n, double eps, const float *x, const float *weight, float *y))                    \
    /* one row; dx is added to */                                                                    \
    ENTRY(                                                                                           \
        void, rms_norm_backward,                                                                     \
        (int64_t n, const float *x, const float *weight, float rstd, const float *dy, float *dx))    \
    /* n <= 32 columns of all rows; dweight is added to */                                           \
    ENTRY(void, rms_norm_dweight,                                                                    \
          (int64_t n_rows, int64_t stride, int64_t n, const float *x, const float *rstd,             \
           const float *dy, float *dweight))                                                         \
    /* one head of 2 n_pairs elements; sign -1 turns back */                                         \
    ENTRY(void, rotate,                                                                              \
          (int64_t n_pairs, float sign, const float *cosine, const float *sine, float *head))        \
    /* online softmax: s becomes 2^(s - max), max and sum go on; gives the factor for older terms */ \
    ENTRY(float, softmax_step, (int64_t n, float *s, float *max, float *sum))                        \
    /* s becomes p = 2^(s - lse), dp becomes p (dp - delta) */                                       \
    ENTRY(void, softmax_backward, (int64_t n, float lse, float delta, float *s, float *dp))          \
    /* s[i] = q keys[i], rows of n elements */                                                       \
    ENTRY(                                                                                           \
        void, key_scores,                                                                            \
        (int64_t n_keys, int64_t n, int64_t stride, const float *q, const float *keys, float *s))    \
    /* out += sum of p[i] values[i], rows of n elements */                                           \
    ENTRY(void, value_sum,                                                                           \
          (int64_t n_keys, int64_t n, int64_t stride, const float *p, const float *values,           \
           float *out))

/* NOLINTNEXTLINE(bugprone-macro-parentheses): declarators take no more parentheses. */
#define DPO_KERNEL_FIELD(result, name, parameters) result(*name) parameters;
/* The kernels of one level. */
typedef struct {
    DPO_KERNEL_LIST(DPO_KERNEL_FIELD)
} dpo_kernels;
#undef DPO_KERNEL_FIELD

/* The table in use. \local */
const dpo_kernels *dpo_kernels_get(void);

#endif
