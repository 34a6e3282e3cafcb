// SPDX-License-Identifier: Apache-2.0
#ifndef FILE_LIMIT_H
#define FILE_LIMIT_H

#include <stdbool.h>
#include <sys/resource.h>

#include "unit_test.h"

/* The size this process may write files to; SIGXFSZ is ignored, so that the call fails with EFBIG. */
static inline void limit_file_size(bool here, rlim_t bytes)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    (void)getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = here ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#endif
