// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/prepacked.h"

#include "dpo/base/float16.h"
#include "math_test.h"

/* N, I, O */
static const int64_t shapes[][3] = {{1, 1, 1}, {7, 5, 3}, {130, 72, 200}, {300, 64, 96}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

/* Operands of a product, all representable in bf16, and what it is in f64. */
typedef struct {
    dpo_prepacked_shape shape;
    int64_t n_operand, n_result;
    float *operand, *weight, *result; /* owned, as all that follows */
    uint16_t *operand_bf16;
    double *want;
} product_case;

static float *random_bf16(int64_t n, uint32_t seed)
{
    float *x = random_f32(n, seed, 1.0);

    for (int64_t i = 0; i < n; i++)
        x[i] = dpo_f32_from_bf16(dpo_bf16_from_f32(x[i]));
    return x;
}

static void multiply(const product_case *c)
{
    int64_t n_in = c->shape.d_in, n_out = c->shape.d_out;

    for (int64_t n = 0; n < c->shape.n_tokens; n++)
        for (int64_t o = 0; o < n_out; o++)
            for (int64_t i = 0; i < n_in; i++) {
                double w = (double)c->weight[o * n_in + i];

                if (c->shape.is_backward)
                    c->want[n * n_in + i] += (double)c->operand[n * n_out + o] * w;
                else
                    c->want[n * n_out + o] += (double)c->operand[n * n_in + i] * w;
            }
}

static product_case make_case(const int64_t size[3], dpo_element compute, bool is_backward)
{
    product_case c = {.shape = {size[0], size[1], size[2], compute, is_backward}};

    c.n_operand = size[0] * (is_backward ? size[2] : size[1]);
    c.n_result = size[0] * (is_backward ? size[1] : size[2]);
    c.operand = random_bf16(c.n_operand, 1);
    c.weight = random_bf16(size[1] * size[2], 2);
    c.result = random_f32(c.n_result, 3, 1.0);
    c.want = zeros_f64(c.n_result);
    ASSERT_OK(DPO_NEW(c.operand_bf16, c.n_operand));
    dpo_bf16_from_f32_many(c.n_operand, c.operand, c.operand_bf16);
    multiply(&c);
    return c;
}

static void free_case(product_case *c)
{
    dpo_free(c->operand);
    dpo_free(c->weight);
    dpo_free(c->result);
    dpo_free(c->operand_bf16);
    dpo_free(c->want);
}

static void assert_product(dpo_prepacked *product, product_case *c)
{
    const void *operand = c->operand;

    if (c->shape.compute == DPO_BF16) operand = c->operand_bf16;
    ASSERT_NO_ALLOCATION(dpo_prepacked_pack(product, c->weight));
    ASSERT_NO_ALLOCATION(dpo_prepacked_run(product, operand, c->result));
    ASSERT_SAME(c->n_result, c->result, c->want, 2e-6);
    assert_true(dpo_prepacked_bytes(product) >=
                c->shape.d_in * c->shape.d_out * dpo_element_bytes(c->shape.compute));
}

static void products_are_the_definitions(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        product_case c = make_case(shapes[i / 2], DPO_F32, i % 2 == 1);
        dpo_prepacked *product;

        ASSERT_OK(dpo_prepacked_create(&c.shape, &product));
        assert_product(product, &c);
        dpo_prepacked_destroy(&product);
        assert_null(product);
        free_case(&c);
    }
}

static void products_of_bf16_are_the_definitions_or_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * N_SHAPES; i++) {
        product_case c = make_case(shapes[i / 2], DPO_BF16, i % 2 == 1);
        dpo_prepacked *product;
        dpo_status status = dpo_prepacked_create(&c.shape, &product);

        if (status == DPO_OK)
            assert_product(product, &c);
        else
            ASSERT_FAILS(status, DPO_EINTERNAL, "bf16");
        dpo_prepacked_destroy(&product);
        free_case(&c);
    }
}

static void the_weight_packed_last_counts(void **state)
{
    product_case c = make_case(shapes[2], DPO_F32, false);
    float *other = random_f32(c.shape.d_in * c.shape.d_out, 4, 1.0);
    dpo_prepacked *product;

    (void)state;
    ASSERT_OK(dpo_prepacked_create(&c.shape, &product));
    dpo_prepacked_pack(product, other);
    dpo_prepacked_run(product, c.operand, c.result);
    assert_true(relative_error(c.n_result, c.result, c.want) > 0.1);
    assert_product(product, &c);
    memset(c.weight, 0, sizeof *c.weight * (size_t)(c.shape.d_in * c.shape.d_out));
    dpo_prepacked_run(product, c.operand, c.result);
    ASSERT_SAME(c.n_result, c.result, c.want, 2e-6);
    dpo_prepacked_destroy(&product);
    dpo_free(other);
    free_case(&c);
}

static void without_memory_there_is_no_product(void **state)
{
    const dpo_prepacked_shape shape = {4, 8, 16, DPO_F32, false};
    dpo_prepacked *product;

    (void)state;
    for (int n = 1; n <= 2; n++) {
        dpo_memory_fail_after(n);
        ASSERT_FAILS(dpo_prepacked_create(&shape, &product), DPO_ENOMEM, "");
        assert_null(product);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(products_are_the_definitions),
    UNIT_TEST(products_of_bf16_are_the_definitions_or_refused),
    UNIT_TEST(the_weight_packed_last_counts),
    UNIT_TEST(without_memory_there_is_no_product),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
