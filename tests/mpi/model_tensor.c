// SPDX-License-Identifier: Apache-2.0
/*
 * A model that tensor-parallel ranks share gives what one rank gives. Every rank computes the whole model
 * too, with the same weights and batch, and compares its share: log-probs, gradients, texts. What differs
 * is the order of f32 sums.
 */
#include <stdlib.h>

#include "dpo/model/generate.h"
#include "model_fixture.h"

enum { N_VOCAB = 53, TEXT = 20 };

/* 9 query heads in 3 groups and sizes that no number of ranks divides. */
static dpo_model_config uneven_config(bool tied)
{
    dpo_model_config config = tiny_config(tied);

    config.n_layers = 4;
    config.n_heads = 9;
    config.n_kv_heads = 3;
    config.d_ff = 41;
    config.n_vocab = N_VOCAB;
    config.padding = 3;
    return config;
}

/* A whole model and a shared one on the same grid's tensor axis. */
typedef struct {
    dpo_grid *grid;
    dpo_model *whole;  /* of test_grid: tensor width 1 */
    dpo_model *shared; /* of grid */
} scene;

static dpo_status copy_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                           int64_t local_begin)
{
    scene *s = context;
    const dpo_parameter *from = &dpo_model_parameters(s->whole)->row[row];

    memcpy(dpo_model_weights(s->shared) + local_begin,
           dpo_model_weights(s->whole) + from->offset + global_begin,
           (size_t)count * sizeof(float));
    return DPO_OK;
}

/* The shared model computes a part of its activations again: which part depends on the tensor width. */
static scene open_scene(const dpo_model_config *config, int tensor_size,
                        dpo_transport_kind transport)
{
    static const dpo_recompute recompute[] = {DPO_RECOMPUTE_NONE, DPO_RECOMPUTE_LAYER,
                                              DPO_RECOMPUTE_MLP, DPO_RECOMPUTE_ATTENTION};
    dpo_model_limits limits = {.max_tokens = MAX_TOKENS,
                               .max_rows = MAX_ROWS,
                               .logits_bytes = 3000,
                               .trainable = true,
                               .transport = transport};
    scene s;

    ASSERT_ALL(dpo_grid_create(tensor_size, &s.grid) == DPO_OK);
    ASSERT_ALL(dpo_model_create(test_grid, config, &limits, &s.whole) == DPO_OK);
    limits.recompute = recompute[(tensor_size + (int)transport) % 4];
    ASSERT_ALL(dpo_model_create(s.grid, config, &limits, &s.shared) == DPO_OK);
    fill_weights(s.whole, 1);
    const dpo_parameters *p = dpo_model_parameters(s.shared);

    ASSERT_OK(
        dpo_parameters_for_each_run(p, (dpo_range){0, p->n_elements}, DPO_HELD, copy_run, &s));
    return s;
}

static void close_scene(scene *s)
{
    dpo_model_destroy(&s->shared);
    dpo_model_destroy(&s->whole);
    dpo_grid_destroy(&s->grid);
}

/* Two prompts with two and one responses; another batch for each data-parallel rank. */
static void fill_batch(const scene *s, test_batch *b)
{
    uint32_t major = (uint32_t)dpo_grid_rank(s->grid, DPO_DATA);
    int32_t token[40];

    clear_batch(b);
    random_tokens(major, 40, N_VOCAB, token);
    token[2] = 3; /* padding */
    int64_t prompt = add_segment(b, -1, 9 + major, token);

    add_response(b, prompt, 6, token + 10);
    add_response(b, prompt, 4, token + 16);
    prompt = add_segment(b, -1, 3, token + 20);
    add_response(b, prompt, 5, token + 24);
}

/* What a walk over gradients finds: the squares of the difference and of the gradient itself. */
typedef struct {
    scene *s;
    double difference, squares;
} comparison;

static dpo_status compare_run(void *context, int64_t row, int64_t global_begin, int64_t count,
                              int64_t local_begin)
{
    comparison *c = context;
    const dpo_parameter *p = &dpo_model_parameters(c->s->whole)->row[row];
    const float *want = dpo_model_gradients(c->s->whole) + p->offset + global_begin;
    const float *got = dpo_model_gradients(c->s->shared) + local_begin;

    for (int64_t i = 0; i < count; i++) {
        double d = (double)got[i] - (double)want[i];

        c->difference += d * d;
        c->squares += (double)want[i] * (double)want[i];
    }
    return DPO_OK;
}

/* Tensor by tensor, so that a small one cannot hide behind a large one. */
static void compare_gradients(scene *s)
{
    const dpo_parameters *p = dpo_model_parameters(s->shared);
    bool same = true;

    for (int64_t i = 0; i < p->n_rows; i++) {
        dpo_range tensor = {p->row[i].offset, p->row[i].offset + p->row[i].count};
        comparison c = {.s = s};

        ASSERT_OK(dpo_parameters_for_each_run(p, tensor, DPO_HELD, compare_run, &c));
        if (c.difference > 1e-10 * c.squares) {
            print_error("rank %d: %s differs by %g of its norm\n",
                        dpo_grid_rank(s->grid, DPO_WORLD), p->row[i].name,
                        sqrt(c.difference / c.squares));
            same = false;
        }
    }
    ASSERT_ALL(same);
}

static void check_listener(void *context, int64_t begin)
{
    int64_t *before = context;

    assert_true(begin < *before);
    *before = begin;
}

/* Two micro-batches add up; the second is the last one. */
static void run_passes(scene *s, const test_batch *b)
{
    float logp[MAX_ROWS], want[MAX_ROWS], coefficient[MAX_ROWS];
    int64_t finished = dpo_model_parameters(s->shared)->n_elements;
    const dpo_gradient_sink sink = {check_listener, &finished};

    random_coefficients(b->batch.n_rows, coefficient);
    for (int pass = 0; pass < 2; pass++) {
        dpo_model_forward(s->whole, &b->batch, want);
        dpo_model_backward(s->whole, &b->batch, coefficient, NULL);
        dpo_model_forward(s->shared, &b->batch, logp);
        dpo_model_backward(s->shared, &b->batch, coefficient, pass == 1 ? &sink : NULL);
        for (int64_t r = 0; r < b->batch.n_rows; r++)
            ASSERT_ALL(fabs((double)logp[r] - (double)want[r]) < 1e-5);
    }
    ASSERT_ALL(finished == 0);
}

static void check_passes(bool tied, int tensor_size, dpo_transport_kind transport)
{
    dpo_model_config config = uneven_config(tied);
    scene s = open_scene(&config, tensor_size, transport);
    test_batch b;

    fill_batch(&s, &b);
    run_passes(&s, &b);
    compare_gradients(&s);
    close_scene(&s);
}

static void a_shared_model_is_the_whole_one(void **state)
{
    int size = dpo_grid_size(test_grid, DPO_WORLD);

    (void)state;
    for (int tensor_size = 1; tensor_size <= size; tensor_size *= 2)
        for (int tied = 0; tied < 2; tied++) {
            check_passes(tied, tensor_size, DPO_TRANSPORT_SHARED);
            check_passes(tied, tensor_size, DPO_TRANSPORT_MESSAGES);
        }
}

/* Fewer tokens and rows than ranks: some own none. */
static void ranks_without_rows_take_part(void **state)
{
    dpo_model_config config = uneven_config(true);
    scene s = open_scene(&config, dpo_grid_size(test_grid, DPO_WORLD), DPO_TRANSPORT_AUTO);
    const int32_t token[3] = {5, 6, 7};
    test_batch b;

    (void)state;
    clear_batch(&b);
    int64_t prompt = add_segment(&b, -1, 2, token);

    add_response(&b, prompt, 1, token + 2);
    run_passes(&s, &b);
    compare_gradients(&s);
    close_scene(&s);
}

static void check_text(scene *s, const dpo_sampling *sampling)
{
    int32_t prompt[7], want[TEXT], got[TEXT];
    dpo_generator *generator;

    random_tokens(3, 7, N_VOCAB, prompt);
    ASSERT_OK(dpo_generator_create(s->whole, 40, &generator));
    int64_t n = dpo_generator_run(generator, 7, prompt, sampling, want);

    dpo_generator_destroy(&generator);
    ASSERT_OK(dpo_generator_create(s->shared, 40, &generator));
    ASSERT_ALL(dpo_generator_run(generator, 7, prompt, sampling, got) == n);
    dpo_generator_destroy(&generator);
    ASSERT_ALL(memcmp(got, want, (size_t)n * sizeof *got) == 0);
}

static void a_shared_model_writes_the_same_text(void **state)
{
    dpo_model_config config = uneven_config(false);
    scene s = open_scene(&config, dpo_grid_size(test_grid, DPO_WORLD), DPO_TRANSPORT_AUTO);
    const dpo_sampling greedy = {.top_p = 1, .max_new_tokens = TEXT};
    const dpo_sampling drawn = {
        .temperature = 0.8, .top_k = 20, .top_p = 0.9, .seed = 4, .max_new_tokens = TEXT};

    (void)state;
    check_text(&s, &greedy);
    check_text(&s, &drawn);
    close_scene(&s);
}

/* Reading, digest and writing do not depend on who holds what. */
static void a_folder_goes_through_any_grid(void **state)
{
    static const char folder[] = DPO_TEST_DATA "/model_untied";
    dpo_model_limits limits = {.max_tokens = 1, .max_rows = 1};
    int size = dpo_grid_size(test_grid, DPO_WORLD);
    char scratch[64] = "/tmp/mpidpo-tensor-XXXXXX", out[80], command[96];
    dpo_digest want, got;

    (void)state;
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) assert_non_null(mkdtemp(scratch));
    dpo_broadcast(test_grid, DPO_WORLD, 0, sizeof scratch, scratch);
    (void)snprintf(out, sizeof out, "%s/model", scratch);
    for (int tensor_size = 1; tensor_size <= size && tensor_size <= 4; tensor_size *= 2) {
        for (int again = 0; again < 2; again++) {
            dpo_model_config config;
            dpo_model *model;
            dpo_grid *grid;

            ASSERT_ALL(dpo_grid_create(tensor_size, &grid) == DPO_OK);
            ASSERT_ALL(dpo_model_config_read(grid, again ? out : folder, &config) == DPO_OK);
            ASSERT_ALL(dpo_model_create(grid, &config, &limits, &model) == DPO_OK);
            ASSERT_ALL(dpo_model_load(grid, model, again ? out : folder) == DPO_OK);
            ASSERT_ALL(dpo_model_digest(grid, model, &got) == DPO_OK);
            if (tensor_size == 1 && !again) want = got;
            ASSERT_ALL(dpo_digest_equal(got, want));
            ASSERT_ALL(again ||
                       dpo_model_export(grid, model, folder, out, DPO_TENSOR_F32) == DPO_OK);
            dpo_model_destroy(&model);
            dpo_grid_destroy(&grid);
        }
    }
    (void)snprintf(command, sizeof command, "rm -rf %s", scratch);
    dpo_barrier(test_grid, DPO_WORLD);
    ASSERT_ALL(dpo_grid_rank(test_grid, DPO_WORLD) != 0 || system(command) == 0);
}

static void more_ranks_than_heads_are_refused(void **state)
{
    dpo_model_config config = uneven_config(true);
    dpo_partition p;

    (void)state;
    ASSERT_OK(dpo_partition_make(&config, 9, 8, &p));
    assert_int_equal(dpo_partition_make(&config, 10, 0, &p), DPO_EUSAGE);
    assert_non_null(strstr(dpo_last_error()->text, "9 query heads"));
}

/* Every element is counted by one rank, whatever the number of ranks. */
static void every_element_is_counted_once(void **state)
{
    dpo_model_config config = uneven_config(false);

    (void)state;
    for (int size = 1; size <= 9; size++) {
        int64_t n_counted = 0, n_global = 0;

        for (int rank = 0; rank < size; rank++) {
            dpo_partition partition;
            dpo_parameters p;

            ASSERT_OK(dpo_partition_make(&config, size, rank, &partition));
            ASSERT_OK(dpo_parameters_create(&config, &partition, &p));
            for (int64_t i = 0; i < p.n_rows; i++)
                n_counted += dpo_range_length(dpo_parameter_counted(&p.row[i]));
            n_global = p.n_elements_global;
            dpo_parameters_destroy(&p);
        }
        assert_int_equal(n_counted, n_global);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_shared_model_is_the_whole_one),
    cmocka_unit_test(ranks_without_rows_take_part),
    cmocka_unit_test(a_shared_model_writes_the_same_text),
    cmocka_unit_test(a_folder_goes_through_any_grid),
    cmocka_unit_test(more_ranks_than_heads_are_refused),
    cmocka_unit_test(every_element_is_counted_once),
};

MPI_TEST_MAIN(tests)
