// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/json.h"
#include "dpo/optim/clip.h"
#include "dpo/optim/ema.h"
#include "optim_fixture.h"

enum { MAX_ITEMS = 128, MAX_TENSORS = 8 };

/* A few small tensors, all on this rank. */
typedef struct {
    dpo_parameter row[MAX_TENSORS];
    dpo_parameters parameters;
    dpo_range range;
    dpo_shard shard;
} fixture;

static void begin(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->parameters.row = f->row;
}

static void add(fixture *f, const char *name, int64_t rows, int64_t columns, bool decays)
{
    add_tensor(&f->parameters, name, rows, columns, decays);
    f->range = (dpo_range){0, f->parameters.n_elements};
    f->shard = (dpo_shard){1, &f->range, f->parameters.n_elements};
}

static dpo_optimizer *optimizer_of(const fixture *f, const char *name,
                                   const dpo_optimizer_options *options)
{
    const dpo_optimizer_method *method = method_named(name);
    dpo_optimizer *optimizer;

    ASSERT_OK(dpo_optimizer_create(test_grid, method, options != NULL ? options : &method->initial,
                                   &f->parameters, &f->shard, &optimizer));
    return optimizer;
}

static void update(dpo_optimizer *optimizer, double lr, double scale, const float *gradients,
                   float *weights)
{
    dpo_optimizer_update u = {lr, scale, gradients, weights};

    dpo_optimizer_run(optimizer, &u);
}

static double number_of(const dpo_json *object, const char *key)
{
    double value;

    ASSERT_OK(dpo_json_get_number(object, "golden", key, &value));
    return value;
}

static int64_t numbers_in(const dpo_json *array, float *value)
{
    int64_t n = 0;

    assert_true(dpo_json_count(array) > 0 && dpo_json_count(array) <= MAX_ITEMS);
    for (const dpo_json *item = dpo_json_first(array); item; item = dpo_json_next(item))
        value[n++] = (float)dpo_json_number(item);
    return n;
}

static int64_t numbers_of(const dpo_json *object, const char *key, float *value)
{
    return numbers_in(dpo_json_find(object, key), value);
}

/* Both sides round every operation to f32, in almost the same order: 20 updates stay within 1e-6. */
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
    fixture f;

    ASSERT_OK(dpo_json_read_file(DPO_TEST_DATA "/optim_adamw.json", DPO_JSON_STRICT, &root));
    dpo_optimizer_options options = {.betas = {number_of(root, "beta1"), number_of(root, "beta2")},
                                     .eps = number_of(root, "eps"),
                                     .weight_decay = number_of(root, "weight_decay")};
    int64_t n = numbers_of(root, "weight", weight);
    int64_t n_decays = (int64_t)number_of(root, "n_decays");

    begin(&f);
    add(&f, "decaying", n_decays, 0, true);
    add(&f, "plain", n - n_decays, 0, false);
    dpo_optimizer *adamw = optimizer_of(&f, "adamw", &options);
    const dpo_json *updates = dpo_json_find(root, "updates");

    assert_int_equal(dpo_json_count(updates), 20);
    for (const dpo_json *golden = dpo_json_first(updates); golden; golden = dpo_json_next(golden)) {
        float gradient[MAX_ITEMS];
        dpo_exact_sum squares = {0};

        assert_int_equal(numbers_of(golden, "gradient", gradient), n);
        dpo_clip_add_squares(&f.parameters, &f.shard, gradient, &squares);
        double norm = dpo_clip_norm(test_grid, &squares);

        ASSERT_CLOSE(norm, number_of(golden, "norm"), 1e-6 * norm);
        update(adamw, number_of(golden, "lr"), dpo_clip_coefficient(norm, number_of(root, "clip")),
               gradient, weight);
        check_numbers(golden, "weight", weight);
    }
    check_numbers(root, "m", dpo_optimizer_state(adamw, 0));
    check_numbers(root, "v", dpo_optimizer_state(adamw, 1));
    assert_int_equal(dpo_optimizer_n_updates(adamw), 20);
    dpo_optimizer_destroy(&adamw);
    dpo_json_destroy(&root);
}

static void read_tensors(const dpo_json *tensors, fixture *f)
{
    begin(f);
    for (const dpo_json *t = dpo_json_first(tensors); t != NULL; t = dpo_json_next(t)) {
        const dpo_json *rows = dpo_json_first(dpo_json_find(t, "dims"));
        const dpo_json *columns = dpo_json_next(rows);

        add(f, dpo_json_text(dpo_json_find(t, "name")), (int64_t)dpo_json_number(rows),
            columns != NULL ? (int64_t)dpo_json_number(columns) : 0,
            dpo_json_bool(dpo_json_find(t, "decays")));
    }
}

static void read_option(const dpo_json *given, const char *key, double *value)
{
    const dpo_json *found = dpo_json_find(given, key);

    if (found != NULL) *value = dpo_json_number(found);
}

static dpo_optimizer_options options_of(const dpo_json *golden, const char *method)
{
    dpo_optimizer_options options = method_named(method)->initial;
    const dpo_json *given = dpo_json_find(golden, "options");
    double nesterov = options.nesterov;
    double ns_steps = (double)options.ns_steps;
    double adjust_lr = options.adjust_lr;

    read_option(given, "weight_decay", &options.weight_decay);
    read_option(given, "momentum", &options.momentum);
    read_option(given, "trust_coefficient", &options.trust_coefficient);
    read_option(given, "matrix_rate", &options.matrix_rate);
    read_option(given, "nesterov", &nesterov);
    read_option(given, "ns_steps", &ns_steps);
    read_option(given, "adjust_lr", &adjust_lr);
    options.nesterov = nesterov != 0.0;
    options.ns_steps = (int64_t)ns_steps;
    options.adjust_lr = (int)adjust_lr;
    return options;
}

/* Weights are of size 1; what is compared is relative to that. */
static void check_method(const dpo_json *root, const dpo_json *golden, const fixture *f)
{
    const char *name = dpo_json_text(dpo_json_find(golden, "method"));
    dpo_optimizer_options options = options_of(golden, name);
    dpo_optimizer *optimizer = optimizer_of(f, name, &options);
    const dpo_json *gradients = dpo_json_find(root, "gradients");
    float weight[MAX_ITEMS];
    float want[MAX_ITEMS];
    int64_t n = numbers_of(root, "weights", weight);

    assert_int_equal(n, f->parameters.n_elements);
    for (const dpo_json *g = dpo_json_first(gradients); g != NULL; g = dpo_json_next(g)) {
        float gradient[MAX_ITEMS];

        assert_int_equal(numbers_in(g, gradient), n);
        update(optimizer, number_of(root, "lr"), 1.0, gradient, weight);
    }
    assert_int_equal(numbers_of(golden, "weights", want), n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)weight[i] - (double)want[i]) <= number_of(golden, "tolerance")))
            fail_msg("%s: weight %d is %.9g, expected %.9g", name, (int)i, (double)weight[i],
                     (double)want[i]);
    dpo_optimizer_destroy(&optimizer);
}

static void every_method_is_that_of_torch_or_its_paper(void **state)
{
    (void)state;
    dpo_json *root;
    fixture f;

    ASSERT_OK(dpo_json_read_file(DPO_TEST_DATA "/optim_methods.json", DPO_JSON_STRICT, &root));
    const dpo_json *cases = dpo_json_find(root, "cases");

    read_tensors(dpo_json_find(root, "tensors"), &f);
    assert_true(dpo_json_count(cases) >= 12);
    for (const dpo_json *golden = dpo_json_first(cases); golden; golden = dpo_json_next(golden))
        check_method(root, golden, &f);
    dpo_json_destroy(&root);
}

/* A matrix of the layers, an embedding and a vector, so that each way of Muon is taken. */
static void three_tensors(fixture *f)
{
    begin(f);
    add(f, "model.embed_tokens.weight", 4, 3, true);
    add(f, "model.layers.0.mlp.up_proj.weight", 3, 5, true);
    add(f, "model.norm.weight", 5, 0, false);
}

enum { N_ITEMS = 32, N_MATRIX = 15, MATRIX_AT = 12, VECTOR_AT = 27 };

static void the_first_update_moves_by_the_learning_rate(void **state)
{
    (void)state;
    static const char *const methods[] = {"adamw", "lion"};
    const float gradient[] = {3.0f, -0.5f, 1e-3f, 0.0f};
    const double moved[] = {-0.01, 0.01, -0.01, 0.0};
    fixture f;

    begin(&f);
    add(&f, "vector", 4, 0, false);
    for (int k = 0; k < 2; k++) {
        float weight[] = {0.0f, 0.0f, 0.0f, 0.0f};
        dpo_optimizer *optimizer = optimizer_of(&f, methods[k], NULL);

        update(optimizer, 0.01, 1.0, gradient, weight);
        for (int i = 0; i < 4; i++)
            ASSERT_CLOSE((double)weight[i], moved[i], 1e-6);
        dpo_optimizer_destroy(&optimizer);
    }
}

static void decay_shrinks_only_what_decays(void **state)
{
    (void)state;
    int n;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n);
    fixture f;

    three_tensors(&f);
    for (int k = 0; k < n; k++) {
        const float gradient[N_ITEMS] = {0};
        float weight[N_ITEMS];
        dpo_optimizer_options options = table[k].initial;

        options.weight_decay = 0.5;
        for (int i = 0; i < N_ITEMS; i++)
            weight[i] = 1.0f;
        dpo_optimizer *optimizer = optimizer_of(&f, table[k].name, &options);

        update(optimizer, 0.1, 1.0, gradient, weight);
        for (int i = 0; i < N_ITEMS; i++)
            assert_true(i < VECTOR_AT ? weight[i] < 1.0f : weight[i] == 1.0f);
        dpo_optimizer_destroy(&optimizer);
    }
}

/* LAMB and LARS: a tensor of twice the size takes steps of twice the size. */
static void trust_ratios_make_steps_follow_the_size_of_a_tensor(void **state)
{
    (void)state;
    static const char *const methods[] = {"lamb", "lars"};
    fixture f;

    begin(&f);
    add(&f, "a", 6, 0, true);
    add(&f, "b", 6, 0, true);
    for (int k = 0; k < 2; k++) {
        float weight[12], before[12], gradient[12];
        dpo_optimizer *optimizer = optimizer_of(&f, methods[k], NULL);

        make_numbers(1, 6, weight);
        make_numbers(2, 6, gradient);
        for (int i = 0; i < 6; i++) {
            weight[6 + i] = 2.0f * weight[i];
            gradient[6 + i] = gradient[i];
        }
        memcpy(before, weight, sizeof weight);
        update(optimizer, 0.01, 1.0, gradient, weight);
        for (int i = 0; i < 6; i++) {
            double moved = (double)weight[i] - (double)before[i];

            assert_true(moved != 0.0);
            ASSERT_CLOSE((double)weight[6 + i] - (double)before[6 + i], 2.0 * moved, 1e-6);
        }
        dpo_optimizer_destroy(&optimizer);
    }
}

static void a_zero_tensor_moves_at_ratio_one(void **state)
{
    (void)state;
    const float gradient[] = {1.0f, -2.0f};
    float weight[] = {0.0f, 0.0f};
    fixture f;

    begin(&f);
    add(&f, "zero", 2, 0, true);
    dpo_optimizer *lamb = optimizer_of(&f, "lamb", NULL);

    update(lamb, 0.01, 1.0, gradient, weight);
    ASSERT_CLOSE((double)weight[0], -0.01, 1e-6);
    ASSERT_CLOSE((double)weight[1], 0.01, 1e-6);
    dpo_optimizer_destroy(&lamb);
}

static void a_gradient_and_a_scale_are_the_scaled_gradient(void **state)
{
    (void)state;
    int n;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n);
    fixture f;

    three_tensors(&f);
    for (int k = 0; k < n; k++) {
        float weight[2][N_ITEMS], gradient[2][N_ITEMS];

        for (int way = 0; way < 2; way++) {
            dpo_optimizer *optimizer = optimizer_of(&f, table[k].name, NULL);

            make_numbers(1, N_ITEMS, weight[way]);
            make_numbers(2, N_ITEMS, gradient[way]);
            if (way == 1)
                for (int i = 0; i < N_ITEMS; i++)
                    gradient[way][i] *= 0.25f;
            update(optimizer, 0.01, way == 0 ? 0.25 : 1.0, gradient[way], weight[way]);
            dpo_optimizer_destroy(&optimizer);
        }
        for (int i = 0; i < N_ITEMS; i++)
            ASSERT_CLOSE((double)weight[0][i], (double)weight[1][i], 1e-6);
    }
}

static void a_resumed_state_goes_on_bit_for_bit(void **state)
{
    (void)state;
    int n;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n);
    fixture f;

    three_tensors(&f);
    for (int k = 0; k < n; k++) {
        float gradient[N_ITEMS], weight[N_ITEMS], resumed[N_ITEMS];
        dpo_optimizer *one = optimizer_of(&f, table[k].name, NULL);
        dpo_optimizer *two = optimizer_of(&f, table[k].name, NULL);

        make_numbers(0, N_ITEMS, weight);
        make_numbers(1, N_ITEMS, gradient);
        for (int u = 0; u < 3; u++)
            update(one, 0.01, 1.0, gradient, weight);
        memcpy(resumed, weight, sizeof weight);
        for (int s = 0; s < dpo_optimizer_n_states(one); s++)
            memcpy(dpo_optimizer_state(two, s), dpo_optimizer_state(one, s),
                   (size_t)dpo_optimizer_state_shard(one, s)->n_elements * sizeof(float));
        dpo_optimizer_set_n_updates(two, dpo_optimizer_n_updates(one));
        make_numbers(2, N_ITEMS, gradient);
        update(one, 0.01, 1.0, gradient, weight);
        update(two, 0.01, 1.0, gradient, resumed);
        assert_memory_equal(weight, resumed, sizeof weight);
        dpo_optimizer_destroy(&one);
        dpo_optimizer_destroy(&two);
    }
}

static void states_that_a_method_does_not_need_are_not_kept(void **state)
{
    (void)state;
    dpo_optimizer_options options = method_named("sgd")->initial;
    fixture f;

    options.momentum = 0.0;
    three_tensors(&f);
    dpo_optimizer *sgd = optimizer_of(&f, "sgd", &options);
    dpo_optimizer *rmsprop = optimizer_of(&f, "rmsprop", NULL);
    dpo_optimizer *muon = optimizer_of(&f, "muon", NULL);

    assert_int_equal(dpo_optimizer_n_states(sgd), 0);
    assert_int_equal(dpo_optimizer_n_states(rmsprop), 1);
    assert_int_equal(dpo_optimizer_n_states(muon), 2);
    assert_int_equal(dpo_optimizer_state_shard(muon, 0)->n_elements, N_ITEMS);
    assert_int_equal(dpo_optimizer_state_shard(muon, 1)->n_elements, N_ITEMS - N_MATRIX);
    assert_int_equal(dpo_optimizer_state_shard(muon, 1)->n_ranges, 2);
    assert_int_equal(dpo_optimizer_state_shard(muon, 1)->range[0].end, MATRIX_AT);
    assert_false(dpo_optimizer_state_covers(muon, 1, 1));
    assert_true(dpo_optimizer_state_covers(muon, 0, 1) && dpo_optimizer_state_covers(muon, 1, 2));
    dpo_optimizer_destroy(&sgd);
    dpo_optimizer_destroy(&rmsprop);
    dpo_optimizer_destroy(&muon);
}

static void without_memory_nothing_is_left(void **state)
{
    (void)state;
    int n;
    const dpo_optimizer_method *table = dpo_optimizer_table(&n);
    int64_t n_outstanding = dpo_memory_outstanding();
    fixture f;

    three_tensors(&f);
    for (int k = 0; k < n; k++) {
        dpo_status status = DPO_ENOMEM;

        for (int64_t fail = 1; status != DPO_OK; fail++) {
            dpo_optimizer *optimizer;

            assert_true(fail < 64);
            dpo_memory_fail_after(fail);
            status = dpo_optimizer_create(test_grid, &table[k], &table[k].initial, &f.parameters,
                                          &f.shard, &optimizer);
            dpo_memory_fail_after(0);
            assert_true(status == DPO_OK || status == DPO_ENOMEM);
            assert_true((status == DPO_OK) == (optimizer != NULL));
            dpo_optimizer_destroy(&optimizer);
            assert_int_equal(dpo_memory_outstanding(), n_outstanding);
        }
    }
}

static void an_average_begins_at_the_weights_and_follows_them(void **state)
{
    (void)state;
    const dpo_range ranges[] = {{1, 3}, {4, 5}};
    dpo_range range[2] = {ranges[0], ranges[1]};
    const dpo_shard shard = {2, range, 3};
    float weight[] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
    float out[5] = {0};
    dpo_ema *ema;

    ASSERT_OK(dpo_ema_create(0.75, &shard, weight, &ema));
    assert_true(dpo_ema_values(ema)[0] == 2.0f && dpo_ema_values(ema)[2] == 5.0f);
    for (int i = 0; i < 5; i++)
        weight[i] += 4.0f;
    dpo_ema_run(ema, weight);
    dpo_ema_unpack(ema, out);
    assert_true(out[0] == 0.0f && out[3] == 0.0f); /* not of this shard */
    assert_true(out[1] == 3.0f && out[2] == 4.0f && out[4] == 6.0f);
    dpo_ema_destroy(&ema);
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

static double norm_of(const float *gradient, int64_t n)
{
    dpo_exact_sum squares = {0};
    fixture f;

    begin(&f);
    add(&f, "vector", n, 0, false);
    dpo_clip_add_squares(&f.parameters, &f.shard, gradient, &squares);
    return dpo_clip_norm(test_grid, &squares);
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
    ASSERT_CLOSE(norm_of(many, 37), sqrt(sum), 1e-13);
    ASSERT_CLOSE(norm_of(large, 2), sqrt(2.0) * 1e30, 1e24);
    assert_true(norm_of(tiny, 1) > 0.0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_coefficient_is_that_of_torch),
    cmocka_unit_test(squares_are_summed_in_f64),
    cmocka_unit_test(twenty_clipped_updates_are_those_of_torch),
    cmocka_unit_test(every_method_is_that_of_torch_or_its_paper),
    cmocka_unit_test(the_first_update_moves_by_the_learning_rate),
    cmocka_unit_test(decay_shrinks_only_what_decays),
    cmocka_unit_test(trust_ratios_make_steps_follow_the_size_of_a_tensor),
    cmocka_unit_test(a_zero_tensor_moves_at_ratio_one),
    cmocka_unit_test(a_gradient_and_a_scale_are_the_scaled_gradient),
    cmocka_unit_test(a_resumed_state_goes_on_bit_for_bit),
    cmocka_unit_test(states_that_a_method_does_not_need_are_not_kept),
    cmocka_unit_test(without_memory_nothing_is_left),
    cmocka_unit_test(an_average_begins_at_the_weights_and_follows_them),
};

MPI_TEST_MAIN(tests)
