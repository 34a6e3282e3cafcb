// SPDX-License-Identifier: Apache-2.0
#include "sampling.h"

#include <math.h>
#include <stdlib.h>

#include "dpo/base/random.h"

int32_t dpo_most_likely(int64_t n_vocab, const float *logits)
{
    int64_t best = 0;

    for (int64_t v = 1; v < n_vocab; v++)
        if (logits[v] > logits[best]) best = v;
    return (int32_t)best;
}

/* Most likely first; equal ones by id, so that the order is the same everywhere. */
static int compare(const void *a, const void *b)
{
    const dpo_candidate *left = a, *right = b;

    if (left->probability != right->probability)
        return left->probability < right->probability ? 1 : -1;
    return left->token < right->token ? -1 : left->token > right->token;
}

/* The k most likely ones and those as likely as the last of them. */
static int64_t cut_to_k(int64_t k, int64_t n, const dpo_candidate *candidate)
{
    if (k == 0 || k >= n) return n;
    while (k < n && candidate[k].probability == candidate[k - 1].probability)
        k++;
    return k;
}

static double sum(int64_t n, const dpo_candidate *candidate)
{
    double total = 0;

    for (int64_t i = 0; i < n; i++)
        total += candidate[i].probability;
    return total;
}

/* The fewest most likely ones that hold at least the share p of what n hold. */
static int64_t cut_to_p(double p, int64_t n, const dpo_candidate *candidate)
{
    double wanted = p * sum(n, candidate), held = 0;

    if (p >= 1) return n;
    for (int64_t i = 0; i < n; i++) {
        held += candidate[i].probability;
        if (held >= wanted) return i + 1;
    }
    return n;
}

static int32_t draw(const dpo_sampling *sampling, int64_t index, int64_t n,
                    const dpo_candidate *candidate)
{
    double u = dpo_random_uniform(sampling->seed, DPO_STREAM_GENERATE, sampling->sequence,
                                  (uint64_t)index);
    double left = u * sum(n, candidate);
    int32_t last = 0; /* with any probability: rounding may leave a bit of a u next to 1 */

    for (int64_t i = 0; i < n; i++) {
        if (candidate[i].probability > 0) last = candidate[i].token;
        left -= candidate[i].probability;
        if (left < 0) break;
    }
    return last;
}

int32_t dpo_sample(const dpo_sampling *sampling, int64_t n_vocab, const float *logits,
                   int64_t index, dpo_candidate *candidate)
{
    int32_t best = dpo_most_likely(n_vocab, logits);
    int64_t n = n_vocab;

    if (sampling->temperature == 0) return best;
    for (int64_t v = 0; v < n_vocab; v++) {
        double below = (double)logits[v] - (double)logits[best];

        candidate[v] = (dpo_candidate){exp(below / sampling->temperature), (int32_t)v};
    }
    if (sampling->top_k > 0 || sampling->top_p < 1) {
        qsort(candidate, (size_t)n_vocab, sizeof *candidate, compare);
        n = cut_to_k(sampling->top_k, n, candidate);
        n = cut_to_p(sampling->top_p, n, candidate);
    }
    return draw(sampling, index, n, candidate);
}
