// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/engine.h"

#include "unit_test.h"

static void engine_names_what_computes(void **state)
{
    (void)state;
    int major, minor;

    assert_int_equal(sscanf(dpo_engine_library(), "%d.%d", &major, &minor), 2);
    assert_in_range(major, 2, 9);
    print_message("oneDNN %s on %s, kernels %s\n", dpo_engine_library(), dpo_engine_cpu(),
                  dpo_engine_kernels());
    assert_true(strlen(dpo_engine_cpu()) > 0);
    assert_true(dpo_engine_n_threads() >= 1);
}

static void kernels_of_the_baseline_are_everywhere(void **state)
{
    (void)state;
    ASSERT_OK(dpo_engine_use_kernels("baseline"));
    assert_string_equal(dpo_engine_kernels(), "baseline");
    ASSERT_OK(dpo_engine_use_kernels(NULL));
}

static void unknown_kernels_are_refused(void **state)
{
    (void)state;
    ASSERT_FAILS(dpo_engine_use_kernels("mmx"), DPO_EUSAGE, "mmx");
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(engine_names_what_computes),
    UNIT_TEST(kernels_of_the_baseline_are_everywhere),
    UNIT_TEST(unknown_kernels_are_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
