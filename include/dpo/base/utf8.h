// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_UTF8_H
#define DPO_BASE_UTF8_H

/**
 * \file
 * Checking that bytes are UTF-8 (Unicode 15, table 3-7: no surrogates, no overlong forms).
 */

#include <stdint.h>

/**
 * Length of the longest valid beginning.
 *
 * \local
 * \param[in] text     [n_bytes].
 * \param[in] n_bytes  >= 0.
 * \return n_bytes if all of it is UTF-8, else the offset of the first bad sequence.
 */
int64_t dpo_utf8_valid_length(const char *text, int64_t n_bytes);

#endif
