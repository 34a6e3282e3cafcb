// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/float16.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

float dpo_f32_from_bf16(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t dpo_bf16_from_f32(float value)
{
    uint32_t bits = bits_of(value);

    if (isnan(value)) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/* Without branches, so that it becomes vector code: a NaN keeps its upper bits and stays one. */
void dpo_bf16_from_f32_many(int64_t n, const float *restrict values, uint16_t *restrict bits)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t b = bits_of(values[i]);
        uint32_t rounded = (b + 0x7FFFu + ((b >> 16) & 1u)) >> 16;
        uint32_t is_nan = (b & 0x7FFFFFFFu) > 0x7F800000u;

        bits[i] = (uint16_t)(is_nan ? (b >> 16) | 0x40u : rounded);
    }
}

void dpo_f32_from_bf16_many(int64_t n, const uint16_t *restrict bits, float *restrict values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = float_of((uint32_t)bits[i] << 16);
}

float dpo_f32_from_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1Fu;
    uint32_t fraction = bits & 0x3FFu;

    if (exponent == 0x1Fu) return float_of(sign | 0x7F800000u | (fraction << 13));
    if (exponent != 0) return float_of(sign | ((exponent + 112u) << 23) | (fraction << 13));
    float small = (float)fraction * 0x1p-24f;

    return float_of(sign | bits_of(small));
}

uint16_t dpo_f16_from_f32(float value)
{
    uint32_t bits = bits_of(value);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000u);
    float size = float_of(bits & 0x7FFFFFFFu);

    if (isnan(value)) return (uint16_t)(sign | 0x7E00u);
    if (size >= 65520.0f) return (uint16_t)(sign | 0x7C00u);
    if (size < 0x1p-14f) return (uint16_t)(sign | (uint16_t)lrintf(size * 0x1p24f));
    uint32_t shifted = bits_of(size) - (112u << 23);

    return (uint16_t)(sign | ((shifted + 0xFFFu + ((shifted >> 13) & 1u)) >> 13));
}
