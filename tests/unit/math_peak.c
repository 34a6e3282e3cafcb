// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/peak.h"

#include "dpo/math/engine.h"
#include "unit_test.h"

/* Between what the slowest and what ten times the fastest machine of today does. */
static void peaks_are_those_of_a_computer(void **state)
{
    double flops_per_s, bytes_per_s;

    (void)state;
    for (int compute = DPO_F32; compute <= (dpo_engine_has_bf16(NULL) ? DPO_BF16 : DPO_F32);
         compute++) {
        ASSERT_OK(dpo_peak_matmul((dpo_element)compute, 0.05, &flops_per_s));
        assert_true(flops_per_s > 1e8 && flops_per_s < 1e15);
    }
    ASSERT_OK(dpo_peak_memory(0.05, &bytes_per_s));
    assert_true(bytes_per_s > 1e8 && bytes_per_s < 1e14);
}

static void without_memory_they_are_an_error(void **state)
{
    double speed;

    (void)state;
    for (int n = 1; n <= 3; n++) {
        dpo_memory_fail_after(n);
        ASSERT_FAILS(dpo_peak_matmul(DPO_F32, 0.01, &speed), DPO_ENOMEM, "");
        dpo_memory_fail_after(n);
        ASSERT_FAILS(dpo_peak_memory(0.01, &speed), DPO_ENOMEM, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(peaks_are_those_of_a_computer),
        UNIT_TEST(without_memory_they_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
