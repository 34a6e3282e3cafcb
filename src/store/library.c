// SPDX-License-Identifier: Apache-2.0
#include "dpo/store/library.h"

#include <hdf5.h>
#include <stdio.h>

const char *dpo_h5_library(void)
{
    static char text[32];
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;

    if (H5get_libversion(&major, &minor, &release) >= 0)
        (void)snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    return text;
}
