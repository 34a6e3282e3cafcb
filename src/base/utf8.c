// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/utf8.h"

#include <stdbool.h>
#include <string.h>

/* Lead bytes, how many follow, and what the first that follows may be. */
static const struct {
    unsigned char lead_min, lead_max, second_min, second_max;
    int n_follow;
} sequence_table[] = {
    {0x00, 0x7F, 0x00, 0x00, 0}, {0xC2, 0xDF, 0x80, 0xBF, 1}, {0xE0, 0xE0, 0xA0, 0xBF, 2},
    {0xE1, 0xEC, 0x80, 0xBF, 2}, {0xED, 0xED, 0x80, 0x9F, 2}, {0xEE, 0xEF, 0x80, 0xBF, 2},
    {0xF0, 0xF0, 0x90, 0xBF, 3}, {0xF1, 0xF3, 0x80, 0xBF, 3}, {0xF4, 0xF4, 0x80, 0x8F, 3},
};

enum { N_SEQUENCES = sizeof sequence_table / sizeof sequence_table[0] };

/* Bytes of the valid sequence at text[0], 0 if there is none. */
static int64_t sequence_length(const unsigned char *text, int64_t n_bytes)
{
    int row = 0;

    while (row < N_SEQUENCES &&
           (text[0] < sequence_table[row].lead_min || text[0] > sequence_table[row].lead_max))
        row++;
    if (row == N_SEQUENCES || n_bytes <= sequence_table[row].n_follow) return 0;
    for (int i = 1; i <= sequence_table[row].n_follow; i++) {
        unsigned char min = i == 1 ? sequence_table[row].second_min : 0x80;
        unsigned char max = i == 1 ? sequence_table[row].second_max : 0xBF;

        if (text[i] < min || text[i] > max) return 0;
    }
    return sequence_table[row].n_follow + 1;
}

/* Most texts are ASCII: eight bytes at once. */
static bool is_ascii_8(const char *text, int64_t n_bytes)
{
    uint64_t piece;

    if (n_bytes < 8) return false;
    memcpy(&piece, text, 8);
    return (piece & 0x8080808080808080u) == 0;
}

int64_t dpo_utf8_valid_length(const char *text, int64_t n_bytes)
{
    int64_t at = 0;

    while (at < n_bytes) {
        if (is_ascii_8(text + at, n_bytes - at)) {
            at += 8;
            continue;
        }
        int64_t n = sequence_length((const unsigned char *)text + at, n_bytes - at);

        if (n == 0) break;
        at += n;
    }
    return at;
}
