// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "dpo/base/random.h"
#include "dpo/data/batch_plan.h"
#include "unit_test.h"

enum { MAX_EXAMPLES = 1003 };

static dpo_example_cost costs[MAX_EXAMPLES];

/* Log-normal lengths, as those of real preference data: median 400 tokens, some above 3000. */
static void make_costs(int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double normal = dpo_random_normal(7, DPO_STREAM_TEST, 0, (uint64_t)i);
        double tokens = ceil(400.0 * exp(0.8 * normal));

        costs[i] = (dpo_example_cost){.tokens = (int64_t)tokens,
                                      .rows = (int64_t)(tokens / 2.0),
                                      .pairs = tokens * (tokens + 1.0) / 2.0};
    }
}

static dpo_batch_plan_options options_of(int64_t n, int64_t batch, int data_size)
{
    make_costs(n);
    return (dpo_batch_plan_options){.n_examples = n,
                                    .batch_examples = batch,
                                    .budget_tokens = 2048,
                                    .seed = 42,
                                    .shuffle = true,
                                    .budget_rows = INT64_MAX,
                                    .data_size = data_size,
                                    .rank_shards = 1,
                                    .cost_of_token = 1.0,
                                    .cost_of_row = 0.3,
                                    .cost_of_pair = 1e-4};
}

static dpo_batch_plan *plan_of(const dpo_batch_plan_options *options)
{
    dpo_batch_plan *plan;

    ASSERT_OK(dpo_batch_plan_create(options, costs, &plan));
    return plan;
}

/* Counts how often the micro-batches of all ranks hold each example; they must ascend. */
static void count_examples(const dpo_batch_plan *plan, int data_size, int *count)
{
    for (int r = 0; r < data_size; r++)
        for (int64_t m = 0; m < dpo_batch_plan_n_micro_batches(plan, r); m++) {
            int64_t n;
            const int64_t *example = dpo_batch_plan_micro_batch(plan, r, m, &n);

            assert_true(n > 0);
            for (int64_t i = 0; i < n; i++) {
                assert_true(i == 0 || example[i - 1] < example[i]);
                count[example[i]]++;
            }
        }
}

static void every_epoch_takes_every_example_once(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1003, 64, 4}, {1000, 100, 3}, {5, 64, 8}, {1, 1, 1}};

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        int data_size = (int)sizes[s][2];
        dpo_batch_plan_options options = options_of(sizes[s][0], sizes[s][1], data_size);
        dpo_batch_plan *plan = plan_of(&options);
        int64_t n_steps = dpo_batch_plan_steps_per_epoch(plan);

        assert_int_equal(n_steps, (sizes[s][0] + sizes[s][1] - 1) / sizes[s][1]);
        for (int64_t epoch = 0; epoch < 2; epoch++) {
            int count[MAX_EXAMPLES] = {0};

            for (int64_t step = 0; step < n_steps; step++) {
                dpo_batch_plan_run(plan, epoch * n_steps + step);
                count_examples(plan, data_size, count);
            }
            for (int64_t i = 0; i < sizes[s][0]; i++)
                assert_int_equal(count[i], 1);
        }
        dpo_batch_plan_destroy(&plan);
    }
}

static void micro_batches_hold_the_examples_of_the_global_batch(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1003, 64, 4);
    dpo_batch_plan *plan = plan_of(&options);

    for (int64_t step = 0; step < 20; step++) {
        int count[MAX_EXAMPLES] = {0};
        int64_t n;

        dpo_batch_plan_run(plan, step);
        count_examples(plan, 4, count);
        const int64_t *example = dpo_batch_plan_examples(plan, &n);

        assert_int_equal(n, step % 16 == 15 ? 1003 - 15 * 64 : 64);
        for (int64_t i = 0; i < n; i++)
            assert_int_equal(count[example[i]]--, 1);
        for (int64_t i = 0; i < 1003; i++)
            assert_int_equal(count[i], 0);
    }
    dpo_batch_plan_destroy(&plan);
}

static void a_micro_batch_keeps_the_budget_or_is_one_example(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1003, 128, 3);
    dpo_batch_plan *plan = plan_of(&options);
    int n_larger = 0;

    for (int64_t step = 0; step < dpo_batch_plan_steps_per_epoch(plan); step++) {
        dpo_batch_plan_run(plan, step);
        for (int r = 0; r < 3; r++)
            for (int64_t m = 0; m < dpo_batch_plan_n_micro_batches(plan, r); m++) {
                int64_t n;
                int64_t tokens = 0;
                const int64_t *example = dpo_batch_plan_micro_batch(plan, r, m, &n);

                for (int64_t i = 0; i < n; i++)
                    tokens += costs[example[i]].tokens;
                assert_true(tokens <= 2048 || n == 1);
                n_larger += tokens > 2048;
            }
    }
    assert_true(n_larger > 0);
    dpo_batch_plan_destroy(&plan);
}

/* Five examples in a row have a prompt in common, of 300 tokens or what they have. */
static void give_prompts(int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t prompt = i / 5;
        double tokens = costs[i].tokens < 300 ? (double)costs[i].tokens - 1.0 : 300.0;

        costs[i].prompt = dpo_digest_of(&prompt, sizeof prompt);
        costs[i].prompt_tokens = (int64_t)tokens;
        costs[i].prompt_pairs = tokens * (tokens + 1.0) / 2.0;
    }
}

/* Tokens of a micro-batch that lays out each prompt once. */
static int64_t shared_tokens(int64_t n, const int64_t *example)
{
    int64_t tokens = 0;

    for (int64_t i = 0; i < n; i++) {
        bool again = i > 0 && dpo_example_shares_prompt(&costs[example[i]], &costs[example[i - 1]]);

        tokens += costs[example[i]].tokens - (again ? costs[example[i]].prompt_tokens : 0);
    }
    return tokens;
}

/* Micro-batches of all steps of an epoch, and neighbours of one prompt in them. */
static void check_epoch(const dpo_batch_plan_options *options, int64_t *n_micro_batches,
                        int64_t *n_together)
{
    dpo_batch_plan *plan = plan_of(options);

    *n_micro_batches = *n_together = 0;
    for (int64_t step = 0; step < dpo_batch_plan_steps_per_epoch(plan); step++) {
        dpo_batch_plan_run(plan, step);
        assert_true(dpo_batch_plan_imbalance(plan) < 1.05);
        for (int r = 0; r < options->data_size; r++)
            for (int64_t m = 0; m < dpo_batch_plan_n_micro_batches(plan, r); m++) {
                int64_t n;
                const int64_t *example = dpo_batch_plan_micro_batch(plan, r, m, &n);

                ++*n_micro_batches;
                assert_true(shared_tokens(n, example) <= options->budget_tokens || n == 1);
                for (int64_t i = 1; i < n; i++)
                    *n_together += example[i] / 5 == example[i - 1] / 5;
            }
    }
    dpo_batch_plan_destroy(&plan);
}

static void examples_of_a_prompt_stay_together(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1000, 100, 4);
    int64_t n_micro_batches[2], n_together[2];

    options.shuffle = false;
    check_epoch(&options, &n_micro_batches[0], &n_together[0]);
    give_prompts(1000);
    check_epoch(&options, &n_micro_batches[1], &n_together[1]);
    assert_true(n_together[0] < 400 && n_together[1] > 600); /* of 800 */
    assert_true(10 * n_micro_batches[1] < 8 * n_micro_batches[0]);
}

/* A batch with one prompt only is still work for all. */
static void one_prompt_is_work_for_all_ranks(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(64, 64, 4);

    for (int64_t i = 0; i < 64; i++)
        costs[i] = (dpo_example_cost){100, 40, 5050.0, {1, 1}, 60, 1830.0};
    dpo_batch_plan *plan = plan_of(&options);

    dpo_batch_plan_run(plan, 0);
    for (int r = 0; r < 4; r++)
        assert_true(dpo_batch_plan_n_micro_batches(plan, r) > 0);
    assert_true(dpo_batch_plan_imbalance(plan) < 1.2);
    dpo_batch_plan_destroy(&plan);
}

static void few_micro_batches_are_needed(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1003, 256, 2);
    dpo_batch_plan *plan = plan_of(&options);

    dpo_batch_plan_run(plan, 0);
    for (int r = 0; r < 2; r++) {
        int64_t n_micro_batches = dpo_batch_plan_n_micro_batches(plan, r);
        int64_t tokens = 0;

        for (int64_t m = 0; m < n_micro_batches; m++) {
            int64_t n;
            const int64_t *example = dpo_batch_plan_micro_batch(plan, r, m, &n);

            for (int64_t i = 0; i < n; i++) {
                int64_t length = costs[example[i]].tokens;

                tokens += length < 2048 ? length : 2048;
            }
        }
        assert_true(n_micro_batches <= tokens / 2048 + 3);
    }
    dpo_batch_plan_destroy(&plan);
}

static void two_plans_of_the_same_options_agree_whatever_ran_before(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1003, 64, 4);
    dpo_batch_plan *one = plan_of(&options);
    dpo_batch_plan *two = plan_of(&options);

    for (int64_t step = 0; step < 40; step++)
        dpo_batch_plan_run(one, step);
    dpo_batch_plan_run(one, 17);
    dpo_batch_plan_run(two, 17);
    for (int r = 0; r < 4; r++) {
        int64_t n_micro_batches = dpo_batch_plan_n_micro_batches(one, r);

        assert_int_equal(dpo_batch_plan_n_micro_batches(two, r), n_micro_batches);
        for (int64_t m = 0; m < n_micro_batches; m++) {
            int64_t n_one;
            int64_t n_two;
            const int64_t *example_one = dpo_batch_plan_micro_batch(one, r, m, &n_one);
            const int64_t *example_two = dpo_batch_plan_micro_batch(two, r, m, &n_two);

            assert_int_equal(n_one, n_two);
            assert_memory_equal(example_one, example_two, (size_t)n_one * sizeof *example_one);
        }
    }
    dpo_batch_plan_destroy(&one);
    dpo_batch_plan_destroy(&two);
}

static void the_order_depends_on_seed_and_epoch_only(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1003, 64, 1);
    dpo_batch_plan_options other = options;
    int64_t n;

    other.data_size = 7;
    other.budget_tokens = 100;
    other.cost_of_pair = 1.0;
    dpo_batch_plan *one = plan_of(&options);
    dpo_batch_plan *two = plan_of(&other);

    dpo_batch_plan_run(one, 19);
    dpo_batch_plan_run(two, 19);
    assert_memory_equal(dpo_batch_plan_examples(one, &n), dpo_batch_plan_examples(two, &n),
                        64 * sizeof(int64_t));
    dpo_batch_plan_run(two, 3);
    assert_memory_not_equal(dpo_batch_plan_examples(one, &n), dpo_batch_plan_examples(two, &n),
                            64 * sizeof(int64_t));
    dpo_batch_plan_destroy(&two);
    other.seed = 43;
    two = plan_of(&other);
    dpo_batch_plan_run(two, 19);
    assert_memory_not_equal(dpo_batch_plan_examples(one, &n), dpo_batch_plan_examples(two, &n),
                            64 * sizeof(int64_t));
    dpo_batch_plan_destroy(&one);
    dpo_batch_plan_destroy(&two);
}

static void without_shuffle_every_epoch_has_the_order_of_the_file(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(100, 16, 2);

    options.shuffle = false;
    dpo_batch_plan *plan = plan_of(&options);

    for (int64_t step = 0; step < 14; step++) {
        int64_t n;

        dpo_batch_plan_run(plan, step);
        const int64_t *example = dpo_batch_plan_examples(plan, &n);

        for (int64_t i = 0; i < n; i++)
            assert_int_equal(example[i], step % 7 * 16 + i);
    }
    dpo_batch_plan_destroy(&plan);
}

/* So that one, two, four or eight ranks add the same shards. */
static void shards_do_not_depend_on_the_number_of_ranks(void **state)
{
    (void)state;
    dpo_batch_plan_options many = options_of(1003, 64, 8), few = options_of(1003, 64, 2);

    few.rank_shards = 4;
    dpo_batch_plan *one = plan_of(&many), *two = plan_of(&few);

    for (int64_t step = 0; step < 17; step++) {
        dpo_batch_plan_run(one, step);
        dpo_batch_plan_run(two, step);
        for (int s = 0; s < 8; s++) {
            int64_t n_micro_batches = dpo_batch_plan_n_micro_batches(one, s);

            assert_int_equal(dpo_batch_plan_n_micro_batches(two, s), n_micro_batches);
            for (int64_t m = 0; m < n_micro_batches; m++) {
                int64_t n_one, n_two;
                const int64_t *example = dpo_batch_plan_micro_batch(one, s, m, &n_one);

                assert_memory_equal(example, dpo_batch_plan_micro_batch(two, s, m, &n_two),
                                    (size_t)n_one * sizeof *example);
                assert_int_equal(n_one, n_two);
            }
        }
        assert_true(dpo_batch_plan_imbalance(two) <= dpo_batch_plan_imbalance(one));
    }
    dpo_batch_plan_destroy(&one);
    dpo_batch_plan_destroy(&two);
}

/* The bound of the greedy rule: no rank exceeds the mean by more than one example's cost. */
static void ranks_finish_together(void **state)
{
    (void)state;
    static const struct {
        int64_t batch;
        int data_size;
        double imbalance;
    } cases[] = {{64, 1, 1.0}, {64, 2, 1.01}, {128, 4, 1.02}, {512, 16, 1.03}};

    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        dpo_batch_plan_options options = options_of(1003, cases[c].batch, cases[c].data_size);
        dpo_batch_plan *plan = plan_of(&options);

        dpo_batch_plan_run(plan, 0);
        double imbalance = dpo_batch_plan_imbalance(plan);

        assert_true(imbalance >= 1.0 - 1e-12);
        ASSERT_CLOSE(fmax(imbalance, cases[c].imbalance), cases[c].imbalance, 1e-12);
        dpo_batch_plan_destroy(&plan);
    }
}

static double cost_of(const dpo_batch_plan_options *options, int64_t example)
{
    const dpo_example_cost *cost = &costs[example];

    return (double)cost->tokens * options->cost_of_token +
           (double)cost->rows * options->cost_of_row + cost->pairs * options->cost_of_pair;
}

/* Which rank has each example of the batch, -1 for the others, and what each rank has to do. */
static int find_ranks(const dpo_batch_plan *plan, const dpo_batch_plan_options *options, int *rank,
                      double *load)
{
    int most = 0;

    for (int64_t i = 0; i < options->n_examples; i++)
        rank[i] = -1;
    for (int r = 0; r < options->data_size; r++) {
        load[r] = 0.0;
        for (int64_t m = 0; m < dpo_batch_plan_n_micro_batches(plan, r); m++) {
            int64_t n;
            const int64_t *example = dpo_batch_plan_micro_batch(plan, r, m, &n);

            for (int64_t i = 0; i < n; i++) {
                rank[example[i]] = r;
                load[r] += cost_of(options, example[i]);
            }
        }
        if (load[r] > load[most]) most = r;
    }
    return most;
}

/* Load of the more loaded of two ranks after `most` has given an example for another one (-1: for none). */
static double load_after(const dpo_batch_plan_options *options, const double *load, int most,
                         int other, int64_t given, int64_t taken)
{
    double moved = cost_of(options, given) - (taken >= 0 ? cost_of(options, taken) : 0.0);

    return fmax(load[most] - moved, load[other] + moved);
}

static void assert_no_exchange_helps(const dpo_batch_plan_options *options, const int *rank,
                                     const double *load, int most)
{
    const double rounding = 1.0 - 1e-9;

    for (int64_t given = 0; given < options->n_examples; given++) {
        if (rank[given] != most) continue;
        for (int other = 0; other < options->data_size; other++)
            if (other != most)
                assert_true(load_after(options, load, most, other, given, -1) >=
                            load[most] * rounding);
        for (int64_t taken = 0; taken < options->n_examples; taken++)
            if (rank[taken] >= 0 && rank[taken] != most)
                assert_true(load_after(options, load, most, rank[taken], given, taken) >=
                            load[most] * rounding);
    }
}

static void no_exchange_of_examples_would_let_the_slowest_rank_finish_earlier(void **state)
{
    (void)state;
    static const int sizes[][2] = {{64, 4}, {64, 16}, {64, 32}, {100, 7}, {16, 2}};
    static int rank[MAX_EXAMPLES];
    int n_checked = 0;

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        dpo_batch_plan_options options = options_of(1003, sizes[s][0], sizes[s][1]);
        dpo_batch_plan *plan = plan_of(&options);

        for (int64_t step = 0; step < dpo_batch_plan_steps_per_epoch(plan); step++) {
            double load[32];

            dpo_batch_plan_run(plan, step);
            int most = find_ranks(plan, &options, rank, load);

            if (dpo_batch_plan_imbalance(plan) <= 1.001) continue;
            assert_no_exchange_helps(&options, rank, load, most);
            n_checked++;
        }
        dpo_batch_plan_destroy(&plan);
    }
    assert_true(n_checked > 0);
}

/* Pairs cut to 1,024 tokens, as the step computes them: their prompt once. */
static void make_costs_of_pairs(void)
{
    for (int64_t i = 0; i < MAX_EXAMPLES; i++) {
        double part[3];

        for (uint32_t k = 0; k < 3; k++)
            part[k] = floor((k == 0 ? 110.0 : 210.0) *
                            exp(0.9 * dpo_random_normal(8, DPO_STREAM_TEST, k, (uint64_t)i)));
        double prompt = 1.0 + fmin(part[0], 1000.0);
        double chosen = 1.0 + fmin(part[1], 1022.0 - prompt);
        double rejected = 1.0 + fmin(part[2], 1022.0 - prompt);
        double tokens = prompt + chosen + rejected - 2.0;

        costs[i] = (dpo_example_cost){.tokens = (int64_t)tokens,
                                      .rows = (int64_t)(chosen + rejected),
                                      .pairs = tokens * tokens / 3.0};
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* SmolLM2's weights of token, row and pair; an epoch of 1003 examples ends with a batch of 43. */
static void ranks_finish_together_at_batch_64_to_the_end_of_the_epoch(void **state)
{
    (void)state;
    enum { N_STEPS = 16 };

    for (int data_size = 2; data_size <= 8; data_size *= 2) {
        dpo_batch_plan_options options = options_of(1003, 64, data_size);

        options.cost_of_token = 212.0;
        options.cost_of_row = 56.6;
        options.cost_of_pair = 0.069;
        make_costs_of_pairs();
        dpo_batch_plan *plan = plan_of(&options);
        double imbalance[N_STEPS], sum = 0.0;

        assert_int_equal(dpo_batch_plan_steps_per_epoch(plan), N_STEPS);
        for (int64_t step = 0; step < N_STEPS; step++) {
            dpo_batch_plan_run(plan, step);
            imbalance[step] = dpo_batch_plan_imbalance(plan);
            sum += imbalance[step];
        }
        qsort(imbalance, N_STEPS, sizeof *imbalance, by_value);
        assert_true(imbalance[N_STEPS / 2] < 1.005);
        assert_true(sum / N_STEPS < 1.005);
        assert_true(imbalance[N_STEPS - 1] < 1.03);
        dpo_batch_plan_destroy(&plan);
    }
}

static void the_cost_model_decides_who_gets_what(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(3, 3, 2);
    int64_t n;

    costs[0] = (dpo_example_cost){.tokens = 100, .rows = 10, .pairs = 5000.0};
    costs[1] = (dpo_example_cost){.tokens = 60, .rows = 10, .pairs = 1.0};
    costs[2] = (dpo_example_cost){.tokens = 30, .rows = 90, .pairs = 1.0};
    options.cost_of_token = 1.0;
    options.cost_of_row = 0.0;
    options.cost_of_pair = 0.0;
    dpo_batch_plan *by_tokens = plan_of(&options);

    options.cost_of_token = 0.0;
    options.cost_of_row = 1.0;
    dpo_batch_plan *by_rows = plan_of(&options);

    dpo_batch_plan_run(by_tokens, 0);
    assert_int_equal(dpo_batch_plan_micro_batch(by_tokens, 0, 0, &n)[0], 0);
    assert_int_equal(n, 1);
    ASSERT_CLOSE(dpo_batch_plan_imbalance(by_tokens), 100.0 / 95.0, 1e-12);
    dpo_batch_plan_run(by_rows, 0);
    assert_int_equal(dpo_batch_plan_micro_batch(by_rows, 0, 0, &n)[0], 2);
    assert_int_equal(n, 1);
    ASSERT_CLOSE(dpo_batch_plan_imbalance(by_rows), 90.0 / 55.0, 1e-12);
    dpo_batch_plan_destroy(&by_tokens);
    dpo_batch_plan_destroy(&by_rows);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(1003, 64, 4);
    dpo_batch_plan *plan = plan_of(&options);
    int64_t count = dpo_memory_count();

    for (int64_t step = 0; step < 40; step++)
        dpo_batch_plan_run(plan, step);
    assert_int_equal(dpo_memory_count(), count);
    dpo_batch_plan_destroy(&plan);
}

static void a_plan_without_memory_is_null_and_leaves_nothing(void **state)
{
    (void)state;
    dpo_batch_plan_options options = options_of(100, 16, 2);

    for (int64_t fail = 1; fail <= 2; fail++) {
        dpo_batch_plan *plan;

        dpo_memory_fail_after(fail);
        assert_int_equal(dpo_batch_plan_create(&options, costs, &plan), DPO_ENOMEM);
        assert_null(plan);
        assert_int_equal(dpo_memory_outstanding(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_epoch_takes_every_example_once),
        UNIT_TEST(micro_batches_hold_the_examples_of_the_global_batch),
        UNIT_TEST(a_micro_batch_keeps_the_budget_or_is_one_example),
        UNIT_TEST(examples_of_a_prompt_stay_together),
        UNIT_TEST(one_prompt_is_work_for_all_ranks),
        UNIT_TEST(few_micro_batches_are_needed),
        UNIT_TEST(two_plans_of_the_same_options_agree_whatever_ran_before),
        UNIT_TEST(the_order_depends_on_seed_and_epoch_only),
        UNIT_TEST(without_shuffle_every_epoch_has_the_order_of_the_file),
        UNIT_TEST(shards_do_not_depend_on_the_number_of_ranks),
        UNIT_TEST(ranks_finish_together),
        UNIT_TEST(no_exchange_of_examples_would_let_the_slowest_rank_finish_earlier),
        UNIT_TEST(ranks_finish_together_at_batch_64_to_the_end_of_the_epoch),
        UNIT_TEST(the_cost_model_decides_who_gets_what),
        UNIT_TEST(a_step_allocates_nothing),
        UNIT_TEST(a_plan_without_memory_is_null_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
