// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_LIBRARY_H
#define DPO_STORE_LIBRARY_H

/**
 * \file
 * Which library keeps the files. For start-up lines and manifests.
 */

/** Version of the HDF5 library that runs, such as "1.10.8"; valid for ever. \local */
const char *dpo_h5_library(void);

#endif
