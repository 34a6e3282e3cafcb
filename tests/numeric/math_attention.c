// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/attention.h"

#include <omp.h>

#include "math_test.h"

/* The arrays of one run as attention has them: of the shape's elements. */
typedef struct {
    void *qkv, *out, *dout, *dqkv;
} stored_arrays;

/* A forest and shape, with all arrays of one run in f32. */
typedef struct {
    dpo_attention_shape shape;
    dpo_segments segments;
    int64_t n_tokens, qkv_size, out_size;
    dpo_attention *attention;
    float *qkv, *out, *lse, *dout, *dqkv;
    double *wide_qkv, *wide_out, *wide_dout;
    stored_arrays stored;
} scene;

static int64_t qkv_width(const dpo_attention_shape *shape)
{
    return (shape->n_heads + 2 * shape->n_kv_heads) * shape->head_dim;
}

static void *zeros(dpo_element elements, int64_t n)
{
    char *bytes;

    ASSERT_OK(DPO_NEW(bytes, n * dpo_element_bytes(elements)));
    return bytes;
}

static void store(dpo_element elements, int64_t n, const float *x, void *stored)
{
    if (elements == DPO_F32)
        memcpy(stored, x, (size_t)n * sizeof *x);
    else
        dpo_bf16_from_f32_many(n, x, stored);
}

static void load(dpo_element elements, int64_t n, const void *stored, float *x)
{
    if (elements == DPO_F32)
        memcpy(x, stored, (size_t)n * sizeof *x);
    else
        dpo_f32_from_bf16_many(n, stored, x);
}

static scene open_scene(dpo_attention_shape shape, dpo_segments segments)
{
    scene s = {.shape = shape, .segments = segments, .n_tokens = dpo_segments_n_tokens(&segments)};

    s.qkv_size = s.n_tokens * qkv_width(&shape);
    s.out_size = s.n_tokens * shape.n_heads * shape.head_dim;
    ASSERT_OK(dpo_attention_create(&shape, s.n_tokens, &s.attention));
    s.qkv = random_f32(s.qkv_size, 1, 1.0);
    s.dout = random_f32(s.out_size, 2, 1.0);
    s.out = random_f32(s.out_size, 3, 1.0); /* old contents must not matter */
    s.dqkv = random_f32(s.qkv_size, 4, 1.0);
    s.lse = zeros_f32(s.n_tokens * shape.n_heads);
    s.stored =
        (stored_arrays){zeros(shape.elements, s.qkv_size), zeros(shape.elements, s.out_size),
                        zeros(shape.elements, s.out_size), zeros(shape.elements, s.qkv_size)};
    s.wide_qkv = widen(s.qkv_size, s.qkv);
    s.wide_dout = widen(s.out_size, s.dout);
    s.wide_out = zeros_f64(s.out_size);
    return s;
}

static void close_scene(scene *s)
{
    void *arrays[] = {s->qkv,        s->out,        s->lse,         s->dout,
                      s->dqkv,       s->wide_qkv,   s->wide_out,    s->wide_dout,
                      s->stored.qkv, s->stored.out, s->stored.dout, s->stored.dqkv};

    dpo_attention_destroy(&s->attention);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        dpo_free(arrays[i]);
}

static void run_forward(scene *s)
{
    store(s->shape.elements, s->qkv_size, s->qkv, s->stored.qkv);
    store(s->shape.elements, s->out_size, s->out, s->stored.out);
    dpo_attention_forward(s->attention, &s->segments, s->stored.qkv, s->stored.out, s->lse);
    load(s->shape.elements, s->out_size, s->stored.out, s->out);
}

/* With what the scene has of the forward pass. */
static void run_backward(scene *s)
{
    store(s->shape.elements, s->qkv_size, s->qkv, s->stored.qkv);
    store(s->shape.elements, s->out_size, s->out, s->stored.out);
    store(s->shape.elements, s->out_size, s->dout, s->stored.dout);
    store(s->shape.elements, s->qkv_size, s->dqkv, s->stored.dqkv);
    dpo_attention_backward(s->attention, &s->segments, s->stored.qkv, s->stored.out, s->lse,
                           s->stored.dout, s->stored.dqkv);
    load(s->shape.elements, s->qkv_size, s->stored.dqkv, s->dqkv);
}

static void run_scene(scene *s)
{
    run_forward(s);
    run_backward(s);
}

static int64_t segment_of(const dpo_segments *segments, int64_t token)
{
    int64_t segment = 0;

    while (token >= segments->begin[segment + 1])
        segment++;
    return segment;
}

static int sees(const dpo_segments *segments, int64_t query, int64_t key)
{
    int64_t above = segment_of(segments, query), of_key = segment_of(segments, key);

    if (above == of_key) return key <= query;
    while (above >= 0 && above != of_key)
        above = segments->parent[above];
    return above == of_key;
}

/* The definition, one query and head. */
static double naive_row(const scene *s, int64_t query, int64_t head, double *out)
{
    int64_t E = s->shape.head_dim, width = qkv_width(&s->shape);
    int64_t group = s->shape.group > 0 ? s->shape.group : s->shape.n_heads / s->shape.n_kv_heads;
    int64_t kv = (head + s->shape.skipped) / group;
    const double *q = s->wide_qkv + query * width + head * E;
    double sum = 0;

    for (int64_t e = 0; e < E; e++)
        out[e] = 0;
    for (int64_t key = 0; key < s->n_tokens; key++) {
        const double *k = s->wide_qkv + key * width + (s->shape.n_heads + kv) * E;
        const double *v = k + s->shape.n_kv_heads * E;
        double score = 0;

        if (!sees(&s->segments, query, key)) continue;
        for (int64_t e = 0; e < E; e++)
            score += q[e] * k[e];
        double p = exp(score / sqrt((double)E));

        sum += p;
        for (int64_t e = 0; e < E; e++)
            out[e] += p * v[e];
    }
    for (int64_t e = 0; e < E; e++)
        out[e] /= sum;
    return log(sum);
}

static double naive_loss(void *context)
{
    scene *s = context;
    int64_t E = s->shape.head_dim;

    for (int64_t n = 0; n < s->n_tokens; n++)
        for (int64_t head = 0; head < s->shape.n_heads; head++)
            (void)naive_row(s, n, head, s->wide_out + (n * s->shape.n_heads + head) * E);
    return weighted_sum(s->out_size, s->wide_dout, s->wide_out);
}

/* prompt, two responses, a response's continuation, an empty segment, another tree, a late response. */
static const int64_t forest_begin[] = {0, 5, 9, 12, 14, 14, 20, 23};
static const int64_t forest_parent[] = {-1, 0, 0, 1, -1, -1, 0};
static const dpo_segments forest = {7, forest_begin, forest_parent};

/* The last: 5 of the 9 query heads of 3 groups, from the middle of the first to the middle of the last. */
static const dpo_attention_shape shapes[] = {{1, 1, 8, 0, 0, DPO_F32, DPO_F32},
                                             {4, 2, 4, 0, 0, DPO_F32, DPO_F32},
                                             {3, 1, 5, 0, 0, DPO_F32, DPO_F32},
                                             {2, 2, 16, 0, 0, DPO_F32, DPO_F32},
                                             {5, 3, 4, 3, 2, DPO_F32, DPO_F32}};
enum { N_SHAPES = 5 };

static void forward_is_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        scene s = open_scene(shapes[i], forest);

        ASSERT_NO_ALLOCATION(run_scene(&s));
        (void)naive_loss(&s);
        ASSERT_SAME(s.out_size, s.out, s.wide_out, 1e-6);
        for (int64_t n = 0; n < s.n_tokens; n++)
            for (int64_t head = 0; head < s.shape.n_heads; head++)
                ASSERT_CLOSE((double)s.lse[n * s.shape.n_heads + head],
                             naive_row(&s, n, head, s.wide_out), 2e-6);
        close_scene(&s);
    }
}

static void backward_is_the_slope_of_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        scene s = open_scene(shapes[i], forest);
        double *want = zeros_f64(s.qkv_size);

        run_scene(&s);
        differentiate(naive_loss, &s, s.qkv_size, s.wide_qkv, want);
        ASSERT_SAME(s.qkv_size, s.dqkv, want, 2e-6);
        dpo_free(want);
        close_scene(&s);
    }
}

static void compare_with_definition(dpo_attention_shape shape, dpo_segments segments)
{
    scene s = open_scene(shape, segments);

    run_scene(&s);
    (void)naive_loss(&s);
    ASSERT_SAME(s.out_size, s.out, s.wide_out, 2e-6);
    for (int64_t i = 0; i < 10; i++) {
        double want, *x = s.wide_qkv + (i * 7919 * 13) % s.qkv_size;

        differentiate(naive_loss, &s, 1, x, &want);
        ASSERT_CLOSE((double)s.dqkv[x - s.wide_qkv], want, 2e-5);
    }
    close_scene(&s);
}

/* Lengths around the sizes of tiles, and a tree of several strips. */
static void tiles_do_not_show(void **state)
{
    (void)state;
    static const int64_t begin[] = {0, 321, 321 + 64, 321 + 64 + 130, 321 + 64 + 130 + 1, 780};
    static const int64_t parent[] = {-1, 0, 0, 1, -1};
    const dpo_segments segments = {5, begin, parent};

    compare_with_definition((dpo_attention_shape){2, 1, 8, 0, 0, DPO_F32, DPO_F32}, segments);
    compare_with_definition((dpo_attention_shape){5, 3, 4, 3, 2, DPO_F32, DPO_F32}, segments);
}

/* Rows [begin, end) of a matrix; grows the destination. */
static int64_t copy_rows(const float *from, int64_t begin, int64_t end, int64_t width, float *to,
                         int64_t row)
{
    memcpy(to + row * width, from + begin * width, (size_t)((end - begin) * width) * sizeof *to);
    return row + end - begin;
}

/* A prompt and two responses, against prompt + response one after the other. */
static void a_shared_prompt_equals_separate_sequences(void **state)
{
    (void)state;
    static const int64_t begin[] = {0, 300, 390, 470}, parent[] = {-1, 0, 0};
    static const int64_t begin_apart[] = {0, 390, 770}, parent_apart[] = {-1, -1};
    dpo_attention_shape shape = {6, 2, 16, 0, 0, DPO_F32, DPO_F32};
    int64_t width = qkv_width(&shape), out_width = shape.n_heads * shape.head_dim;
    scene shared = open_scene(shape, (dpo_segments){3, begin, parent});
    scene apart = open_scene(shape, (dpo_segments){2, begin_apart, parent_apart});

    (void)copy_rows(shared.qkv, 0, 390, width, apart.qkv, 0);
    (void)copy_rows(shared.qkv, 0, 300, width, apart.qkv, 390);
    (void)copy_rows(shared.qkv, 390, 470, width, apart.qkv, 690);
    (void)copy_rows(shared.dout, 0, 390, out_width, apart.dout, 0);
    memset(apart.dout + 390 * out_width, 0, (size_t)(300 * out_width) * sizeof *apart.dout);
    (void)copy_rows(shared.dout, 390, 470, out_width, apart.dout, 690);
    run_scene(&shared);
    run_scene(&apart);
    double *want = widen(apart.out_size, apart.out), *dwant = widen(apart.qkv_size, apart.dqkv);

    for (int64_t i = 0; i < 300 * width; i++)
        dwant[i] += dwant[390 * width + i];
    ASSERT_SAME(390 * out_width, shared.out, want, 1e-6);
    ASSERT_SAME(80 * out_width, shared.out + 390 * out_width, want + 690 * out_width, 1e-6);
    ASSERT_SAME(390 * width, shared.dqkv, dwant, 2e-6);
    ASSERT_SAME(80 * width, shared.dqkv + 390 * width, dwant + 690 * width, 2e-6);
    dpo_free(want);
    dpo_free(dwant);
    close_scene(&shared);
    close_scene(&apart);
}

/* The same trees alone and behind others give the same rows. */
static void compare_packing(dpo_element compute)
{
    static const int64_t begin[] = {0, 100, 150, 600, 650}, parent[] = {-1, 0, -1, 2};
    static const int64_t begin_alone[] = {0, 450, 500}, parent_alone[] = {-1, 0};
    dpo_attention_shape shape = {4, 2, 8, 0, 0, DPO_F32, compute};
    int64_t width = qkv_width(&shape), out_width = shape.n_heads * shape.head_dim;
    scene packed = open_scene(shape, (dpo_segments){4, begin, parent});
    scene alone = open_scene(shape, (dpo_segments){2, begin_alone, parent_alone});

    (void)copy_rows(packed.qkv, 150, 650, width, alone.qkv, 0);
    (void)copy_rows(packed.dout, 150, 650, out_width, alone.dout, 0);
    run_scene(&packed);
    run_scene(&alone);
    ASSERT_SAME_BITS(alone.out_size, alone.out, packed.out + 150 * out_width);
    ASSERT_SAME_BITS(alone.qkv_size, alone.dqkv, packed.dqkv + 150 * width);
    close_scene(&packed);
    close_scene(&alone);
}

static void packing_does_not_show(void **state)
{
    (void)state;
    compare_packing(DPO_F32);
    if (dpo_engine_multiplies_bf16()) compare_packing(DPO_BF16);
}

static void repeated_runs_give_the_same_bits(void **state)
{
    (void)state;
    static const int64_t begin[] = {0, 300, 390, 470}, parent[] = {-1, 0, 0};
    scene s = open_scene((dpo_attention_shape){6, 2, 16, 0, 0, DPO_F32, DPO_F32},
                         (dpo_segments){3, begin, parent});

    run_scene(&s);
    float *out = copy_f32(s.out_size, s.out), *dqkv = copy_f32(s.qkv_size, s.dqkv);

    for (int i = 0; i < 3; i++) {
        run_scene(&s);
        ASSERT_SAME_BITS(s.out_size, out, s.out);
        ASSERT_SAME_BITS(s.qkv_size, dqkv, s.dqkv);
    }
    dpo_free(out);
    dpo_free(dqkv);
    close_scene(&s);
}

static void compare_numbers_of_threads(dpo_element elements, dpo_element compute)
{
    static const int64_t begin[] = {0, 500, 590, 670, 700}, parent[] = {-1, 0, 0, -1};
    int usual = omp_get_max_threads();
    scene s = open_scene((dpo_attention_shape){6, 2, 16, 0, 0, elements, compute},
                         (dpo_segments){4, begin, parent});

    run_scene(&s);
    for (int n_threads = 1; n_threads <= 4 && n_threads <= omp_get_thread_limit(); n_threads++) {
        omp_set_num_threads(n_threads);
        scene other = open_scene(s.shape, s.segments);

        run_scene(&other);
        ASSERT_SAME_BITS(s.out_size, s.out, other.out);
        ASSERT_SAME_BITS(s.qkv_size, s.dqkv, other.dqkv);
        close_scene(&other);
    }
    omp_set_num_threads(usual);
    close_scene(&s);
}

static void the_number_of_threads_does_not_show(void **state)
{
    (void)state;
    compare_numbers_of_threads(DPO_F32, DPO_F32);
    compare_numbers_of_threads(DPO_BF16, DPO_F32);
    if (!dpo_engine_multiplies_bf16()) return;
    compare_numbers_of_threads(DPO_F32, DPO_BF16);
    compare_numbers_of_threads(DPO_BF16, DPO_BF16);
}

/* One token for each of two sequences of T, through stored arrays of the shape's elements. */
static void decode_token(const scene *s, int64_t t, float *const *key_cache,
                         float *const *value_cache, float *out)
{
    int64_t width = qkv_width(&s->shape), out_width = s->shape.n_heads * s->shape.head_dim;
    int64_t n_tokens = s->n_tokens / 2, length[] = {t, t};
    dpo_element elements = s->shape.elements;

    for (int64_t b = 0; b < 2; b++)
        store(elements, width, s->qkv + (b * n_tokens + t) * width,
              (char *)s->stored.qkv + b * width * dpo_element_bytes(elements));
    ASSERT_NO_ALLOCATION(dpo_attention_decode(s->attention, 2, s->stored.qkv, length, key_cache,
                                              value_cache, s->stored.out));
    load(elements, 2 * out_width, s->stored.out, out);
}

static void compare_decoding(dpo_element elements, double tolerance)
{
    enum { T = 300 };
    static const int64_t begin[] = {0, T, 2 * T}, parent[] = {-1, -1};
    dpo_attention_shape shape = {4, 2, 8, 0, 0, elements, DPO_F32};
    int64_t out_width = shape.n_heads * shape.head_dim;
    scene s = open_scene(shape, (dpo_segments){2, begin, parent});
    float *cache = zeros_f32(4 * T * 16), *out = zeros_f32(2 * out_width);
    float *key_cache[] = {cache, cache + T * 16};
    float *value_cache[] = {cache + 2 * T * 16, cache + 3 * T * 16};
    double *want;

    run_scene(&s);
    want = widen(s.out_size, s.out);
    for (int64_t t = 0; t < T; t++) {
        decode_token(&s, t, key_cache, value_cache, out);
        ASSERT_SAME(out_width, out, want + t * out_width, tolerance);
        ASSERT_SAME(out_width, out + out_width, want + (T + t) * out_width, tolerance);
    }
    dpo_free(want);
    dpo_free(cache);
    dpo_free(out);
    close_scene(&s);
}

/* Tokens one by one through decode give the rows of the forward pass; two roundings to 8 bits may differ by 2^-7. */
static void decoding_equals_the_forward_pass(void **state)
{
    (void)state;
    compare_decoding(DPO_F32, 2e-6);
    compare_decoding(DPO_BF16, 1.0 / 128);
}

/* Shared prompts, strips, several pieces of keys, a tile's end in the middle. */
static const int64_t shared_begin[] = {0, 500, 590, 671, 700}, shared_parent[] = {-1, 0, 0, -1};
static const dpo_segments shared_prompt = {4, shared_begin, shared_parent};
static const dpo_attention_shape bf16_shapes[] = {{3, 1, 16, 0, 0, DPO_BF16, DPO_F32},
                                                  {4, 2, 5, 0, 0, DPO_BF16, DPO_F32},
                                                  {5, 3, 4, 3, 2, DPO_BF16, DPO_F32}};
enum { N_BF16_SHAPES = 3 };

/* Two scenes of the same numbers: bf16, and f32 with room for more digits. */
static void open_both(dpo_attention_shape shape, dpo_segments segments, scene *rounded,
                      scene *exact)
{
    *rounded = open_scene(shape, segments);
    shape.elements = shape.compute = DPO_F32;
    *exact = open_scene(shape, segments);
    dpo_free(share_bf16(exact->qkv_size, exact->qkv));
    dpo_free(share_bf16(exact->out_size, exact->dout));
}

/* Arithmetic is the same, so the results are those of f32, rounded, to the bit. */
static void bf16_rounds_results_only(void **state)
{
    (void)state;
    for (int i = 0; i < N_BF16_SHAPES; i++) {
        scene rounded, exact;

        open_both(bf16_shapes[i], shared_prompt, &rounded, &exact);
        ASSERT_NO_ALLOCATION(run_scene(&rounded));
        run_forward(&exact);
        ASSERT_SAME_BITS(exact.n_tokens * exact.shape.n_heads, rounded.lse, exact.lse);
        assert_rounded(exact.out_size, rounded.stored.out, exact.out);
        dpo_free(share_bf16(exact.out_size, exact.out));
        run_backward(&exact);
        assert_rounded(exact.qkv_size, rounded.stored.dqkv, exact.dqkv);
        close_scene(&rounded);
        close_scene(&exact);
    }
}

/* A result is rounded to 8 bits, by 2^-8 of it at most; dqkv has the rounding of out in delta besides. */
static void bf16_is_near_f32(void **state)
{
    (void)state;
    const double unit = 1.0 / 256;

    for (int i = 0; i < N_BF16_SHAPES; i++) {
        scene rounded, exact;
        double *want, *dwant;

        open_both(bf16_shapes[i], shared_prompt, &rounded, &exact);
        run_scene(&rounded);
        run_scene(&exact);
        want = widen(exact.out_size, exact.out);
        dwant = widen(exact.qkv_size, exact.dqkv);
        ASSERT_SAME(exact.out_size, rounded.out, want, unit);
        ASSERT_SAME(exact.qkv_size, rounded.dqkv, dwant, 2 * unit);
        dpo_free(want);
        dpo_free(dwant);
        close_scene(&rounded);
        close_scene(&exact);
    }
}

/* Longer than a piece of keys. */
static const int64_t long_begin[] = {0, 1100, 1700, 1781, 1810};
static const dpo_segments long_prompt = {4, long_begin, shared_parent};

/*
 * Sums of products with numbers that were rounded to 8 bits: with p in out and dv, with dL/ds in dq and dk. Stored in
 * bf16 they are rounded once more, and dqkv has the rounding of out in delta besides. Of scores nothing is rounded.
 */
static void compare_products(dpo_attention_shape shape)
{
    double units = shape.elements == DPO_BF16 ? 2 : 1;
    scene rounded, exact;
    double *want, *dwant, *lse;

    open_both(shape, long_prompt, &rounded, &exact);
    if (shape.elements == DPO_F32) {
        dpo_free(share_bf16(rounded.qkv_size, rounded.qkv));
        dpo_free(share_bf16(rounded.out_size, rounded.dout));
    }
    ASSERT_NO_ALLOCATION(run_scene(&rounded));
    run_scene(&exact);
    want = widen(exact.out_size, exact.out);
    dwant = widen(exact.qkv_size, exact.dqkv);
    lse = widen(exact.n_tokens * shape.n_heads, exact.lse);
    ASSERT_SAME(exact.out_size, rounded.out, want, units / 256);
    ASSERT_SAME(exact.qkv_size, rounded.dqkv, dwant, 2 * units / 256);
    ASSERT_SAME(exact.n_tokens * shape.n_heads, rounded.lse, lse, 2e-6);
    assert_true(relative_error(exact.qkv_size, rounded.dqkv, dwant) > 1e-5);
    dpo_free(want);
    dpo_free(dwant);
    dpo_free(lse);
    close_scene(&rounded);
    close_scene(&exact);
}

static void products_of_bf16_operands_are_near_those_of_f32(void **state)
{
    (void)state;
    if (!dpo_engine_multiplies_bf16()) skip();
    for (int i = 0; i < N_BF16_SHAPES; i++)
        for (int elements = DPO_F32; elements <= DPO_BF16; elements++) {
            dpo_attention_shape shape = bf16_shapes[i];

            shape.elements = (dpo_element)elements;
            shape.compute = DPO_BF16;
            compare_products(shape);
        }
}

static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    scene s = open_scene((dpo_attention_shape){4, 2, 4, 0, 0, DPO_F32, DPO_F32}, forest);

    for (int64_t i = 0; i < s.qkv_size; i++)
        s.qkv[i] *= 1000.0f;
    run_scene(&s);
    for (int64_t i = 0; i < s.out_size; i++)
        assert_true(isfinite(s.out[i]));
    for (int64_t i = 0; i < s.qkv_size; i++)
        assert_true(isfinite(s.dqkv[i]));
    close_scene(&s);
}

static void no_tokens_are_no_work(void **state)
{
    (void)state;
    dpo_attention_shape shape = {4, 2, 4, 0, 0, DPO_F32, DPO_F32};
    int64_t begin = 0;
    dpo_segments none = {0, &begin, NULL};
    dpo_attention *attention;
    float nothing = 3.0f;

    ASSERT_OK(dpo_attention_create(&shape, 1, &attention));
    dpo_attention_forward(attention, &none, &nothing, &nothing, &nothing);
    dpo_attention_backward(attention, &none, &nothing, &nothing, &nothing, &nothing, &nothing);
    assert_true(nothing == 3.0f);
    dpo_attention_destroy(&attention);
}

static void lack_of_memory_leaves_nothing(void **state)
{
    (void)state;
    dpo_attention_shape shape = {4, 2, 4, 0, 0, DPO_F32, DPO_F32};
    dpo_attention *attention;

    for (int i = 1; i <= 7; i++) {
        dpo_memory_fail_after(i);
        assert_int_equal(dpo_attention_create(&shape, 100, &attention), DPO_ENOMEM);
        assert_null(attention);
    }
    dpo_memory_fail_after(0);
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(forward_is_the_definition),
    UNIT_TEST(backward_is_the_slope_of_the_definition),
    UNIT_TEST(tiles_do_not_show),
    UNIT_TEST(a_shared_prompt_equals_separate_sequences),
    UNIT_TEST(packing_does_not_show),
    UNIT_TEST(repeated_runs_give_the_same_bits),
    UNIT_TEST(the_number_of_threads_does_not_show),
    UNIT_TEST(decoding_equals_the_forward_pass),
    UNIT_TEST(bf16_rounds_results_only),
    UNIT_TEST(bf16_is_near_f32),
    UNIT_TEST(products_of_bf16_operands_are_near_those_of_f32),
    UNIT_TEST(large_scores_do_not_overflow),
    UNIT_TEST(no_tokens_are_no_work),
    UNIT_TEST(lack_of_memory_leaves_nothing),
};

MATH_TEST_MAIN(tests)
