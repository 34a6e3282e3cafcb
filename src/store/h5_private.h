// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_STORE_H5_PRIVATE_H
#define DPO_STORE_H5_PRIVATE_H

#include <hdf5.h>

#include "dpo/base/status.h"
#include "dpo/store/h5file.h"

/** HDF5's own type for one of ours. \local */
hid_t dpo_h5_native(dpo_h5_type type);

/** Records a failure with the reason HDF5 gives. \local */
dpo_status dpo_h5_failed(dpo_status status, const char *name, const char *what);

/**
 * Access properties: closing a file closes all in it, and nothing is locked (one rank opens a file,
 * and many cluster file systems have no locks). Also keeps HDF5 from printing errors itself. \local
 */
hid_t dpo_h5_file_access(void);

#endif
