// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_NOISE_H
#define DPO_OPTIM_NOISE_H

/**
 * \file
 * Gradient noise scale (McCandlish et al. 2018, "An empirical model of large-batch training", appendix A.1),
 * from the gradients of the data-parallel ranks before they are summed.
 *
 * Let G_r be the mean gradient of the n_r comparisons of rank r, G_B that of all B. For independent
 * comparisons with gradient of mean G and covariance S
 *
 *     E |G_r|^2 = |G|^2 + tr(S) / n_r        E |G_B|^2 = |G|^2 + tr(S) / B
 *
 * so that, with means over the R ranks that have comparisons (2 or more),
 *
 *     tr(S) = (mean |G_r|^2 - |G_B|^2) / (mean 1/n_r - 1/B)        |G|^2 = |G_B|^2 - tr(S) / B
 *
 * are estimated without bias. The noise scale is tr(S) / |G|^2, in comparisons: a batch much smaller wastes
 * steps, one much larger wastes comparisons. Each estimate is noisy, so both are averaged over
 * steps before they are divided.
 */

#include <stdbool.h>
#include <stdint.h>

/** What is summed over all ranks of the grid; zero-initialised it is empty. All members are f64. */
typedef struct {
    double squares; /**< sum of |G_r|^2 */
    double inverse; /**< sum of 1 / n_r */
    double n_ranks; /**< R */
} dpo_noise_sums;

/** Estimate of one step. */
typedef struct {
    bool exists;  /**< whether two ranks or more had comparisons */
    double trace; /**< tr(S), squared gradient times comparisons */
    double norm2; /**< |G|^2 */
} dpo_noise;

/** Exponential averages; zero-initialised they are empty. */
typedef struct {
    double trace; /**< of the traces */
    double norm2; /**< of the squared norms */
} dpo_noise_average;

/**
 * What one rank adds to the sums.
 *
 * \local
 * \param[in] squares  Of what this rank counts of its own part of the gradient sum, whose terms are
 *                     divided by n_all: (n_own / n_all)^2 |G_r|^2.
 * \param[in] n_own    Comparisons of this data-parallel rank, >= 0.
 * \param[in] n_all    B > 0.
 * \param[in] is_first  Whether this is the first of the tensor-parallel ranks that share a part of the batch.
 */
dpo_noise_sums dpo_noise_of_rank(double squares, double n_own, double n_all, bool is_first);

/**
 * The estimate of a step.
 *
 * \local
 * \param[in] sums   Of all ranks.
 * \param[in] n_all  B > 0.
 * \param[in] norm   |G_B|.
 */
dpo_noise dpo_noise_estimate(const dpo_noise_sums *sums, double n_all, double norm);

/** Takes a step's estimate into the averages; one that does not exist changes nothing. \local */
void dpo_noise_average_add(dpo_noise_average *average, const dpo_noise *noise);

/** The noise scale, comparisons; NaN before the first step and where the averages are not positive. \local */
double dpo_noise_scale(const dpo_noise_average *average);

#endif
