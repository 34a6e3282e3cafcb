// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/norm.h"

#include <omp.h>

#include "math_test.h"

/* One run of RMSNorm in both precisions. */
typedef struct {
    int64_t n_tokens, d_model, size;
    float *x, *weight, *y, *rstd, *dy, *dx, *dweight;
    double *wide_x, *wide_weight, *wide_y, *wide_dy;
} scene;

static const double eps = 1e-2; /* large enough to matter */

static scene open_scene(int64_t n_tokens, int64_t d_model)
{
    int64_t size = n_tokens * d_model;
    scene s = {.n_tokens = n_tokens, .d_model = d_model, .size = size};

    s.x = random_f32(size, 1, 0.5);
    s.weight = random_f32(d_model, 2, 1.0);
    s.dy = random_f32(size, 3, 1.0);
    s.y = zeros_f32(size);
    s.rstd = zeros_f32(n_tokens);
    s.dx = zeros_f32(size);
    s.dweight = zeros_f32(d_model);
    s.wide_x = widen(size, s.x);
    s.wide_weight = widen(d_model, s.weight);
    s.wide_dy = widen(size, s.dy);
    s.wide_y = zeros_f64(size);
    return s;
}

static void close_scene(scene *s)
{
    void *arrays[] = {s->x,       s->weight, s->y,           s->rstd,   s->dy,     s->dx,
                      s->dweight, s->wide_x, s->wide_weight, s->wide_y, s->wide_dy};

    for (int i = 0; i < 11; i++)
        dpo_free(arrays[i]);
}

static void run_scene(scene *s)
{
    dpo_rms_norm_forward(s->n_tokens, s->d_model, eps, s->x, s->weight, s->y, s->rstd);
    dpo_rms_norm_backward(s->n_tokens, s->d_model, s->x, s->weight, s->rstd, s->dy, s->dx,
                          s->dweight);
}

static double naive_loss(void *context)
{
    scene *s = context;

    for (int64_t n = 0; n < s->n_tokens; n++) {
        const double *x = s->wide_x + n * s->d_model;
        double rstd = 1 / sqrt(weighted_sum(s->d_model, x, x) / (double)s->d_model + eps);

        for (int64_t d = 0; d < s->d_model; d++)
            s->wide_y[n * s->d_model + d] = s->wide_weight[d] * x[d] * rstd;
    }
    return weighted_sum(s->size, s->wide_dy, s->wide_y);
}

static const int64_t widths[] = {1, 7, 8, 33, 64, 100};
enum { N_WIDTHS = 6, N_TOKENS = 9 };

static void forward_is_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < N_WIDTHS; i++) {
        scene s = open_scene(N_TOKENS, widths[i]);

        ASSERT_NO_ALLOCATION(run_scene(&s));
        (void)naive_loss(&s);
        ASSERT_SAME(s.size, s.y, s.wide_y, 1e-6);
        close_scene(&s);
    }
}

static void backward_is_the_slope_of_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < N_WIDTHS; i++) {
        scene s = open_scene(N_TOKENS, widths[i]);
        double *dx = zeros_f64(s.size), *dweight = zeros_f64(s.d_model);

        run_scene(&s);
        differentiate(naive_loss, &s, s.size, s.wide_x, dx);
        differentiate(naive_loss, &s, s.d_model, s.wide_weight, dweight);
        ASSERT_SAME(s.size, s.dx, dx, 2e-6);
        ASSERT_SAME(s.d_model, s.dweight, dweight, 2e-6);
        dpo_free(dx);
        dpo_free(dweight);
        close_scene(&s);
    }
}

static void backward_adds(void **state)
{
    (void)state;
    scene s = open_scene(5, 40);

    run_scene(&s);
    double *dx = widen(s.size, s.dx), *dweight = widen(s.d_model, s.dweight);

    for (int64_t i = 0; i < s.size; i++)
        dx[i] *= 2;
    for (int64_t d = 0; d < s.d_model; d++)
        dweight[d] *= 2;
    run_scene(&s);
    ASSERT_SAME(s.size, s.dx, dx, 1e-6);
    ASSERT_SAME(s.d_model, s.dweight, dweight, 1e-6);
    dpo_free(dx);
    dpo_free(dweight);
    close_scene(&s);
}

static void output_may_be_the_input(void **state)
{
    (void)state;
    scene s = open_scene(5, 40);

    run_scene(&s);
    dpo_rms_norm_forward(s.n_tokens, s.d_model, eps, s.x, s.weight, s.x, s.rstd);
    ASSERT_SAME_BITS(s.size, s.x, s.y);
    close_scene(&s);
}

/* The weight gradient's error must not grow with the number of tokens. */
static void many_tokens_do_not_cost_accuracy(void **state)
{
    (void)state;
    scene s = open_scene(4000, 24);
    double dweight[24] = {0};

    run_scene(&s);
    for (int64_t i = 0; i < s.size; i++)
        dweight[i % 24] += s.wide_dy[i] * s.wide_x[i] * (double)s.rstd[i / 24];
    ASSERT_SAME(24, s.dweight, dweight, 1e-6);
    close_scene(&s);
}

static void the_number_of_threads_does_not_show(void **state)
{
    (void)state;
    scene s = open_scene(600, 96);

    run_scene(&s);
    float *dx = copy_f32(s.size, s.dx), *dweight = copy_f32(s.d_model, s.dweight);

    int usual = omp_get_max_threads();

    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        memset(s.dx, 0, (size_t)s.size * sizeof *s.dx);
        memset(s.dweight, 0, (size_t)s.d_model * sizeof *s.dweight);
        omp_set_num_threads(n_threads);
        run_scene(&s);
        ASSERT_SAME_BITS(s.size, s.dx, dx);
        ASSERT_SAME_BITS(s.d_model, s.dweight, dweight);
    }
    omp_set_num_threads(usual);
    dpo_free(dx);
    dpo_free(dweight);
    close_scene(&s);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(forward_is_the_definition),
    UNIT_TEST(backward_is_the_slope_of_the_definition),
    UNIT_TEST(backward_adds),
    UNIT_TEST(output_may_be_the_input),
    UNIT_TEST(many_tokens_do_not_cost_accuracy),
    UNIT_TEST(the_number_of_threads_does_not_show),
};

MATH_TEST_MAIN(tests)
