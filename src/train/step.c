// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/step.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "dpo/base/clock.h"
#include "dpo/base/phase.h"
#include "dpo/base/system_memory.h"
#include "dpo/comm/collective.h"
#include "dpo/comm/runtime.h"
#include "dpo/optim/clip.h"
#include "dpo/scaling/flops.h"

/* What is summed over the ranks in one reduction, in this order. */
typedef struct {
    double n_not_finite, n_stops, rss_bytes, best_flops_per_s; /* of every rank */
    dpo_noise_sums noise;
    double loss; /* from here on the same on tensor-parallel ranks */
    double reference_loss, n_tokens, flops;
    dpo_metric_sums metrics;
} step_sums;

enum { N_STEP_SUMS = sizeof(step_sums) / sizeof(double) };

/* Comparisons of the planned global batch: what its loss is divided by. */
static double count_edges(const dpo_step *step, const dpo_token_store *store)
{
    int64_t n_examples;
    const int64_t *examples = dpo_batch_plan_examples(step->plan, &n_examples);
    int64_t n_edges = 0;

    for (int64_t i = 0; i < n_examples; i++)
        n_edges += dpo_range_length(dpo_token_store_edges(store, examples[i]));
    return (double)n_edges;
}

static dpo_work work_laid_out(const dpo_batch *batch)
{
    return (dpo_work){(double)batch->n_tokens, (double)batch->n_rows,
                      dpo_segments_n_pairs(&batch->segments)};
}

/* What examples need that share nothing with each other. */
static dpo_work work_of_examples(const dpo_token_store *store, int64_t n, const int64_t *examples)
{
    dpo_work work = {0};

    for (int64_t i = 0; i < n; i++) {
        dpo_example_cost cost = dpo_microbatch_cost(store, examples[i], true, 0);

        work.tokens += (double)cost.tokens;
        work.rows += (double)cost.rows;
        work.pairs += cost.pairs;
    }
    return work;
}

/* Of the current micro-batch. Prompts count once even if they are computed more often. */
static double count_flops(const dpo_step *step, int64_t n, const int64_t *examples)
{
    const dpo_session *session = step->session;
    const dpo_pass *pass = &session->pass;
    dpo_work work = pass->shares ? work_laid_out(&pass->microbatch.batch)
                                 : work_of_examples(session->set[DPO_SET_TRAIN].store, n, examples);

    return dpo_training_flops(&session->model_config, &work);
}

static double count_tokens(const dpo_pass *pass, const dpo_token_store *store)
{
    const dpo_microbatch *m = &pass->microbatch;
    int64_t n_tokens = 0;

    for (int64_t r = 0; r < m->n_responses; r++) {
        int64_t n_prompt;

        (void)dpo_token_store_prompt(store, dpo_token_store_response_prompt(store, m->response[r]),
                                     &n_prompt);
        n_tokens += n_prompt + pass->n_tokens[r];
    }
    return (double)n_tokens;
}

/* The loss that the batch would have if the policy were the reference. The slopes it leaves are cleared. */
static double loss_at_reference(const dpo_step *step, const dpo_objective_batch *batch,
                                double *slope)
{
    dpo_objective_batch at_reference = *batch;

    if (batch->reference_logp == NULL) return 0.0;
    at_reference.logp = batch->reference_logp;
    double loss = dpo_objective_run(step->objective, &step->params, &at_reference, slope);

    memset(slope, 0, (size_t)batch->n_responses * sizeof *slope);
    return loss;
}

/* A step's batch: comparisons of all ranks, what its loss is divided by, and of this one. */
typedef struct {
    double n_edges, n_own_edges;
} step_batch;

/* Gradients on their way out: those from end on have gone, with these squares. */
typedef struct {
    dpo_step *step;
    int64_t end;
    dpo_exact_sum squares;
} stream;

static void add_squares(const dpo_step *step, const dpo_shard *shard, dpo_exact_sum *squares)
{
    dpo_model *model = step->session->model;

    dpo_clip_add_squares(dpo_model_parameters(model), shard, dpo_model_gradients(model), squares);
}

/* Gradients from begin on are finished. */
static void send(void *context, int64_t begin)
{
    stream *s = context;
    dpo_range part = {begin, s->end};
    const dpo_shard finished = {1, &part, dpo_range_length(part)};

    if (dpo_range_length(part) == 0) return;
    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    add_squares(s->step, &finished, &s->squares);
    dpo_buckets_ready(s->step->buckets, begin);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
    s->end = begin;
}

static void run_micro_batch(dpo_step *step, int64_t n, const int64_t *examples,
                            const dpo_gradient_sink *last, step_batch *size, step_sums *sums)
{
    const dpo_data_set *data = &step->session->set[DPO_SET_TRAIN];
    dpo_pass *pass = &step->session->pass;

    dpo_pass_forward(pass, data->store, n, examples);
    dpo_phase_begin(DPO_PHASE_OBJECTIVE);
    dpo_objective_batch batch = dpo_pass_objective_batch(pass, data->reference_logp, size->n_edges);

    size->n_own_edges += (double)batch.n_edges;
    sums->reference_loss += loss_at_reference(step, &batch, pass->slope);
    sums->loss += dpo_objective_run(step->objective, &step->params, &batch, pass->slope);
    sums->n_tokens += count_tokens(pass, data->store);
    sums->flops += count_flops(step, n, examples);
    dpo_metric_sums_add(&batch, step->params.beta, &sums->metrics);
    dpo_phase_end(DPO_PHASE_OBJECTIVE);
    dpo_pass_backward(pass, last);
}

/* Leaves the shard's gradient; its last micro-batch tells the sink. */
static void run_shard(dpo_step *step, int shard, const dpo_gradient_sink *sink, step_batch *size,
                      step_sums *sums)
{
    int64_t n_micro_batches = dpo_batch_plan_n_micro_batches(step->plan, shard);

    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    dpo_model_zero_gradients(step->session->model);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
    for (int64_t i = 0; i < n_micro_batches; i++) {
        int64_t n;
        const int64_t *examples = dpo_batch_plan_micro_batch(step->plan, shard, i, &n);

        run_micro_batch(step, n, examples, i == n_micro_batches - 1 ? sink : NULL, size, sums);
    }
}

static void run_shards(dpo_step *step, stream *out, step_batch *size, step_sums *sums)
{
    const dpo_gradient_sink silent = {0};
    const dpo_gradient_sink sending = {.ready = send, .context = out};
    float *gradients = dpo_model_gradients(step->session->model);
    dpo_range shards = dpo_session_shards(step->session);

    if (step->tree == NULL) dpo_buckets_begin(step->buckets, gradients);
    for (int64_t shard = shards.begin; shard < shards.end; shard++) {
        run_shard(step, (int)shard, step->tree == NULL ? &sending : &silent, size, sums);
        dpo_phase_begin(DPO_PHASE_OPTIMIZER);
        if (step->tree != NULL) dpo_gradient_tree_add(step->tree, gradients);
        dpo_phase_end(DPO_PHASE_OPTIMIZER);
    }
    if (step->tree != NULL) dpo_buckets_begin(step->buckets, gradients);
}

/* Gradients of the batch, summed into the rank's shard. */
static void compute_gradients(dpo_step *step, step_batch *size, step_sums *sums)
{
    const dpo_session *session = step->session;
    bool is_first = dpo_grid_rank(session->grid, DPO_TENSOR) == 0;
    stream out = {.step = step, .end = dpo_model_parameters(session->model)->n_elements};

    *size = (step_batch){.n_edges = count_edges(step, session->set[DPO_SET_TRAIN].store)};
    run_shards(step, &out, size, sums);
    send(&out, 0);
    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    dpo_buckets_end(step->buckets);
    sums->noise = dpo_noise_of_rank(dpo_exact_sum_value(&out.squares), size->n_own_edges,
                                    size->n_edges, is_first);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
}

static void sum_over_ranks(const dpo_grid *grid, step_sums *sums)
{
    bool counts = dpo_grid_rank(grid, DPO_TENSOR) == 0;
    double vector[N_STEP_SUMS] = {0};

    memcpy(vector, sums, counts ? sizeof vector : offsetof(step_sums, loss));
    dpo_sum_f64(grid, DPO_WORLD, N_STEP_SUMS, vector);
    memcpy(sums, vector, sizeof vector);
}

/* Of the phases since `before`, the speed of the one with the fastest products on this rank. */
static double best_speed(const dpo_phase_row *before)
{
    dpo_phase_row now[DPO_MAX_PHASES];
    double best = 0.0;

    dpo_phase_read(now);
    for (int i = 0; i < DPO_MAX_PHASES; i++) {
        double flops = now[i].flops - before[i].flops, time_s = now[i].time_s - before[i].time_s;

        if (flops > 0.0 && time_s > 0.0) best = fmax(best, flops / time_s);
    }
    return best;
}

static void sum_numbers(const dpo_step *step, const step_batch *size, step_sums *sums,
                        dpo_step_numbers *numbers)
{
    const dpo_grid *grid = step->session->grid;
    dpo_exact_sum squares = {0};

    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    add_squares(step, dpo_buckets_shard(step->buckets), &squares);
    sums->n_not_finite = !isfinite(dpo_exact_sum_value(&squares)) || !isfinite(sums->loss);
    sums->n_stops = dpo_stop_requested();
    sums->rss_bytes = (double)dpo_system_memory_resident();
    sum_over_ranks(grid, sums);
    numbers->grad_norm = dpo_clip_norm(grid, &squares);
    numbers->noise = dpo_noise_estimate(&sums->noise, size->n_edges, numbers->grad_norm);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
}

static void update(dpo_step *step, double lr, double grad_norm)
{
    dpo_model *model = step->session->model;
    const dpo_optimizer_update by = {.lr = lr,
                                     .gradient_scale = dpo_clip_coefficient(grad_norm, step->clip),
                                     .gradients = dpo_model_gradients(model),
                                     .weights = dpo_model_weights(model)};

    dpo_phase_begin(DPO_PHASE_OPTIMIZER);
    dpo_optimizer_run(step->optimizer, &by);
    if (step->ema != NULL) dpo_ema_run(step->ema, by.weights);
    dpo_buckets_gather(step->buckets, by.weights);
    dpo_phase_end(DPO_PHASE_OPTIMIZER);
}

static dpo_status make_tree(dpo_step *step, int64_t n)
{
    int64_t n_shards = dpo_range_length(dpo_session_shards(step->session));

    return n_shards == 1 ? DPO_OK : dpo_gradient_tree_create(n, n_shards, &step->tree);
}

dpo_status dpo_step_open(dpo_step *step)
{
    const dpo_session *session = step->session;
    const dpo_run_config *run = session->run;
    int64_t n = dpo_model_parameters(session->model)->n_elements;
    const dpo_buckets_options options = {.kind = (dpo_transport_kind)run->parallel.transport,
                                         .bucket_bytes = run->parallel.bucket_bytes,
                                         .bf16_messages = run->parallel.bf16_messages};

    DPO_TRY(dpo_buckets_create(session->grid, DPO_DATA, n, &options, &step->buckets));
    dpo_model_zero_gradients(session->model); /* so that their pages are there before step 0 */
    return dpo_agree(session->grid, make_tree(step, n));
}

void dpo_step_close(dpo_step *step)
{
    dpo_buckets_destroy(&step->buckets);
    dpo_gradient_tree_destroy(&step->tree);
}

void dpo_step_run(dpo_step *step, int64_t number, double lr, dpo_step_numbers *numbers)
{
    double begin_s = dpo_clock_s();
    double comm_begin_s = dpo_comm_time_s();
    dpo_phase_row before[DPO_MAX_PHASES];
    step_batch size;
    step_sums sums = {0};

    dpo_phase_read(before);
    dpo_phase_begin(DPO_PHASE_PLAN);
    dpo_batch_plan_run(step->plan, number);
    dpo_phase_end(DPO_PHASE_PLAN);
    compute_gradients(step, &size, &sums);
    sums.best_flops_per_s = best_speed(before);
    sum_numbers(step, &size, &sums, numbers);
    numbers->is_finite = sums.n_not_finite == 0.0;
    if (numbers->is_finite) update(step, lr, numbers->grad_norm);
    numbers->loss = sums.loss;
    numbers->reference_loss = sums.reference_loss;
    numbers->n_tokens = sums.n_tokens;
    numbers->flops = sums.flops;
    numbers->best_flops_per_s = sums.best_flops_per_s;
    numbers->sums = sums.metrics;
    numbers->must_stop = sums.n_stops > 0.0;
    numbers->rss_bytes = sums.rss_bytes;
    numbers->imbalance = dpo_batch_plan_imbalance(step->plan);
    numbers->step_s = dpo_clock_s() - begin_s;
    numbers->comm_s = dpo_comm_time_s() - comm_begin_s;
}
