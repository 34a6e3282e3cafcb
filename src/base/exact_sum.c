// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/exact_sum.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    LIMB_BITS = 32,
    N_DIGITS = 66, /* 2098 bits of f64, in 66 limbs; the last one keeps its carry */
    AT_NAN = N_DIGITS,
    AT_INFINITY,
    AT_MINUS_INFINITY,
    MANTISSA_BITS = 53,
    LEAST_EXPONENT = -1074
};

static const uint64_t limb_mask = 0xFFFFFFFFu;

static void add_not_finite(dpo_exact_sum *sum, double term)
{
    if (isnan(term))
        sum->limb[AT_NAN]++;
    else
        sum->limb[term > 0.0 ? AT_INFINITY : AT_MINUS_INFINITY]++;
}

void dpo_exact_sum_add(dpo_exact_sum *sum, double term)
{
    uint64_t bits;

    if (!isfinite(term)) {
        add_not_finite(sum, term);
        return;
    }
    memcpy(&bits, &term, sizeof bits);
    int exponent = (int)(bits >> (MANTISSA_BITS - 1) & 0x7FFu);
    uint64_t mantissa = bits & (((uint64_t)1 << (MANTISSA_BITS - 1)) - 1);
    int64_t sign = bits >> 63 ? -1 : 1;

    if (exponent > 0)
        mantissa |= (uint64_t)1 << (MANTISSA_BITS - 1);
    else
        exponent = 1; /* subnormal: the unit of the smallest normal numbers */
    int64_t *limb = sum->limb + (exponent - 1) / LIMB_BITS;
    int shift = (exponent - 1) % LIMB_BITS;
    uint64_t low = (mantissa & limb_mask) << shift;
    uint64_t high = (mantissa >> LIMB_BITS) << shift;

    limb[0] += sign * (int64_t)(low & limb_mask);
    limb[1] += sign * (int64_t)((low >> LIMB_BITS) + (high & limb_mask));
    limb[2] += sign * (int64_t)(high >> LIMB_BITS);
}

/* digit[i] of sign * sum in [0, 2^32), but for the last, which has the sign of the whole. */
static void carry(const dpo_exact_sum *sum, int64_t sign, int64_t digit[N_DIGITS])
{
    int64_t over = 0;

    for (int i = 0; i < N_DIGITS - 1; i++) {
        int64_t value = sign * sum->limb[i] + over;

        digit[i] = value & (int64_t)limb_mask;
        over = (value - digit[i]) / ((int64_t)1 << LIMB_BITS);
    }
    digit[N_DIGITS - 1] = sign * sum->limb[N_DIGITS - 1] + over;
}

static int64_t bit_at(const int64_t digit[N_DIGITS], int position)
{
    int i = position / LIMB_BITS < N_DIGITS ? position / LIMB_BITS : N_DIGITS - 1;

    return digit[i] >> (position - i * LIMB_BITS) & 1;
}

static bool any_bit_below(const int64_t digit[N_DIGITS], int position)
{
    int64_t any = 0;

    for (int i = 0; i < N_DIGITS && i < position / LIMB_BITS; i++)
        any |= digit[i];
    for (int i = position / LIMB_BITS * LIMB_BITS; i < position; i++)
        any |= bit_at(digit, i);
    return any != 0;
}

/* Position of the highest bit that is set; -1 for zero. */
static int highest_bit(const int64_t digit[N_DIGITS])
{
    int i = N_DIGITS - 1;

    while (i >= 0 && digit[i] == 0)
        i--;
    if (i < 0) return -1;
    int position = i * LIMB_BITS;

    for (int64_t rest = digit[i] >> 1; rest != 0; rest >>= 1)
        position++;
    return position;
}

/* Nearest f64, ties to even. Up to 53 bits are exact, subnormal or not; more bits are never subnormal. */
static double round_digits(const int64_t digit[N_DIGITS])
{
    int highest = highest_bit(digit);
    int lowest = highest >= MANTISSA_BITS ? highest - MANTISSA_BITS + 1 : 0;
    int64_t mantissa = 0;

    for (int i = highest; i >= lowest; i--)
        mantissa = 2 * mantissa + bit_at(digit, i);
    if (lowest > 0 && bit_at(digit, lowest - 1))
        mantissa += any_bit_below(digit, lowest - 1) || (mantissa & 1);
    return ldexp((double)mantissa, lowest + LEAST_EXPONENT);
}

double dpo_exact_sum_value(const dpo_exact_sum *sum)
{
    const int64_t *limb = sum->limb;
    int64_t digit[N_DIGITS];

    if (limb[AT_NAN] > 0 || (limb[AT_INFINITY] > 0 && limb[AT_MINUS_INFINITY] > 0)) return NAN;
    if (limb[AT_INFINITY] > 0) return INFINITY;
    if (limb[AT_MINUS_INFINITY] > 0) return -INFINITY;
    carry(sum, 1, digit);
    if (digit[N_DIGITS - 1] >= 0) return round_digits(digit);
    carry(sum, -1, digit);
    return -round_digits(digit);
}
