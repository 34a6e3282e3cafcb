// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_VERSION_H
#define DPO_BASE_VERSION_H

/**
 * \file
 * Version of this program.
 */

/** "0.1.0"; valid for ever. \local */
const char *dpo_version(void);

#endif
