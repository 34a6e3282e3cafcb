// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/activation.h"

#include "math_test.h"

enum { N = 5, F = 37, SIZE = N * 2 * F };

/* gate_up and dL/dy in double precision. */
typedef struct {
    double *gate_up, *dy;
    double y[N * F];
} scene;

static double naive_loss(void *context)
{
    scene *s = context;

    for (int n = 0; n < N; n++)
        for (int f = 0; f < F; f++) {
            double gate = s->gate_up[n * 2 * F + f], up = s->gate_up[n * 2 * F + F + f];

            s->y[n * F + f] = gate / (1 + exp(-gate)) * up;
        }
    return weighted_sum((int64_t)N * F, s->dy, s->y);
}

static void forward_is_the_definition_and_backward_its_slope(void **state)
{
    (void)state;
    float *gate_up = random_f32(SIZE, 1, 3.0), *dy = random_f32((int64_t)N * F, 2, 1.0);
    float *y = zeros_f32((int64_t)N * F), *dgate_up = zeros_f32(SIZE);
    scene s = {.gate_up = widen(SIZE, gate_up), .dy = widen((int64_t)N * F, dy)};
    double *want = zeros_f64(SIZE);

    ASSERT_NO_ALLOCATION(dpo_swiglu_forward(DPO_F32, N, F, 2 * F, gate_up, y));
    (void)naive_loss(&s);
    ASSERT_SAME((int64_t)N * F, y, s.y, 3e-7);
    ASSERT_NO_ALLOCATION(dpo_swiglu_backward(DPO_F32, N, F, 2 * F, gate_up, dy, dgate_up));
    differentiate(naive_loss, &s, SIZE, s.gate_up, want);
    ASSERT_SAME(SIZE, dgate_up, want, 5e-7);
    void *arrays[] = {gate_up, dy, y, dgate_up, s.gate_up, s.dy, want};
    for (int a = 0; a < 7; a++)
        dpo_free(arrays[a]);
}

static void gradient_may_replace_the_input(void **state)
{
    (void)state;
    float *gate_up = random_f32(SIZE, 1, 3.0), *dy = random_f32((int64_t)N * F, 2, 1.0);
    float *dgate_up = zeros_f32(SIZE);

    dpo_swiglu_backward(DPO_F32, N, F, 2 * F, gate_up, dy, dgate_up);
    dpo_swiglu_backward(DPO_F32, N, F, 2 * F, gate_up, dy, gate_up);
    ASSERT_SAME_BITS(SIZE, gate_up, dgate_up);
    dpo_free(gate_up);
    dpo_free(dy);
    dpo_free(dgate_up);
}

static void extreme_gates_stay_finite(void **state)
{
    (void)state;
    float gate_up[] = {-1000, -100, 100, 1000, 1, 1, 1, 1}, dy[] = {1, 1, 1, 1}, y[4], d[8];

    dpo_swiglu_forward(DPO_F32, 1, 4, 8, gate_up, y);
    dpo_swiglu_backward(DPO_F32, 1, 4, 8, gate_up, dy, d);
    ASSERT_CLOSE((double)y[0], 0, 0);
    ASSERT_CLOSE((double)y[3], 1000, 0);
    for (int i = 0; i < 8; i++)
        assert_true(isfinite(d[i]));
    ASSERT_CLOSE((double)d[3], 1, 0);
}

/* Longer than a piece, with a ragged end. */
static void bf16_rounds_results_only(void **state)
{
    (void)state;
    enum { LONG = 1100, ROWS = 2, GATES = ROWS * 2 * LONG, YS = ROWS * LONG };
    float *gate_up = random_f32(GATES, 1, 3.0), *dy = random_f32(YS, 2, 1.0);
    float *y = zeros_f32(YS), *dgate_up = zeros_f32(GATES);
    uint16_t *stored = share_bf16(GATES, gate_up), *dstored = share_bf16(YS, dy), *result;

    ASSERT_OK(DPO_NEW(result, YS));
    dpo_swiglu_forward(DPO_F32, ROWS, LONG, 2 * LONG, gate_up, y);
    ASSERT_NO_ALLOCATION(dpo_swiglu_forward(DPO_BF16, ROWS, LONG, 2 * LONG, stored, result));
    assert_rounded(YS, result, y);
    dpo_swiglu_backward(DPO_F32, ROWS, LONG, 2 * LONG, gate_up, dy, dgate_up);
    ASSERT_NO_ALLOCATION(
        dpo_swiglu_backward(DPO_BF16, ROWS, LONG, 2 * LONG, stored, dstored, stored));
    assert_rounded(GATES, stored, dgate_up);
    void *arrays[] = {gate_up, dy, y, dgate_up, stored, dstored, result};
    for (int a = 0; a < 7; a++)
        dpo_free(arrays[a]);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(forward_is_the_definition_and_backward_its_slope),
    UNIT_TEST(gradient_may_replace_the_input),
    UNIT_TEST(extreme_gates_stay_finite),
    UNIT_TEST(bf16_rounds_results_only),
};

MATH_TEST_MAIN(tests)
