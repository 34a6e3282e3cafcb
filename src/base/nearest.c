// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/nearest.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LENGTH = 63 };

static int shorter(int a, int b)
{
    return a < b ? a : b;
}

static int length_of(const char *text)
{
    return (int)strnlen(text, MAX_LENGTH);
}

/* Optimal string alignment; row[k] is the row of the matrix k characters of a ago. */
static int edit_distance(const char *a, int n_a, const char *b, int n_b)
{
    int rows[3][MAX_LENGTH + 1] = {{0}};
    int *row[3] = {rows[0], rows[1], rows[2]};

    for (int j = 0; j <= n_b; j++)
        row[0][j] = j;
    for (int i = 1; i <= n_a; i++) {
        int *oldest = row[2];

        row[2] = row[1];
        row[1] = row[0];
        row[0] = oldest;
        row[0][0] = i;
        for (int j = 1; j <= n_b; j++) {
            int edited = shorter(row[1][j], row[0][j - 1]) + 1;
            int kept = row[1][j - 1] + (a[i - 1] != b[j - 1]);

            row[0][j] = shorter(edited, kept);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[0][j] = shorter(row[0][j], row[2][j - 2] + 1);
        }
    }
    return row[0][n_b];
}

const char *dpo_nearest(const char *word, const char *const *names, int n)
{
    const char *nearest = NULL;
    int least = MAX_LENGTH + 1;
    int n_word = length_of(word);

    for (int i = 0; i < n; i++) {
        int n_name = length_of(names[i]);
        int longer = n_word > n_name ? n_word : n_name;
        int distance = edit_distance(word, n_word, names[i], n_name);

        if (distance > (longer + 2) / 3 || distance >= least) continue;
        least = distance;
        nearest = names[i];
    }
    return nearest;
}

/* The known names, as many as fit. */
static void list_names(const char *const *names, int n, size_t n_bytes, char *text)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < n && used < n_bytes; i++) {
        int more = snprintf(text + used, n_bytes - used, "%s%s", i > 0 ? ", " : "", names[i]);

        used += more > 0 ? (size_t)more : 0;
    }
}

dpo_status dpo_unknown_name(const char *where, const char *what, const char *name,
                            const char *const *names, int n)
{
    const char *nearest = dpo_nearest(name, names, n);
    char list[512];

    if (nearest != NULL)
        return DPO_FAIL(DPO_EUSAGE, "%s: there is no %s \"%s\"; did you mean \"%s\"?", where, what,
                        name, nearest);
    list_names(names, n, sizeof list, list);
    return DPO_FAIL(DPO_EUSAGE, "%s: there is no %s \"%s\"; known are: %s", where, what, name,
                    list);
}
