// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/matmul.h"

#include "math_test.h"

/* Shapes of x [N, I], W [O, I]. */
static const int64_t shapes[][3] = {{1, 1, 1},
                                    {1, 64, 33},
                                    {7, 5, 3},
                                    {130, 72, 200},
                                    {300, 17, 96}};
enum { N_SHAPES = 5 };

/* c = beta c + sum_k a[i stride_i + k stride_k] b[j stride_j + k stride_l] for c [m, n]. */
typedef struct {
    const float *data;
    int64_t outer, inner; /* strides of the kept and of the summed index */
} operand;

static void naive(int64_t m, int64_t n, int64_t k, operand a, operand b, double *c)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < k; l++)
                c[i * n + j] += (double)a.data[i * a.outer + l * a.inner] *
                                (double)b.data[j * b.outer + l * b.inner];
}

static dpo_matmul *open_f32(int64_t d_in, int64_t d_out, int64_t max_tokens)
{
    const dpo_matmul_shape shape = {
        .name = "test", .d_in = d_in, .d_out = d_out, .max_tokens = max_tokens};
    dpo_matmul *matmul;

    ASSERT_OK(dpo_matmul_create(&shape, NULL, &matmul));
    return matmul;
}

static dpo_weight f32_weight(const float *weight)
{
    return (dpo_weight){.f32 = weight};
}

static void products_are_the_definitions(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        int64_t N = shapes[i][0], I = shapes[i][1], O = shapes[i][2];
        float *x = random_f32(N * I, 1, 1.0), *weight = random_f32(O * I, 2, 1.0);
        float *y = random_f32(N * O, 3, 1.0), *dy = random_f32(N * O, 4, 1.0);
        float *dx = random_f32(N * I, 5, 1.0), *dweight = random_f32(O * I, 6, 1.0);
        double *want = zeros_f64(N * O), *dwant = zeros_f64(N * I),
               *dwanted = widen(O * I, dweight);
        dpo_matmul *matmul;

        matmul = open_f32(I, O, N);
        naive(N, O, I, (operand){x, I, 1}, (operand){weight, I, 1}, want);
        ASSERT_NO_ALLOCATION(dpo_matmul_forward(matmul, N, x, f32_weight(weight), DPO_ASSIGN, y));
        ASSERT_SAME(N * O, y, want, 2e-6);
        naive(N, I, O, (operand){dy, O, 1}, (operand){weight, 1, I}, dwant);
        ASSERT_NO_ALLOCATION(
            dpo_matmul_backward_data(matmul, N, dy, f32_weight(weight), DPO_ASSIGN, dx));
        ASSERT_SAME(N * I, dx, dwant, 2e-6);
        naive(O, I, N, (operand){dy, 1, O}, (operand){x, 1, I}, dwanted);
        ASSERT_NO_ALLOCATION(dpo_matmul_backward_weight(matmul, N, x, dy, dweight));
        ASSERT_SAME(O * I, dweight, dwanted, 2e-6);
        dpo_matmul_destroy(&matmul);
        void *arrays[] = {x, weight, y, dy, dx, dweight, want, dwant, dwanted};
        for (int a = 0; a < 9; a++)
            dpo_free(arrays[a]);
    }
}

static void adding_keeps_what_was_there(void **state)
{
    (void)state;
    enum { N = 65, I = 40, O = 24 };
    float *x = random_f32(N * I, 1, 1.0), *weight = random_f32(O * I, 2, 1.0);
    float *y = random_f32(N * O, 3, 1.0), *dx = random_f32(N * I, 4, 1.0);
    double *want = widen(N * O, y), *dwant = widen(N * I, dx);
    dpo_matmul *matmul;

    matmul = open_f32(I, O, N);
    naive(N, O, I, (operand){x, I, 1}, (operand){weight, I, 1}, want);
    dpo_matmul_forward(matmul, N, x, f32_weight(weight), DPO_ADD, y);
    ASSERT_SAME(N * O, y, want, 2e-6);
    naive(N, I, O, (operand){y, O, 1}, (operand){weight, 1, I}, dwant);
    dpo_matmul_backward_data(matmul, N, y, f32_weight(weight), DPO_ADD, dx);
    ASSERT_SAME(N * I, dx, dwant, 2e-6);
    dpo_matmul_destroy(&matmul);
    void *arrays[] = {x, weight, y, dx, want, dwant};
    for (int a = 0; a < 6; a++)
        dpo_free(arrays[a]);
}

/* Any number of tokens up to the plan's; rows beyond it are not touched. */
static void fewer_tokens_than_planned_are_the_first_rows(void **state)
{
    (void)state;
    enum { MAX = 50, I = 32, O = 16 };
    float *x = random_f32(MAX * I, 1, 1.0), *weight = random_f32(O * I, 2, 1.0);
    float *all = zeros_f32(MAX * O), *some = zeros_f32(MAX * O);
    dpo_matmul *matmul;

    matmul = open_f32(I, O, MAX);
    dpo_matmul_forward(matmul, MAX, x, f32_weight(weight), DPO_ASSIGN, all);
    double *want = widen(MAX * O, all);

    for (int64_t n = 0; n <= MAX; n++) {
        memset(some, 0, MAX * O * sizeof *some);
        dpo_matmul_forward(matmul, n, x, f32_weight(weight), DPO_ASSIGN, some);
        if (n > 0) ASSERT_SAME(n * O, some, want, 1e-6);
        for (int64_t i = n * O; i < MAX * O; i++)
            assert_true(some[i] == 0.0f);
    }
    dpo_matmul_destroy(&matmul);
    void *arrays[] = {x, weight, all, some, want};
    for (int a = 0; a < 5; a++)
        dpo_free(arrays[a]);
}

static void no_tokens_leave_gradients_alone(void **state)
{
    (void)state;
    float weight[4] = {1, 2, 3, 4}, dweight[4] = {5, 6, 7, 8}, nothing = 9;
    dpo_matmul *matmul;

    matmul = open_f32(2, 2, 1);
    dpo_matmul_forward(matmul, 0, &nothing, f32_weight(weight), DPO_ASSIGN, &nothing);
    dpo_matmul_backward_data(matmul, 0, &nothing, f32_weight(weight), DPO_ASSIGN, &nothing);
    dpo_matmul_backward_weight(matmul, 0, &nothing, &nothing, dweight);
    assert_true(nothing == 9 && dweight[0] == 5 && dweight[3] == 8);
    dpo_matmul_destroy(&matmul);
    assert_null(matmul);
}

static void repeated_runs_give_the_same_bits(void **state)
{
    (void)state;
    enum { N = 500, I = 200, O = 64 };
    float *x = random_f32(N * I, 1, 1.0), *dy = random_f32(N * O, 2, 1.0);
    float *first = zeros_f32(O * I), *again = zeros_f32(O * I);
    dpo_matmul *matmul;

    matmul = open_f32(I, O, N);
    dpo_matmul_backward_weight(matmul, N, x, dy, first);
    for (int i = 0; i < 5; i++) {
        memset(again, 0, O * I * sizeof *again);
        dpo_matmul_backward_weight(matmul, N, x, dy, again);
        ASSERT_SAME_BITS(O * I, first, again);
    }
    dpo_matmul_destroy(&matmul);
    void *arrays[] = {x, dy, first, again};
    for (int a = 0; a < 4; a++)
        dpo_free(arrays[a]);
}

/* An array as it is stored and as f32, the same numbers. */
typedef struct {
    dpo_element element;
    int64_t n;
    float *f32;
    uint16_t *bf16; /* NULL if stored as f32 */
} array;

static array make_array(dpo_element element, bool is_rounded, int64_t n, uint32_t seed)
{
    array a = {element, n, random_f32(n, seed, 1.0), NULL};

    if (element == DPO_BF16 || is_rounded) a.bf16 = share_bf16(n, a.f32);
    return a;
}

static void *stored(const array *a)
{
    return a->element == DPO_BF16 ? (void *)a->bf16 : a->f32;
}

/* Rows of `width` elements, `stride` apart. Rounding to bf16 moves a number by 2^-8 of it at most. */
static void check_result(const array *a, int64_t width, int64_t stride, const double *want)
{
    int64_t n_rows = a->n / stride;

    if (a->element == DPO_BF16) dpo_f32_from_bf16_many(a->n, a->bf16, a->f32);
    for (int64_t r = 0; r < n_rows; r++)
        memmove(a->f32 + r * width, a->f32 + r * stride, (size_t)width * sizeof *a->f32);
    ASSERT_SAME(n_rows * width, a->f32, want, a->element == DPO_BF16 ? 1.0 / 256 + 4e-6 : 4e-6);
}

static void free_array(array *a)
{
    dpo_free(a->f32);
    dpo_free(a->bf16);
}

/* Operands are exactly representable, so that what is left is the rounding of results. */
static void compare_elements(const dpo_matmul_shape *shape)
{
    int64_t N = shape->max_tokens, I = shape->d_in, O = shape->d_out;
    int64_t stride = shape->y_stride > 0 ? shape->y_stride : O;
    bool rounds = shape->compute == DPO_BF16;
    array x = make_array(shape->x, rounds, N * I, 1),
          y = make_array(shape->y, false, N * stride, 2);
    array dy = make_array(shape->y, rounds, N * stride, 3),
          dx = make_array(shape->x, false, N * I, 4);
    array weight = make_array(DPO_F32, rounds, O * I, 5);
    float *dweight = zeros_f32(O * I), *staging = zeros_f32(dpo_matmul_staging_bytes(shape));
    double *want = zeros_f64(N * O), *dwant = zeros_f64(N * I), *dwanted = zeros_f64(O * I);
    dpo_matmul *matmul;

    ASSERT_OK(dpo_matmul_create(shape, staging, &matmul));
    naive(N, O, I, (operand){x.f32, I, 1}, (operand){weight.f32, I, 1}, want);
    naive(N, I, O, (operand){dy.f32, stride, 1}, (operand){weight.f32, 1, I}, dwant);
    naive(O, I, N, (operand){dy.f32, 1, stride}, (operand){x.f32, 1, I}, dwanted);
    const dpo_weight both = {weight.f32, weight.bf16};

    ASSERT_NO_ALLOCATION(dpo_matmul_forward(matmul, N, stored(&x), both, DPO_ASSIGN, stored(&y)));
    check_result(&y, O, stride, want);
    ASSERT_NO_ALLOCATION(
        dpo_matmul_backward_data(matmul, N, stored(&dy), both, DPO_ASSIGN, stored(&dx)));
    check_result(&dx, I, I, dwant);
    ASSERT_NO_ALLOCATION(dpo_matmul_backward_weight(matmul, N, stored(&x), stored(&dy), dweight));
    ASSERT_SAME(O * I, dweight, dwanted, 4e-6);
    dpo_matmul_destroy(&matmul);
    array *arrays[] = {&x, &y, &dy, &dx, &weight};
    for (int a = 0; a < 5; a++)
        free_array(arrays[a]);
    void *others[] = {dweight, staging, want, dwant, dwanted};
    for (int a = 0; a < 5; a++)
        dpo_free(others[a]);
}

/* One strip, and several with a ragged end. */
static void compare_all_elements(dpo_element compute)
{
    const dpo_element elements[] = {DPO_F32, DPO_BF16};

    for (int x = 0; x < 2; x++)
        for (int y = 0; y < 2; y++) {
            dpo_matmul_shape shape = {.name = "test",
                                      .d_in = 24,
                                      .d_out = 40,
                                      .max_tokens = 2100,
                                      .x = elements[x],
                                      .y = elements[y],
                                      .compute = compute};

            compare_elements(&shape);
            shape.max_tokens = 70;
            compare_elements(&shape);
            shape.y_stride = 45;
            compare_elements(&shape);
        }
}

static void rows_may_lie_apart_and_are_widened_and_rounded(void **state)
{
    (void)state;
    compare_all_elements(DPO_F32);
}

static void products_of_bf16_operands_are_summed_in_f32(void **state)
{
    (void)state;
    const char *reason;

    assert_true(dpo_engine_has_bf16(&reason) == (reason == NULL));
    if (!dpo_engine_multiplies_bf16()) skip();
    compare_all_elements(DPO_BF16);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(products_are_the_definitions),
    UNIT_TEST(adding_keeps_what_was_there),
    UNIT_TEST(fewer_tokens_than_planned_are_the_first_rows),
    UNIT_TEST(no_tokens_leave_gradients_alone),
    UNIT_TEST(repeated_runs_give_the_same_bits),
    UNIT_TEST(rows_may_lie_apart_and_are_widened_and_rounded),
    UNIT_TEST(products_of_bf16_operands_are_summed_in_f32),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
