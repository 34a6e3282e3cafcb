// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_NEAREST_H
#define DPO_BASE_NEAREST_H

/**
 * \file
 * The known name that a mistyped word most likely means, for error messages.
 */

#include "dpo/base/status.h"

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

/**
 * Fails because of an unknown name: `where: there is no WHAT "NAME"; did you mean "..."?`, or a list of
 * what is known if nothing is near.
 *
 * \local
 * \param[in] where  Key, option or file, for the message.
 * \param[in] what   What it names, such as "schedule".
 * \param[in] name   The unknown name.
 * \param[in] names  [n] known ones.
 * \param[in] n      > 0.
 * \return DPO_EUSAGE.
 */
dpo_status dpo_unknown_name(const char *where, const char *what, const char *name,
                            const char *const *names, int n);

#endif
