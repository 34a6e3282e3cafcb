// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_PEAK_H
#define DPO_MATH_PEAK_H

/**
 * \file
 * What this machine can do at best, measured: the yardstick of every speed that the program reports.
 *
 * All OpenMP threads of the rank compute. Ranks that share a node measure at the same time, or the sum of their
 * peaks is more than the node has.
 */

#include "dpo/base/status.h"
#include "dpo/math/element.h"

/**
 * The fastest of several square-ish matrix products with f32 sums, through the code that the linear layers use.
 *
 * \local
 * \param[in]  compute      Type of the operands; DPO_BF16 where dpo_engine_has_bf16().
 * \param[in]  budget_s     About how long it may take, > 0; each product runs twice at least.
 * \param[out] flops_per_s  > 0.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_peak_matmul(dpo_element compute, double budget_s,
                                          double *flops_per_s);

/**
 * The fastest of several passes a[i] = b[i] + 3 c[i] over arrays that no cache holds (McCalpin's triad; 12
 * bytes an item are counted, as he does).
 *
 * \local
 * \param[in]  budget_s     About how long it may take, > 0; there are two passes at least.
 * \param[out] bytes_per_s  > 0.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_peak_memory(double budget_s, double *bytes_per_s);

#endif
