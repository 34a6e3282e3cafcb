// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_NEAREST_H
#define DPO_BASE_NEAREST_H

/**
 * \file
 * The known name that a mistyped word most likely means, for error messages.
 */

/**
 * Finds the name with the smallest edit distance: insertions, deletions and replacements of a byte,
 * and swaps of two neighbours, count one each.
 *
 * \local
 * \param[in] word   Zero-terminated; of a text longer than 63 bytes the beginning counts.
 * \param[in] names  [n] zero-terminated texts; of equally near ones the first wins.
 * \param[in] n      >= 0.
 * \return The item of names; NULL if none is near: the distance is more than a third of the longer
 *         text's length, rounded up.
 */
const char *dpo_nearest(const char *word, const char *const *names, int n);

#endif
