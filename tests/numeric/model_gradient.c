// SPDX-License-Identifier: Apache-2.0
#include "model_fixture.h"

/*
 * Loss L = sum of c[r] logp[r] over the rows of a batch, in f64 from f32 log-probabilities.
 *
 * Tolerances. A log-probability of about -4 carries an error of a few f32 units in the last place
 * of the logits it comes from: 1e-6. A sum of R = 18 of them with |c| about 1 has 4e-6. The
 * five-point formula
 *
 *     dL/dt (0) = (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / (12 h) + h^4 / 30 d^5 L/dt^5
 *
 * amplifies it to 1.5 * 4e-6 / h = 6e-4 at h = 0.01; a margin of 3 gives noise. Its own error is
 * relative: weights are of order 1, so a fifth derivative is at most some 1e4 times the first (a
 * norm or softmax that turns within 0.1), and 1e-8 * 1e4 / 30 = 3e-6.
 */
static const double step = 0.01;
static const double noise = 2e-3;
static const double relative = 1e-4;

/* Moves one tensor's weights by h along a direction and puts them back. */
static double loss_at(dpo_model *model, const test_batch *b, const float *coefficient,
                      const dpo_parameter *row, const double *direction, double h)
{
    float *weight = dpo_model_weights(model) + row->offset;
    float *old = malloc((size_t)row->count * sizeof *old);
    double loss;

    assert_non_null(old);
    memcpy(old, weight, (size_t)row->count * sizeof *old);
    for (int64_t k = 0; k < row->count; k++)
        weight[k] = (float)((double)old[k] + h * direction[k]);
    loss = loss_of(model, &b->batch, coefficient);
    memcpy(weight, old, (size_t)row->count * sizeof *old);
    free(old);
    return loss;
}

static void check_direction(dpo_model *model, const test_batch *b, const float *coefficient,
                            const dpo_parameter *row, const double *direction)
{
    const float *gradient = dpo_model_gradients(model) + row->offset;
    double along = 0, slope = 0;

    for (int64_t k = 0; k < row->count; k++)
        along += (double)gradient[k] * direction[k];
    for (int i = 1; i <= 2; i++)
        slope += (i == 1 ? 8 : -1) * (loss_at(model, b, coefficient, row, direction, i * step) -
                                      loss_at(model, b, coefficient, row, direction, -i * step));
    slope /= 12 * step;
    if (!(fabs(slope - along) <= noise + relative * fabs(along)))
        fail_msg("%s: the loss changes by %g, the gradient says %g", row->name, slope, along);
}

/* Several entries (the largest and some at random), the gradient itself, and a random direction. */
static void check_tensor(dpo_model *model, const test_batch *b, const float *coefficient,
                         const dpo_parameter *row)
{
    const float *gradient = dpo_model_gradients(model) + row->offset;
    double *direction = calloc((size_t)row->count, sizeof *direction);
    double norm = 0, length = 0;
    int64_t largest = 0;

    assert_non_null(direction);
    for (int64_t k = 0; k < row->count; k++) {
        norm += (double)gradient[k] * (double)gradient[k];
        if (fabsf(gradient[k]) > fabsf(gradient[largest])) largest = k;
    }
    assert_true(norm > 0);
    for (uint64_t i = 0; i < 4; i++) {
        int64_t k = (int64_t)(dpo_random_bits(3, DPO_STREAM_TEST, 5, i) % (uint64_t)row->count);

        if (i == 0) k = largest;
        direction[k] = 1;
        check_direction(model, b, coefficient, row, direction);
        direction[k] = 0;
    }
    for (int64_t k = 0; k < row->count; k++)
        direction[k] = (double)gradient[k] / sqrt(norm);
    check_direction(model, b, coefficient, row, direction);
    for (int64_t k = 0; k < row->count; k++) {
        direction[k] = dpo_random_normal(4, DPO_STREAM_TEST, 6, (uint64_t)k);
        length += direction[k] * direction[k];
    }
    for (int64_t k = 0; k < row->count; k++)
        direction[k] /= sqrt(length);
    check_direction(model, b, coefficient, row, direction);
    free(direction);
}

static void check_gradient(bool tied, int64_t logits_bytes)
{
    dpo_model *model = tiny_model(tied, true, logits_bytes);
    const dpo_parameters *parameters = dpo_model_parameters(model);
    float coefficient[MAX_ROWS];
    test_batch b;

    differentiate_forest(model, &b, coefficient);
    for (int64_t i = 0; i < parameters->n_rows; i++)
        check_tensor(model, &b, coefficient, &parameters->row[i]);
    dpo_model_destroy(&model);
}

static void gradient_of_every_tensor_is_the_slope_with_tied_embeddings(void **state)
{
    (void)state;
    check_gradient(true, 1 << 20);
}

static void gradient_of_every_tensor_is_the_slope_with_its_own_head(void **state)
{
    (void)state;
    check_gradient(false, 0);
}

/* Adds loss and gradient of one response with all that is before it, as one segment of its own. */
static double add_separate(dpo_model *model, const test_batch *forest, int64_t segment,
                           const float *coefficient)
{
    int64_t path[MAX_SEGMENTS], n_path = 0, n = 0;
    int64_t n_response = forest->begin[segment + 1] - forest->begin[segment];
    int32_t token[MAX_TOKENS];
    test_batch b;
    double loss;

    for (int64_t s = segment; s >= 0; s = forest->parent[s])
        path[n_path++] = s;
    while (n_path-- > 0)
        for (int64_t t = forest->begin[path[n_path]]; t < forest->begin[path[n_path] + 1]; t++)
            token[n++] = forest->token[t];
    clear_batch(&b);
    (void)add_segment(&b, -1, n, token);
    for (int64_t i = n - n_response; i < n; i++)
        add_row(&b, i - 1, token[i]);
    loss = loss_of(model, &b.batch, coefficient);
    dpo_model_backward(model, &b.batch, coefficient, NULL);
    return loss;
}

static void a_shared_prompt_is_as_good_as_separate_sequences(void **state)
{
    dpo_model *shared = tiny_model(true, true, 0), *separate = tiny_model(true, true, 0);
    static const int64_t segment[N_RESPONSES] = {2, 3, 5, 6};
    float coefficient[MAX_ROWS];
    double loss, sum = 0;
    int64_t row = 0;
    test_batch b;

    (void)state;
    make_forest(&b);
    random_coefficients(b.batch.n_rows, coefficient);
    loss = loss_of(shared, &b.batch, coefficient);
    dpo_model_backward(shared, &b.batch, coefficient, NULL);
    for (int i = 0; i < N_RESPONSES; i++) {
        sum += add_separate(separate, &b, segment[i], coefficient + row);
        row += response_tokens[i];
    }
    ASSERT_CLOSE(sum, loss, 1e-5 * (double)b.batch.n_rows);
    ASSERT_CLOSE(gradient_distance(shared, separate), 0, 1e-5);
    dpo_model_destroy(&separate);
    dpo_model_destroy(&shared);
}

static void splitting_a_batch_changes_nothing(void **state)
{
    dpo_model *whole = tiny_model(false, true, 0), *split = tiny_model(false, true, 0);
    float coefficient[MAX_ROWS];
    double loss, sum = 0;
    int64_t row = 0;
    test_batch b, part;

    (void)state;
    make_forest(&b);
    random_coefficients(b.batch.n_rows, coefficient);
    loss = loss_of(whole, &b.batch, coefficient);
    dpo_model_backward(whole, &b.batch, coefficient, NULL);
    for (int tree = 0; tree < 2; tree++) {
        static const int64_t first[3] = {0, 4, 7};
        int64_t prompt = 0;

        clear_batch(&part);
        for (int64_t s = first[tree]; s < first[tree + 1]; s++) {
            int64_t n = b.begin[s + 1] - b.begin[s];

            if (s < first[tree + 1] - 2)
                prompt = add_segment(&part, part.batch.segments.n_segments == 0 ? -1 : prompt, n,
                                     b.token + b.begin[s]);
            else
                add_response(&part, prompt, n, b.token + b.begin[s]);
        }
        sum += loss_of(split, &part.batch, coefficient + row);
        dpo_model_backward(split, &part.batch, coefficient + row, NULL);
        row += part.batch.n_rows;
    }
    assert_int_equal(row, b.batch.n_rows);
    ASSERT_CLOSE(sum, loss, 1e-5 * (double)row);
    ASSERT_CLOSE(gradient_distance(whole, split), 0, 1e-5);
    dpo_model_destroy(&split);
    dpo_model_destroy(&whole);
}

static void the_frozen_model_gives_the_bits_of_the_trainable_one(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        dpo_model *trainable = tiny_model(tied, true, 1 << 20);
        dpo_model *frozen = tiny_model(tied, false, 0);
        float expected[MAX_ROWS], logp[MAX_ROWS];
        test_batch b;

        make_forest(&b);
        dpo_model_forward(trainable, &b.batch, expected);
        dpo_model_forward(frozen, &b.batch, logp);
        assert_memory_equal(logp, expected, (size_t)b.batch.n_rows * sizeof *logp);
        assert_null(dpo_model_gradients(frozen));
        dpo_model_destroy(&frozen);
        dpo_model_destroy(&trainable);
    }
}

static void the_same_step_gives_the_same_bits(void **state)
{
    dpo_model *first = tiny_model(true, true, 0), *second = tiny_model(true, true, 0);
    float coefficient[MAX_ROWS];
    test_batch b;

    (void)state;
    make_forest(&b);
    random_coefficients(b.batch.n_rows, coefficient);
    (void)loss_of(first, &b.batch, coefficient);
    dpo_model_backward(first, &b.batch, coefficient, NULL);
    for (int i = 0; i < 2; i++) {
        dpo_model_zero_gradients(second);
        (void)loss_of(second, &b.batch, coefficient);
        dpo_model_backward(second, &b.batch, coefficient, NULL);
    }
    assert_memory_equal(dpo_model_gradients(first), dpo_model_gradients(second),
                        (size_t)dpo_model_parameters(first)->n_elements * sizeof(float));
    dpo_model_destroy(&second);
    dpo_model_destroy(&first);
}

static dpo_model *deep_model(dpo_recompute recompute)
{
    dpo_model_config config = tiny_config(true);
    dpo_model_limits limits = {
        .max_tokens = MAX_TOKENS, .max_rows = MAX_ROWS, .trainable = true, .recompute = recompute};
    dpo_model *model;

    config.n_layers = 4;
    ASSERT_OK(dpo_model_create(test_grid, &config, &limits, &model));
    fill_weights(model, 1);
    return model;
}

/* Twice, so that what one backward pass leaves in the shared buffers meets the next forward pass. */
static void recomputation_changes_no_bit(void **state)
{
    dpo_model *kept = deep_model(DPO_RECOMPUTE_NONE);
    size_t bytes = (size_t)dpo_model_parameters(kept)->n_elements * sizeof(float);
    float coefficient[MAX_ROWS];
    test_batch b;

    (void)state;
    make_forest(&b);
    random_coefficients(b.batch.n_rows, coefficient);
    for (int i = 0; i < 2; i++) {
        (void)loss_of(kept, &b.batch, coefficient);
        dpo_model_backward(kept, &b.batch, coefficient, NULL);
    }
    for (int r = DPO_RECOMPUTE_MLP; r <= DPO_RECOMPUTE_LAYER; r++) {
        dpo_model *redone = deep_model((dpo_recompute)r);

        for (int i = 0; i < 2; i++) {
            (void)loss_of(redone, &b.batch, coefficient);
            dpo_model_backward(redone, &b.batch, coefficient, NULL);
        }
        assert_memory_equal(dpo_model_gradients(redone), dpo_model_gradients(kept), bytes);
        dpo_model_destroy(&redone);
    }
    dpo_model_destroy(&kept);
}

static void an_empty_batch_changes_nothing(void **state)
{
    dpo_model *model = tiny_model(true, true, 0);
    test_batch b;

    (void)state;
    clear_batch(&b);
    dpo_model_forward(model, &b.batch, NULL);
    dpo_model_backward(model, &b.batch, NULL, NULL);
    for (int64_t k = 0; k < dpo_model_parameters(model)->n_elements; k++)
        assert_true(dpo_model_gradients(model)[k] == 0);
    dpo_model_destroy(&model);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(gradient_of_every_tensor_is_the_slope_with_tied_embeddings),
    cmocka_unit_test(gradient_of_every_tensor_is_the_slope_with_its_own_head),
    cmocka_unit_test(a_shared_prompt_is_as_good_as_separate_sequences),
    cmocka_unit_test(splitting_a_batch_changes_nothing),
    cmocka_unit_test(the_frozen_model_gives_the_bits_of_the_trainable_one),
    cmocka_unit_test(the_same_step_gives_the_same_bits),
    cmocka_unit_test(recomputation_changes_no_bit),
    cmocka_unit_test(an_empty_batch_changes_nothing),
};

MPI_TEST_MAIN(tests)
