// SPDX-License-Identifier: Apache-2.0
#include "dpo/optim/clip.h"

#include "dpo/base/random.h"
#include "dpo/base/range.h"
#include "mpi_test.h"

enum { N = 1001 };

static void the_norm_of_the_slices_is_that_of_the_whole(void **state)
{
    (void)state;
    float gradient[N];
    double sum = 0.0;
    dpo_range mine = dpo_range_of_part(N, dpo_grid_size(test_grid, DPO_DATA),
                                       dpo_grid_rank(test_grid, DPO_DATA));

    for (int64_t i = 0; i < N; i++) {
        gradient[i] = (float)dpo_random_normal(11, DPO_STREAM_TEST, 0, (uint64_t)i);
        sum += (double)gradient[i] * (double)gradient[i];
    }
    double local = dpo_clip_sum_of_squares(dpo_range_length(mine), gradient + mine.begin);
    double norm = dpo_clip_norm(test_grid, DPO_DATA, local);

    ASSERT_ALL(fabs(norm - sqrt(sum)) <= 1e-12 * norm);
}

static void the_norm_is_the_same_bits_on_every_rank(void **state)
{
    (void)state;
    double share = 1.0 / (3.0 + dpo_grid_rank(test_grid, DPO_DATA));
    double norm = dpo_clip_norm(test_grid, DPO_DATA, share);
    double largest = norm;

    dpo_max_f64(test_grid, DPO_DATA, 1, &largest);
    ASSERT_ALL(norm == largest);
}

static void one_bad_slice_is_seen_by_all(void **state)
{
    (void)state;
    int last = dpo_grid_size(test_grid, DPO_DATA) - 1;
    double local = dpo_grid_rank(test_grid, DPO_DATA) == last ? (double)NAN : 1.0;

    ASSERT_ALL(isnan(dpo_clip_norm(test_grid, DPO_DATA, local)));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_norm_of_the_slices_is_that_of_the_whole),
    cmocka_unit_test(the_norm_is_the_same_bits_on_every_rank),
    cmocka_unit_test(one_bad_slice_is_seen_by_all),
};

MPI_TEST_MAIN(tests)
