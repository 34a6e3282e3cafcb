// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/engine.h"

#include <omp.h>

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

static void threads_are_those_that_regions_get(void **state)
{
    int limit = omp_get_thread_limit(), n_threads = dpo_engine_n_threads(), n_got = 0;

    (void)state;
    omp_set_dynamic(1);
    dpo_engine_set_threads(3);
#pragma omp parallel
#pragma omp single
    n_got = omp_get_num_threads();
    assert_int_equal(n_got, limit < 3 ? limit : 3);
    assert_int_equal(dpo_engine_n_threads(), n_got);
    dpo_engine_set_threads(n_threads);
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
    UNIT_TEST(threads_are_those_that_regions_get),
    UNIT_TEST(kernels_of_the_baseline_are_everywhere),
    UNIT_TEST(unknown_kernels_are_refused),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
