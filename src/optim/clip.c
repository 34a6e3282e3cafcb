// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/clip.h"

#include <math.h>

#include "dpo/comm/collective.h"

/*
 * Independent sums, so that the compiler may keep them in vector registers without changing the
 * order.
 */
enum { LANES = 16 };

double dpo_clip_sum_of_squares(int64_t n, const float *gradient)
{
    double lane[LANES] = {0};
    double sum = 0.0;
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += (double)gradient[i + j] * (double)gradient[i + j];
    for (; i < n; i++)
        sum += (double)gradient[i] * (double)gradient[i];
    for (int j = 0; j < LANES; j++)
        sum += lane[j];
    return sum;
}

double dpo_clip_norm(const dpo_grid *grid, dpo_axis axis, double sum_of_squares)
{
    dpo_sum_f64(grid, axis, 1, &sum_of_squares);
    return sqrt(sum_of_squares);
}

double dpo_clip_coefficient(double norm, double clip)
{
    const double torch_eps = 1e-6;
    double coefficient = clip / (norm + torch_eps);

    return clip == 0.0 || coefficient > 1.0 ? 1.0 : coefficient;
}
