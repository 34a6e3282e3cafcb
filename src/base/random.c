// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/random.h"

#include <math.h>

static void philox_round(uint32_t counter[4], uint32_t key_0, uint32_t key_1)
{
    uint64_t product_0 = (uint64_t)0xD2511F53u * counter[0];
    uint64_t product_1 = (uint64_t)0xCD9E8D57u * counter[2];

    counter[0] = (uint32_t)(product_1 >> 32) ^ counter[1] ^ key_0;
    counter[1] = (uint32_t)product_1;
    counter[2] = (uint32_t)(product_0 >> 32) ^ counter[3] ^ key_1;
    counter[3] = (uint32_t)product_0;
}

uint64_t dpo_random_bits(uint64_t seed, dpo_stream stream, uint32_t major, uint64_t minor)
{
    uint32_t counter[4] = {(uint32_t)minor, (uint32_t)(minor >> 32), major, (uint32_t)stream};
    uint32_t key_0 = (uint32_t)seed;
    uint32_t key_1 = (uint32_t)(seed >> 32);

    for (int round = 0; round < 10; round++) {
        philox_round(counter, key_0, key_1);
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
    return ((uint64_t)counter[1] << 32) | counter[0];
}

double dpo_random_uniform(uint64_t seed, dpo_stream stream, uint32_t major, uint64_t minor)
{
    return (double)(dpo_random_bits(seed, stream, major, minor) >> 11) * 0x1p-53;
}

double dpo_random_normal(uint64_t seed, dpo_stream stream, uint32_t major, uint64_t minor)
{
    const double two_pi = 6.283185307179586;
    uint64_t bits = dpo_random_bits(seed, stream, major, minor);
    double radius_part = ((double)(uint32_t)bits + 1.0) * 0x1p-32;
    double angle_part = (double)(uint32_t)(bits >> 32) * 0x1p-32;

    return sqrt(-2.0 * log(radius_part)) * cos(two_pi * angle_part);
}

void dpo_random_permutation(uint64_t seed, dpo_stream stream, uint32_t major, int64_t n,
                            int64_t *permutation)
{
    for (int64_t i = 0; i < n; i++)
        permutation[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t bits = dpo_random_bits(seed, stream, major, (uint64_t)i);
        int64_t j = (int64_t)(bits % (uint64_t)(i + 1)); /* bias below 2^-40 for n < 2^24 */
        int64_t swap = permutation[i];

        permutation[i] = permutation[j];
        permutation[j] = swap;
    }
}
