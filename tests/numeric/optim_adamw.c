// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"
#include "dpo/base/random.h"
#include "dpo/optim/adamw.h"
#include "dpo/optim/clip.h"
#include "unit_test.h"

enum { MAX_ITEMS = 64 };

static const dpo_adamw_options usual = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};

static dpo_adamw *adamw_of(const dpo_adamw_options *options, int64_t begin, int64_t end,
                           dpo_range decays)
{
    dpo_adamw *adamw;

    ASSERT_OK(dpo_adamw_create(options, (dpo_range){begin, end}, 1, &decays, &adamw));
    return adamw;
}

static double number_of(const dpo_json *object, const char *key)
{
    double value;

    ASSERT_OK(dpo_json_get_number(object, "golden", key, &value));
    return value;
}

/* The numbers of an array; returns how many. */
static int64_t numbers_of(const dpo_json *object, const char *key, float *value)
{
    const dpo_json *array = dpo_json_find(object, key);
    int64_t n = 0;

    assert_true(dpo_json_count(array) > 0 && dpo_json_count(array) <= MAX_ITEMS);
    for (const dpo_json *item = dpo_json_first(array); item; item = dpo_json_next(item))
        value[n++] = (float)dpo_json_number(item);
    return n;
}

/*
 * Both sides round every operation to f32, in almost the same order: 20 updates stay within 1e-6.
 */
static void check_numbers(const dpo_json *object, const char *key, const float *value)
{
    float golden[MAX_ITEMS];
    int64_t n = numbers_of(object, key, golden);

    for (int64_t i = 0; i < n; i++)
        ASSERT_CLOSE((double)value[i], (double)golden[i], 1e-6 * fabs((double)golden[i]));
}

static void twenty_clipped_updates_are_those_of_torch(void **state)
{
    (void)state;
    dpo_json *root;
    float weight[MAX_ITEMS];

    ASSERT_OK(dpo_json_read_file(DPO_TEST_DATA "/optim_adamw.json", DPO_JSON_STRICT, &root));
    dpo_adamw_options options = {number_of(root, "beta1"), number_of(root, "beta2"),
                                 number_of(root, "eps"), number_of(root, "weight_decay")};
    int64_t n = numbers_of(root, "weight", weight);
    dpo_range decays = {0, (int64_t)number_of(root, "n_decays")};
    dpo_adamw *adamw = adamw_of(&options, 0, n, decays);
    const dpo_json *updates = dpo_json_find(root, "updates");

    assert_int_equal(dpo_json_count(updates), 20);
    for (const dpo_json *golden = dpo_json_first(updates); golden; golden = dpo_json_next(golden)) {
        float gradient[MAX_ITEMS];

        assert_int_equal(numbers_of(golden, "gradient", gradient), n);
        double norm = sqrt(dpo_clip_sum_of_squares(n, gradient));
        double scale = dpo_clip_coefficient(norm, number_of(root, "clip"));

        ASSERT_CLOSE(norm, number_of(golden, "norm"), 1e-6 * norm);
        dpo_adamw_run(adamw, number_of(golden, "lr"), scale, gradient, weight);
        check_numbers(golden, "weight", weight);
    }
    check_numbers(root, "m", dpo_adamw_first_moment(adamw));
    check_numbers(root, "v", dpo_adamw_second_moment(adamw));
    assert_int_equal(dpo_adamw_n_updates(adamw), 20);
    dpo_adamw_destroy(&adamw);
    dpo_json_destroy(&root);
}

static void the_first_update_moves_by_the_learning_rate(void **state)
{
    (void)state;
    const float gradient[] = {3.0f, -0.5f, 1e-3f, 0.0f};
    const double moved[] = {-0.01, 0.01, -0.01, 0.0};
    float weight[] = {0.0f, 0.0f, 0.0f, 0.0f};
    dpo_adamw *adamw = adamw_of(&usual, 0, 4, (dpo_range){0, 0});

    dpo_adamw_run(adamw, 0.01, 1.0, gradient, weight);
    for (int i = 0; i < 4; i++)
        ASSERT_CLOSE((double)weight[i], moved[i], 1e-6);
    dpo_adamw_destroy(&adamw);
}

static void decay_shrinks_only_what_decays(void **state)
{
    (void)state;
    const float gradient[6] = {0};
    float weight[] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    const dpo_range decays[] = {{0, 12}, {13, 14}, {15, 40}};
    dpo_adamw_options options = usual;
    dpo_adamw *adamw;

    options.weight_decay = 0.5;
    ASSERT_OK(dpo_adamw_create(&options, (dpo_range){10, 16}, 3, decays, &adamw));
    dpo_adamw_run(adamw, 0.5, 1.0, gradient, weight);
    for (int i = 0; i < 6; i++)
        assert_true(weight[i] == (i == 2 || i == 4 ? 1.0f : 0.75f)); /* 10, 11, 13 and 15 decay */
    dpo_adamw_destroy(&adamw);
}

static void make_numbers(uint32_t major, int64_t n, float *value)
{
    for (int64_t i = 0; i < n; i++)
        value[i] = (float)dpo_random_normal(5, DPO_STREAM_TEST, major, (uint64_t)i);
}

static void slices_together_are_the_whole_bit_for_bit(void **state)
{
    (void)state;
    static const int64_t cuts[] = {0, 7, 7, 29, 61};
    enum { N = 61, N_SLICES = 4 };
    const dpo_range decays = {5, 40};
    dpo_adamw_options options = usual;
    float whole[N];
    float parts[N];
    dpo_adamw *one;
    dpo_adamw *slice[N_SLICES];

    options.weight_decay = 0.1;
    make_numbers(0, N, whole);
    memcpy(parts, whole, sizeof whole);
    one = adamw_of(&options, 0, N, decays);
    for (int s = 0; s < N_SLICES; s++)
        slice[s] = adamw_of(&options, cuts[s], cuts[s + 1], decays);
    for (uint32_t update = 1; update <= 5; update++) {
        float gradient[N];

        make_numbers(update, N, gradient);
        dpo_adamw_run(one, 0.01, 0.7, gradient, whole);
        for (int s = 0; s < N_SLICES; s++)
            dpo_adamw_run(slice[s], 0.01, 0.7, gradient + cuts[s], parts + cuts[s]);
    }
    assert_memory_equal(whole, parts, sizeof whole);
    dpo_adamw_destroy(&one);
    for (int s = 0; s < N_SLICES; s++)
        dpo_adamw_destroy(&slice[s]);
}

static void a_resumed_state_goes_on_bit_for_bit(void **state)
{
    (void)state;
    enum { N = 20 };
    float gradient[N];
    float weight[N] = {0};
    float resumed[N];
    dpo_adamw *one = adamw_of(&usual, 0, N, (dpo_range){0, 0});
    dpo_adamw *two = adamw_of(&usual, 0, N, (dpo_range){0, 0});

    make_numbers(1, N, gradient);
    for (int update = 0; update < 3; update++)
        dpo_adamw_run(one, 0.01, 1.0, gradient, weight);
    memcpy(resumed, weight, sizeof weight);
    memcpy(dpo_adamw_first_moment(two), dpo_adamw_first_moment(one), sizeof weight);
    memcpy(dpo_adamw_second_moment(two), dpo_adamw_second_moment(one), sizeof weight);
    dpo_adamw_set_n_updates(two, dpo_adamw_n_updates(one));
    make_numbers(2, N, gradient);
    dpo_adamw_run(one, 0.01, 1.0, gradient, weight);
    dpo_adamw_run(two, 0.01, 1.0, gradient, resumed);
    assert_memory_equal(weight, resumed, sizeof weight);
    dpo_adamw_destroy(&one);
    dpo_adamw_destroy(&two);
}

static void a_state_without_memory_is_null_and_leaves_nothing(void **state)
{
    (void)state;
    const dpo_range decays = {0, 4};

    for (int64_t fail = 1; fail <= 4; fail++) {
        dpo_adamw *adamw;

        dpo_memory_fail_after(fail);
        assert_int_equal(dpo_adamw_create(&usual, (dpo_range){0, 9}, 1, &decays, &adamw),
                         DPO_ENOMEM);
        assert_null(adamw);
        assert_int_equal(dpo_memory_outstanding(), 0);
    }
}

static void the_coefficient_is_that_of_torch(void **state)
{
    (void)state;
    ASSERT_CLOSE(dpo_clip_coefficient(4.0, 1.0), 1.0 / 4.000001, 1e-16);
    assert_true(dpo_clip_coefficient(0.5, 1.0) == 1.0);
    assert_true(dpo_clip_coefficient(0.0, 1.0) == 1.0);
    assert_true(dpo_clip_coefficient(1e9, 0.0) == 1.0);
    assert_true(isnan(dpo_clip_coefficient((double)NAN, 1.0)));
    assert_true(dpo_clip_coefficient((double)INFINITY, 1.0) == 0.0);
}

/* f64 holds the square of every f32, so large and tiny items neither overflow nor vanish. */
static void squares_are_summed_in_f64(void **state)
{
    (void)state;
    const float large[] = {1e30f, 1e30f};
    const float tiny[] = {1e-30f};
    float many[37];
    double sum = 0.0;

    make_numbers(9, 37, many);
    for (int i = 0; i < 37; i++)
        sum += (double)many[i] * (double)many[i];
    ASSERT_CLOSE(dpo_clip_sum_of_squares(37, many), sum, 1e-13);
    ASSERT_CLOSE(dpo_clip_sum_of_squares(2, large), 2e60, 1e54);
    assert_true(dpo_clip_sum_of_squares(1, tiny) > 0.0);
    assert_true(dpo_clip_sum_of_squares(0, NULL) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(twenty_clipped_updates_are_those_of_torch),
        UNIT_TEST(the_first_update_moves_by_the_learning_rate),
        UNIT_TEST(decay_shrinks_only_what_decays),
        UNIT_TEST(slices_together_are_the_whole_bit_for_bit),
        UNIT_TEST(a_resumed_state_goes_on_bit_for_bit),
        UNIT_TEST(a_state_without_memory_is_null_and_leaves_nothing),
        UNIT_TEST(the_coefficient_is_that_of_torch),
        UNIT_TEST(squares_are_summed_in_f64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
