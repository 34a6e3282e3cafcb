// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/token_logps.h"

#include "math_test.h"

/* One run in both precisions. */
typedef struct {
    int64_t n_rows, d_model, n_vocab;
    dpo_token_logps *logps;
    float *h, *weight, *coefficient, *logp, *dh, *dweight;
    int32_t *target;
    uint16_t *rounded_weight; /* NULL unless products take bf16 */
    dpo_logit_statistics *statistics;
    double *wide_h, *wide_weight, *wide_coefficient, *wide_logp;
} scene;

enum { ALL = 1 << 30 }; /* a budget that keeps everything */

static scene open_scene_of(dpo_element compute, int64_t n_rows, int64_t d_model, int64_t n_vocab,
                           int64_t budget_bytes)
{
    scene s = {.n_rows = n_rows, .d_model = d_model, .n_vocab = n_vocab};

    ASSERT_OK(dpo_token_logps_create(d_model, (dpo_range){0, n_vocab}, n_rows, budget_bytes,
                                     compute, &s.logps));
    s.h = random_f32(n_rows * d_model, 1, 1.0);
    s.weight = random_f32(n_vocab * d_model, 2, 1.0);
    s.coefficient = random_f32(n_rows, 3, 1.0);
    s.logp = zeros_f32(n_rows);
    s.dh = random_f32(n_rows * d_model, 4, 1.0); /* old contents must not matter */
    s.dweight = zeros_f32(n_vocab * d_model);
    ASSERT_OK(DPO_NEW(s.target, n_rows));
    ASSERT_OK(DPO_NEW(s.statistics, n_rows));
    for (int64_t r = 0; r < n_rows; r++)
        s.target[r] =
            (int32_t)(dpo_random_bits(5, DPO_STREAM_TEST, 0, (uint64_t)r) % (uint64_t)n_vocab);
    s.wide_h = widen(n_rows * d_model, s.h);
    s.wide_weight = widen(n_vocab * d_model, s.weight);
    s.wide_coefficient = widen(n_rows, s.coefficient);
    s.wide_logp = zeros_f64(n_rows);
    return s;
}

static void close_scene(scene *s)
{
    void *arrays[] = {s->h,           s->weight,           s->coefficient, s->logp,
                      s->dh,          s->dweight,          s->target,      s->wide_h,
                      s->wide_weight, s->wide_coefficient, s->wide_logp,   s->statistics};

    dpo_token_logps_destroy(&s->logps);
    for (int i = 0; i < 12; i++)
        dpo_free(arrays[i]);
}

static scene open_scene(int64_t n_rows, int64_t d_model, int64_t n_vocab, int64_t budget_bytes)
{
    return open_scene_of(DPO_F32, n_rows, d_model, n_vocab, budget_bytes);
}

static dpo_weight weight_of(const scene *s)
{
    return (dpo_weight){.f32 = s->weight, .bf16 = s->rounded_weight};
}

static void run_scene(scene *s)
{
    dpo_token_logps_statistics(s->logps, s->n_rows, s->h, weight_of(s), s->target, s->statistics);
    dpo_token_logps_finish(s->logps, s->n_rows, s->statistics, s->logp);
    dpo_token_logps_backward(s->logps, s->n_rows, s->h, weight_of(s), s->target, s->coefficient,
                             s->dh, s->dweight);
}

static double naive_row(const scene *s, int64_t r)
{
    double sum = 0, picked = 0;

    for (int64_t v = 0; v < s->n_vocab; v++) {
        double z =
            weighted_sum(s->d_model, s->wide_h + r * s->d_model, s->wide_weight + v * s->d_model);

        sum += exp(z);
        if (v == s->target[r]) picked = z;
    }
    return picked - log(sum);
}

static double naive_loss(void *context)
{
    scene *s = context;

    for (int64_t r = 0; r < s->n_rows; r++)
        s->wide_logp[r] = naive_row(s, r);
    return weighted_sum(s->n_rows, s->wide_coefficient, s->wide_logp);
}

static void forward_is_the_definition_and_backward_its_slope(void **state)
{
    (void)state;
    static const int64_t budgets[] = {0, 400, ALL};

    for (int i = 0; i < 3; i++) {
        scene s = open_scene(9, 12, 31, budgets[i]);
        double *dh = zeros_f64(9 * 12), *dweight = zeros_f64(31 * 12);

        ASSERT_NO_ALLOCATION(run_scene(&s));
        (void)naive_loss(&s);
        ASSERT_SAME(s.n_rows, s.logp, s.wide_logp, 1e-6);
        differentiate(naive_loss, &s, 9 * 12, s.wide_h, dh);
        differentiate(naive_loss, &s, 31 * 12, s.wide_weight, dweight);
        ASSERT_SAME(9 * 12, s.dh, dh, 2e-6);
        ASSERT_SAME(31 * 12, s.dweight, dweight, 2e-6);
        dpo_free(dh);
        dpo_free(dweight);
        close_scene(&s);
    }
}

/* More than one block of 1,024 rows and 1,024 columns, with ragged ends. */
static void blocks_do_not_show(void **state)
{
    (void)state;
    scene s = open_scene(1100, 4, 2500, ALL);
    double dh[4], dweight[4];

    run_scene(&s);
    (void)naive_loss(&s);
    ASSERT_SAME(s.n_rows, s.logp, s.wide_logp, 1e-6);
    for (int64_t r = 3; r < s.n_rows; r += 400) {
        for (int64_t d = 0; d < 4; d++)
            dh[d] = 0;
        double lse =
            -s.wide_logp[r] + weighted_sum(4, s.wide_h + r * 4, s.wide_weight + s.target[r] * 4);

        for (int64_t v = 0; v < s.n_vocab; v++) {
            double z = weighted_sum(4, s.wide_h + r * 4, s.wide_weight + v * 4);
            double dz = s.wide_coefficient[r] * ((v == s.target[r]) - exp(z - lse));

            for (int64_t d = 0; d < 4; d++)
                dh[d] += dz * s.wide_weight[v * 4 + d];
        }
        ASSERT_SAME(4, s.dh + r * 4, dh, 1e-5);
    }
    for (int64_t v = 7; v < s.n_vocab; v += 900) {
        differentiate(naive_loss, &s, 1, s.wide_weight + v * 4, dweight);
        ASSERT_CLOSE((double)s.dweight[v * 4], dweight[0], 1e-4);
    }
    close_scene(&s);
}

static void keeping_logits_changes_no_bit(void **state)
{
    (void)state;
    scene kept = open_scene(700, 16, 3000, ALL), some = open_scene(700, 16, 3000, 5 << 20);
    scene none = open_scene(700, 16, 3000, 0);
    scene *others[] = {&some, &none};

    run_scene(&kept);
    for (int i = 0; i < 2; i++) {
        run_scene(others[i]);
        ASSERT_SAME_BITS(700, kept.logp, others[i]->logp);
        ASSERT_SAME_BITS(700 * 16, kept.dh, others[i]->dh);
        ASSERT_SAME_BITS(3000 * 16, kept.dweight, others[i]->dweight);
    }
    close_scene(&kept);
    close_scene(&some);
    close_scene(&none);
}

/* Ranks with parts of the vocabulary: statistics are merged, dh is summed, dweight lies in parts. */
static void parts_of_the_vocabulary_make_the_whole(void **state)
{
    (void)state;
    enum { R = 40, D = 12, V = 1500 };
    static const dpo_range parts[] = {{0, 17}, {17, 1400}, {1400, V}};
    scene whole = open_scene(R, D, V, 0);
    dpo_token_logps *logps[3];
    dpo_logit_statistics part[R];
    float *logp = zeros_f32(R), *dh = zeros_f32(R * D), *dweight = zeros_f32(V * D);
    double *sum = zeros_f64(R * D);

    run_scene(&whole);
    for (int p = 0; p < 3; p++) {
        ASSERT_OK(dpo_token_logps_create(D, parts[p], R, p * 20000, DPO_F32, &logps[p]));
        dpo_token_logps_statistics(logps[p], R, whole.h,
                                   (dpo_weight){.f32 = whole.weight + parts[p].begin * D},
                                   whole.target, p == 0 ? whole.statistics : part);
        if (p > 0) dpo_logit_statistics_merge(R, part, whole.statistics);
    }
    for (int p = 0; p < 3; p++) {
        dpo_token_logps_finish(logps[p], R, whole.statistics, logp);
        for (int r = 0; r < R; r++)
            ASSERT_CLOSE((double)logp[r], (double)whole.logp[r], 2e-6);
        dpo_token_logps_backward(logps[p], R, whole.h,
                                 (dpo_weight){.f32 = whole.weight + parts[p].begin * D},
                                 whole.target, whole.coefficient, dh, dweight + parts[p].begin * D);
        for (int i = 0; i < R * D; i++)
            sum[i] += (double)dh[i];
        dpo_token_logps_destroy(&logps[p]);
    }
    ASSERT_SAME(R * D, whole.dh, sum, 2e-6);
    double *want = widen(V * D, whole.dweight);

    ASSERT_SAME(V * D, dweight, want, 2e-6);
    void *arrays[] = {logp, dh, dweight, sum, want};
    for (int a = 0; a < 5; a++)
        dpo_free(arrays[a]);
    close_scene(&whole);
}

static void weight_gradients_add(void **state)
{
    (void)state;
    scene s = open_scene(9, 12, 31, ALL);

    run_scene(&s);
    double *want = widen(31 * 12, s.dweight);

    for (int i = 0; i < 31 * 12; i++)
        want[i] *= 2;
    run_scene(&s);
    ASSERT_SAME(31 * 12, s.dweight, want, 1e-6);
    dpo_free(want);
    close_scene(&s);
}

/* In several blocks, whose largest logits are far apart. */
static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    scene s = open_scene(9, 12, 2500, ALL);

    for (int64_t i = 0; i < 9 * 12; i++)
        s.h[i] *= 1e4f;
    run_scene(&s);
    for (int64_t r = 0; r < 9; r++)
        assert_true(isfinite(s.logp[r]) && s.logp[r] <= 0);
    for (int64_t i = 0; i < 9 * 12; i++)
        assert_true(isfinite(s.dh[i]));
    close_scene(&s);
}

static void logits_are_the_products(void **state)
{
    (void)state;
    scene s = open_scene(9, 12, 31, ALL);
    float *logits = zeros_f32(9 * 31);
    double want[9 * 31];

    for (int64_t r = 0; r < 9; r++)
        for (int64_t v = 0; v < 31; v++)
            want[r * 31 + v] = weighted_sum(12, s.wide_h + r * 12, s.wide_weight + v * 12);
    ASSERT_NO_ALLOCATION(dpo_token_logps_logits(s.logps, 9, s.h, weight_of(&s), logits));
    ASSERT_SAME(9 * 31, logits, want, 1e-6);
    dpo_free(logits);
    close_scene(&s);
}

static void no_rows_are_no_work(void **state)
{
    (void)state;
    scene s = open_scene(9, 12, 31, ALL);

    s.n_rows = 0;
    run_scene(&s);
    for (int i = 0; i < 31 * 12; i++)
        assert_true(s.dweight[i] == 0.0f);
    close_scene(&s);
}

static void lack_of_memory_leaves_nothing(void **state)
{
    (void)state;
    dpo_token_logps *logps;

    for (int i = 1; i <= 4; i++) {
        dpo_memory_fail_after(i);
        assert_int_equal(dpo_token_logps_create(8, (dpo_range){0, 8}, 8, ALL, DPO_F32, &logps),
                         DPO_ENOMEM);
        assert_null(logps);
    }
    dpo_memory_fail_after(0);
}

/* h and W are representable in bf16, dz is not: each number moves by 2^-8 of it at most. */
static void products_of_bf16_operands_are_near_those_of_f32(void **state)
{
    (void)state;
    if (!dpo_engine_multiplies_bf16()) skip();
    for (int i = 0; i < 2; i++) {
        scene exact = open_scene(40, 24, 60, i * ALL);
        scene rounding = open_scene_of(DPO_BF16, 40, 24, 60, i * ALL);
        uint16_t *h = share_bf16(40 * 24, exact.h);

        dpo_f32_from_bf16_many(40 * 24, h, rounding.h);
        rounding.rounded_weight = share_bf16(60 * 24, exact.weight);
        run_scene(&exact);
        ASSERT_NO_ALLOCATION(run_scene(&rounding));
        double *logp = widen(40, exact.logp), *dh = widen(40 * 24, exact.dh);
        double *dweight = widen(60 * 24, exact.dweight);

        ASSERT_SAME(40, rounding.logp, logp, 2e-6);
        ASSERT_SAME(40 * 24, rounding.dh, dh, 1.0 / 256);
        ASSERT_SAME(60 * 24, rounding.dweight, dweight, 1.0 / 256);
        void *arrays[] = {h, rounding.rounded_weight, logp, dh, dweight};
        for (int a = 0; a < 5; a++)
            dpo_free(arrays[a]);
        close_scene(&exact);
        close_scene(&rounding);
    }
}

static const struct CMUnitTest tests[] = {
    UNIT_TEST(forward_is_the_definition_and_backward_its_slope),
    UNIT_TEST(blocks_do_not_show),
    UNIT_TEST(keeping_logits_changes_no_bit),
    UNIT_TEST(parts_of_the_vocabulary_make_the_whole),
    UNIT_TEST(weight_gradients_add),
    UNIT_TEST(large_logits_do_not_overflow),
    UNIT_TEST(logits_are_the_products),
    UNIT_TEST(no_rows_are_no_work),
    UNIT_TEST(lack_of_memory_leaves_nothing),
    UNIT_TEST(products_of_bf16_operands_are_near_those_of_f32),
};

MATH_TEST_MAIN(tests)
