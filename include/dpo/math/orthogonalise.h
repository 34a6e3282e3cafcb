// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ORTHOGONALISE_H
#define DPO_MATH_ORTHOGONALISE_H

/**
 * \file
 * Newton-Schulz iterations that take the singular values of a matrix towards 1 (Jordan 2024, "Muon: an
 * optimizer for hidden layers in neural networks"), the formula of torch.optim.Muon in f32:
 *
 *     X = M / max(|M|, 1e-7)          Frobenius norm
 *     n times:  A = X X^T             X = a X + (b A + c A^2) X       (a, b, c) = (3.4445, -4.775, 2.0315)
 *
 * With more rows than columns the same runs on the transpose. Singular values that are not tiny end
 * between about 0.7 and 1.2.
 */

#include <stdint.h>

/** Items of the workspace for a matrix of this shape. \local */
int64_t dpo_orthogonalise_work(int64_t n_rows, int64_t n_columns);

/**
 * Makes a matrix nearly orthogonal, in place. On all OpenMP threads; from outside of parallel regions.
 *
 * \local
 * \param[in]     n_rows     > 0.
 * \param[in]     n_columns  > 0.
 * \param[in]     n_steps    Iterations, >= 0.
 * \param[in,out] matrix     f32 [n_rows, n_columns].
 * \param[out]    work       f32 [dpo_orthogonalise_work()], for the call.
 */
void dpo_orthogonalise_run(int64_t n_rows, int64_t n_columns, int64_t n_steps, float *matrix,
                           float *work);

#endif
