// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ROWS_H
#define DPO_MATH_ROWS_H

/**
 * \file
 * Taking rows out of a matrix by index, and adding rows back.
 *
 * An index may occur any number of times. Rows that meet are added in the order of the list, whatever the
 * number of threads. Called from outside of parallel regions.
 */

#include <stdint.h>

#include "dpo/base/range.h"
#include "dpo/math/element.h"

/**
 * y[r] = x[row[r]].
 *
 * \local
 * \param[in]  element  Type of both matrices.
 * \param[in]  n_rows   R >= 0.
 * \param[in]  width    D > 0.
 * \param[in]  row      [R] indices into x.
 * \param[in]  x        Elements [> any index, D].
 * \param[out] y        Elements [R, D]; does not overlap x.
 */
void dpo_rows_gather(dpo_element element, int64_t n_rows, int64_t width, const int64_t *row,
                     const void *x, void *y);

/**
 * dx[row[r] - own.begin] += dy[r] for the rows in own; the others are left out.
 *
 * \local
 * \param[in]     element  Type of both matrices.
 * \param[in]     n_rows   R >= 0.
 * \param[in]     width    D > 0.
 * \param[in]     row      [R] indices into the whole matrix.
 * \param[in]     own      The rows of the whole matrix that dx holds.
 * \param[in]     dy       Elements [R, D]; does not overlap dx.
 * \param[in,out] dx       Elements [length of own, D].
 */
void dpo_rows_scatter_add(dpo_element element, int64_t n_rows, int64_t width, const int64_t *row,
                          dpo_range own, const void *dy, void *dx);

#endif
