// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "dpo/base/memory.h"

struct dpo_digest_state {
    XXH3_state_t *xxh3; /* owned by xxHash */
};

static dpo_digest from_xxh(XXH128_hash_t hash)
{
    return (dpo_digest){hash.low64, hash.high64};
}

dpo_digest dpo_digest_of(const void *bytes, int64_t n_bytes)
{
    return from_xxh(XXH3_128bits(bytes, (size_t)n_bytes));
}

dpo_digest dpo_digest_join(dpo_digest a, dpo_digest b)
{
    const uint64_t both[4] = {a.low, a.high, b.low, b.high};

    return dpo_digest_of(both, sizeof both);
}

bool dpo_digest_equal(dpo_digest a, dpo_digest b)
{
    return a.low == b.low && a.high == b.high;
}

int dpo_digest_compare(dpo_digest a, dpo_digest b)
{
    if (a.high != b.high) return a.high < b.high ? -1 : 1;
    return (a.low > b.low) - (a.low < b.low);
}

void dpo_digest_to_hex(dpo_digest digest, char hex[DPO_DIGEST_HEX_BYTES])
{
    (void)snprintf(hex, DPO_DIGEST_HEX_BYTES, "%016" PRIx64 "%016" PRIx64, digest.high, digest.low);
}

dpo_status dpo_digest_from_hex(const char *hex, dpo_digest *digest)
{
    if (strlen(hex) != DPO_DIGEST_HEX_BYTES - 1 ||
        strspn(hex, "0123456789abcdef") != DPO_DIGEST_HEX_BYTES - 1 ||
        sscanf(hex, "%16" SCNx64 "%16" SCNx64, &digest->high, &digest->low) != 2)
        return DPO_FAIL(DPO_EDATA, "\"%s\" is no digest, expected 32 hexadecimal digits", hex);
    return DPO_OK;
}

/*
 * Bits and place of an element, mixed so that no simple change of several elements cancels: the finaliser of
 * splitmix64 (Steele et al. 2014), once for each half.
 */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void dpo_digest_add_elements(uint64_t array, int64_t first, int64_t n, const float *values,
                             dpo_digest *sum)
{
    uint64_t low = 0, high = 0, start = mix(array + 1);

    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, values + i, sizeof bits);
        uint64_t mixed = mix(start + (uint64_t)(first + i) * UINT64_C(0x9e3779b97f4a7c15) +
                             ((uint64_t)bits << 32 | bits));

        low += mixed;
        high += mixed * mixed + (mixed >> 32);
    }
    sum->low += low;
    sum->high += high;
}

dpo_status dpo_digest_begin(dpo_digest_state **state)
{
    DPO_TRY(DPO_NEW(*state, 1));
    (*state)->xxh3 = XXH3_createState();
    if ((*state)->xxh3 != NULL && XXH3_128bits_reset((*state)->xxh3) == XXH_OK) return DPO_OK;
    dpo_free(*state);
    *state = NULL;
    return dpo_memory_failed(1, sizeof **state, __FILE__, __LINE__);
}

void dpo_digest_add(dpo_digest_state *state, const void *bytes, int64_t n_bytes)
{
    XXH_errorcode code = XXH3_128bits_update(state->xxh3, bytes, (size_t)n_bytes);

    DPO_ASSERT(code == XXH_OK);
}

dpo_digest dpo_digest_end(dpo_digest_state **state)
{
    dpo_digest digest = from_xxh(XXH3_128bits_digest((*state)->xxh3));

    (void)XXH3_freeState((*state)->xxh3);
    dpo_free(*state);
    *state = NULL;
    return digest;
}
