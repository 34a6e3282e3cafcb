// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_CLOCK_H
#define DPO_BASE_CLOCK_H

/**
 * \file
 * Wall-clock time.
 */

/** Seconds since some fixed moment; never goes back. \local */
double dpo_clock_s(void);

#endif
