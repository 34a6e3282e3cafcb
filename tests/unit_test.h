// SPDX-License-Identifier: Apache-2.0
#ifndef UNIT_TEST_H
#define UNIT_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dpo/base/memory.h"
#include "dpo/base/status.h"

/* cmocka compares no doubles; this says both numbers. */
#define ASSERT_CLOSE(got, want, tolerance)                                                    \
    do {                                                                                      \
        double got_ = (got), want_ = (want), tolerance_ = (tolerance);                        \
        if (!(fabs(got_ - want_) <= tolerance_))                                              \
            fail_msg("%s is %.17g, expected %.17g within %g", #got, got_, want_, tolerance_); \
    } while (0)

/* Shows the error record when a call fails that should not. */
#define ASSERT_OK(call)                                                          \
    do {                                                                         \
        if ((call) != DPO_OK) fail_msg("%s: %s", #call, dpo_last_error()->text); \
    } while (0)

/* A failure of one kind whose message contains a text. */
#define ASSERT_FAILS(call, kind, part)                                              \
    do {                                                                            \
        assert_int_equal((call), (kind));                                           \
        if (strstr(dpo_last_error()->text, (part)) == NULL)                         \
            fail_msg("\"%s\" does not say \"%s\"", dpo_last_error()->text, (part)); \
    } while (0)

/* Test teardown: nothing may be left allocated. */
static inline int nothing_outstanding(void **state)
{
    (void)state;
    if (dpo_memory_outstanding() != 0)
        (void)fprintf(stderr, "%lld blocks of memory outstanding\n",
                      (long long)dpo_memory_outstanding());
    return dpo_memory_outstanding() != 0;
}

#define UNIT_TEST(function) cmocka_unit_test_teardown(function, nothing_outstanding)

#endif
