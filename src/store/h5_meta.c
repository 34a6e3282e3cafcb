// SPDX-License-Identifier: Apache-2.0
#include "h5_meta.h"

#include "h5_private.h"

static const int64_t type_bytes[] = {
#define DPO_H5_BYTES_ROW(name, bytes, native) bytes,
    DPO_H5_TYPE_LIST(DPO_H5_BYTES_ROW)
#undef DPO_H5_BYTES_ROW
};

int64_t dpo_h5_type_bytes(dpo_h5_type type)
{
    return type_bytes[type];
}

int64_t dpo_h5_bytes(dpo_h5_type type, int n_dims, const int64_t *dims)
{
    int64_t bytes = type_bytes[type];

    for (int i = 0; i < n_dims; i++)
        bytes *= dims[i];
    return bytes;
}

/* The native types are variables of the library, so a table of them cannot be a constant. */
hid_t dpo_h5_native(dpo_h5_type type)
{
    switch (type) {
#define DPO_H5_NATIVE_CASE(name, bytes, native) \
    case DPO_H5_##name:                         \
        return native;
        DPO_H5_TYPE_LIST(DPO_H5_NATIVE_CASE)
#undef DPO_H5_NATIVE_CASE
    default:
        return H5I_INVALID_HID;
    }
}

static herr_t take_innermost(unsigned n, const H5E_error2_t *error, void *text)
{
    if (n == 0) *(const char **)text = error->desc != NULL ? error->desc : "";
    return 0;
}

dpo_status dpo_h5_failed(dpo_status status, const char *name, const char *what)
{
    const char *reason = "no reason given";

    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, (void *)&reason);
    return DPO_FAIL(status, "%s: %s (HDF5: %s)", name, what, reason);
}

hid_t dpo_h5_file_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);

    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    (void)H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    (void)H5Pset_file_locking(access, 0, 1);
    return access;
}
