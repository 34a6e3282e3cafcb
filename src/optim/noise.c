// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/noise.h"

#include <math.h>

dpo_noise_sums dpo_noise_of_rank(double squares, double n_own, double n_all, bool is_first)
{
    double scale = n_all / n_own;

    if (n_own == 0.0) return (dpo_noise_sums){0};
    return (dpo_noise_sums){.squares = scale * scale * squares,
                            .inverse = is_first ? 1.0 / n_own : 0.0,
                            .n_ranks = is_first ? 1.0 : 0.0};
}

dpo_noise dpo_noise_estimate(const dpo_noise_sums *sums, double n_all, double norm)
{
    dpo_noise noise = {.exists = sums->n_ranks >= 2.0};

    if (!noise.exists) return noise;
    noise.trace = (sums->squares / sums->n_ranks - norm * norm) /
                  (sums->inverse / sums->n_ranks - 1.0 / n_all);
    noise.norm2 = norm * norm - noise.trace / n_all;
    return noise;
}

/*
 * Both averages begin at 0 and approach at the same rate, so what is missing at the beginning drops out of
 * their ratio.
 */
void dpo_noise_average_add(dpo_noise_average *average, const dpo_noise *noise)
{
    const double part = 0.01;

    if (!noise->exists) return;
    average->trace += part * (noise->trace - average->trace);
    average->norm2 += part * (noise->norm2 - average->norm2);
}

double dpo_noise_scale(const dpo_noise_average *average)
{
    if (!(average->trace > 0.0 && average->norm2 > 0.0)) return (double)NAN;
    return average->trace / average->norm2;
}
