// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/base/system_memory.h"
#include "dpo/comm/collective.h"
#include "dpo/data/prepare.h"
#include "dpo/optim/optimizer.h"
#include "dpo/scaling/flops.h"
#include "dpo/store/publish.h"
#include "dpo/train/reference_pass.h"
#include "dpo/train/sources.h"

/* Enough rows for the matmuls to run at their peak, little enough to stay in memory. */
enum { DEFAULT_BUDGET_TOKENS = 2048 };
/* Examples of a rank that evaluation plans together: enough to fill micro-batches evenly. */
enum { EVAL_EXAMPLES = 64 };
/* Logits kept from forward to backward save a product; beyond this they are computed again. */
static const int64_t logits_budget_bytes = 384LL << 20;

static const struct {
    const char *key;
    const char *file; /* token store */
} set_table[DPO_N_SETS] = {{"data.train", "data.h5"}, {"data.eval", "eval.h5"}};

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static const dpo_json *sources_of(const dpo_run_config *run, dpo_set set)
{
    return set == DPO_SET_TRAIN ? run->data.train : run->data.eval;
}

dpo_status dpo_session_path(const dpo_session *session, const char *name, char **path)
{
    const char *out = session->run->out;
    int64_t n_bytes = (int64_t)(strlen(out) + strlen(name)) + 2;

    DPO_TRY(DPO_NEW(*path, n_bytes));
    (void)snprintf(*path, (size_t)n_bytes, "%s/%s", out, name);
    return DPO_OK;
}

static dpo_status check_given(const dpo_run_config *run, unsigned sets)
{
    bool has_data = false;

    if (run->out == NULL)
        return DPO_FAIL(DPO_EUSAGE, "out: is required; name a folder for the files of the run "
                                    "(--out DIR)");
    for (int set = 0; set < DPO_N_SETS; set++)
        has_data = has_data || ((sets & (1u << set)) && sources_of(run, (dpo_set)set) != NULL);
    if (!has_data)
        return DPO_FAIL(DPO_EUSAGE,
                        "data.train: is required; name a preference file (--data FILE)");
    return DPO_OK;
}

/* The tree over shards has to be the same whatever rank adds which part of it. */
static dpo_status check_shards(const dpo_grid *grid, const dpo_run_config *run)
{
    int64_t n = run->parallel.shards, n_ranks = dpo_grid_size(grid, DPO_DATA);

    if (!run->parallel.reproducible || ((n & (n - 1)) == 0 && n % n_ranks == 0)) return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE,
                    "parallel.shards: %lld, expected a power of two that the %lld data-parallel "
                    "ranks divide (1, 2, 4, ... ranks)",
                    (long long)n, (long long)n_ranks);
}

static dpo_status make_folder(const dpo_session *session)
{
    dpo_status status = DPO_OK;
    int64_t n_removed = 0;

    if (dpo_grid_rank(session->grid, DPO_WORLD) == 0) {
        status = dpo_folder_create(session->run->out);
        if (status == DPO_OK) status = dpo_folder_clean(session->run->out, &n_removed);
        if (n_removed > 0)
            dpo_log_info("%s: removed %lld unfinished files of a run that was killed",
                         session->run->out, (long long)n_removed);
    }
    return dpo_agree(session->grid, status);
}

static dpo_status load_text(dpo_session *session)
{
    DPO_TRY(dpo_tokenizer_load(session->source.folder, &session->tokenizer));
    return dpo_model_source_template(&session->source, session->run->data.chat_template,
                                     &session->chat_template);
}

static dpo_status prepare_options(const dpo_session *session, dpo_set set,
                                  dpo_data_source **sources, dpo_prepare_options *options)
{
    const dpo_run_config *run = session->run;

    *options = (dpo_prepare_options){.tokenizer = session->tokenizer,
                                     .chat_template = session->chat_template,
                                     .max_length = run->data.max_length,
                                     .truncation = (dpo_truncation)run->data.truncation,
                                     .empty = (dpo_empty)run->data.empty,
                                     .group = (dpo_group)run->data.group};
    DPO_TRY(
        dpo_sources_read(set_table[set].key, sources_of(run, set), sources, &options->n_sources));
    options->sources = *sources;
    return DPO_OK;
}

static dpo_status cost_examples(const dpo_session *session, dpo_data_set *set)
{
    int64_t n = dpo_token_store_n_examples(set->store);

    bool shares = session->run->batch.share_prompts;

    DPO_TRY(DPO_NEW(set->costs, n));
    set->common_tokens = shares ? dpo_microbatch_common_tokens(set->store) : 0;
    for (int64_t x = 0; x < n; x++)
        set->costs[x] = dpo_microbatch_cost(set->store, x, shares, set->common_tokens);
    if (set->common_tokens > 0)
        dpo_log_info(
            "  all prompts begin with the same %lld tokens; a micro-batch computes them once",
            (long long)set->common_tokens);
    return DPO_OK;
}

static dpo_status open_set(dpo_session *session, dpo_set set)
{
    const dpo_grid *grid = session->grid;
    dpo_data_source *sources = NULL;
    dpo_prepare_options options;
    dpo_audit audit;
    char *path = NULL;
    dpo_status status = prepare_options(session, set, &sources, &options);

    if (status == DPO_OK) status = dpo_session_path(session, set_table[set].file, &path);
    status = dpo_agree(grid, status);
    if (status == DPO_OK) status = dpo_prepare(grid, &options, path, &audit);
    if (status == DPO_OK)
        status = dpo_token_store_open(grid, path, session->model_config.n_vocab,
                                      &session->set[set].store);
    if (status == DPO_OK) status = dpo_agree(grid, cost_examples(session, &session->set[set]));
    dpo_free(sources);
    dpo_free(path);
    return status;
}

dpo_status dpo_session_open(const dpo_grid *grid, const dpo_run_config *run, unsigned sets,
                            dpo_session *session)
{
    *session = (dpo_session){.grid = grid, .run = run};
    DPO_TRY(dpo_agree(grid, check_given(run, sets)));
    DPO_TRY(check_shards(grid, run));
    DPO_TRY(dpo_precision_choose(grid, run, &session->precision));
    DPO_TRY(dpo_model_source_find(grid, "model", run->model, &session->source));
    DPO_TRY(dpo_model_config_read(grid, session->source.folder, &session->model_config));
    DPO_TRY(make_folder(session));
    DPO_TRY(dpo_agree(grid, load_text(session)));
    for (int set = 0; set < DPO_N_SETS; set++)
        if ((sets & (1u << set)) && sources_of(run, (dpo_set)set) != NULL)
            DPO_TRY(open_set(session, (dpo_set)set));
    return DPO_OK;
}

/* What the data sets ask of micro-batches. */
typedef struct {
    dpo_memory_wishes wishes;
    double edges_per_row; /* of the example that has most */
    int64_t positions;
} demand;

/* Whether examples that are neighbours in the file are so in the batches. */
static bool keeps_neighbours(const dpo_session *session, dpo_set set)
{
    int64_t n = dpo_token_store_n_examples(session->set[set].store);

    return set != DPO_SET_TRAIN || !session->run->data.shuffle || n <= session->run->batch.examples;
}

/* A micro-batch gets room for rows in the proportion of the whole data set and a fifth more. */
static void grow(const dpo_data_set *set, bool keeps_neighbours, demand *d)
{
    const double spare = 1.2;
    int64_t n = dpo_token_store_n_examples(set->store);
    int64_t longest = dpo_token_store_max_sequence_tokens(set->store);
    double tokens = 0.0, rows = 0.0;

    for (int64_t x = 0; x < n; x++) {
        const dpo_example_cost *cost = &set->costs[x];
        double edges = (double)dpo_range_length(dpo_token_store_edges(set->store, x));

        tokens += (double)cost->tokens;
        if (keeps_neighbours && x > 0 && dpo_example_shares_prompt(cost - 1, cost))
            tokens -= (double)cost->prompt_tokens;
        rows += (double)cost->rows;
        d->wishes.longest_tokens =
            larger(d->wishes.longest_tokens, set->common_tokens + cost->tokens);
        d->wishes.longest_rows = larger(d->wishes.longest_rows, cost->rows);
        d->edges_per_row = fmax(d->edges_per_row, edges / (double)cost->rows);
    }
    if (tokens > 0.0)
        d->wishes.rows_per_token = fmax(d->wishes.rows_per_token, spare * rows / tokens);
    d->positions = larger(d->positions, longest);
}

static demand demand_of(const dpo_session *session)
{
    const dpo_run_config *run = session->run;
    demand d = {.wishes = {.budget_tokens =
                               run->batch.tokens > 0 ? run->batch.tokens : DEFAULT_BUDGET_TOKENS,
                           .is_fixed = run->batch.tokens > 0 || run->parallel.reproducible,
                           .recompute_is_fixed = run->memory.recompute > 0}};

    for (int set = 0; set < DPO_N_SETS; set++)
        if (session->set[set].store != NULL)
            grow(&session->set[set], keeps_neighbours(session, (dpo_set)set), &d);
    return d;
}

/* What this rank may use: some of what is free is left to the system. */
static int64_t memory_limit(const dpo_session *session)
{
    const double usable = 0.9;
    double given = session->run->memory.limit_gib;
    int64_t n_ranks = dpo_grid_size(session->grid, DPO_NODE);
    int64_t resident = dpo_system_memory_resident(), free_bytes = dpo_system_memory_free("");

    if (given > 0.0) return (int64_t)(given * 0x1p30);
    if (free_bytes == 0) return INT64_MAX;
    return (int64_t)(usable * (double)free_bytes / (double)n_ranks) + resident;
}

static dpo_status needs_of(const dpo_session *session, dpo_memory_needs *needs)
{
    const dpo_grid *grid = session->grid;
    const dpo_run_config *run = session->run;
    int n;
    const dpo_optimizer_method *method = &dpo_optimizer_table(&n)[run->optimizer.name];
    const dpo_optimizer_options options = dpo_run_config_optimizer(run);
    dpo_range shards = dpo_session_shards(session);

    *needs = (dpo_memory_needs){.config = &session->model_config,
                                .data_size = dpo_grid_size(grid, DPO_DATA),
                                .n_states = dpo_optimizer_count_states(method, &options),
                                .has_average = run->optimizer.ema > 0.0,
                                .rank_shards = dpo_range_length(shards),
                                .program_bytes = dpo_system_memory_resident()};
    return dpo_partition_make(&session->model_config, dpo_grid_size(grid, DPO_TENSOR),
                              dpo_grid_rank(grid, DPO_TENSOR), &needs->partition);
}

static dpo_status plan_memory(dpo_session *session, demand *d, dpo_model_limits *limits)
{
    int64_t limit_bytes = memory_limit(session);
    dpo_memory_needs needs;

    DPO_TRY(dpo_agree(session->grid, needs_of(session, &needs)));
    DPO_TRY(dpo_memory_plan_fit(session->grid, &needs, limit_bytes, &d->wishes, limits,
                                &session->memory));
    dpo_memory_plan_log(&session->memory, limits, limit_bytes);
    session->budget_tokens = d->wishes.budget_tokens;
    session->budget_rows = dpo_memory_budget_rows(&d->wishes);
    return DPO_OK;
}

static void log_tensor_ranks(const dpo_session *session)
{
    int size = dpo_grid_size(session->grid, DPO_TENSOR);

    if (size == 1) return;
    dpo_log_info(
        "tensor-parallel ranks: rows are exchanged by %s; the rank with most of the layers "
        "has %.2f times the mean",
        dpo_transport_name(dpo_model_transport(session->model)),
        dpo_partition_imbalance(&session->model_config, size));
}

static dpo_status make_model(dpo_session *session, bool trainable)
{
    const dpo_run_config *run = session->run;
    demand d = demand_of(session);
    dpo_model_limits limits = {.logits_bytes = trainable ? logits_budget_bytes : 0,
                               .trainable = trainable,
                               .transport = (dpo_transport_kind)run->parallel.transport,
                               .compute = session->precision.compute,
                               .activations = session->precision.activations};

    if (run->memory.recompute > 0) limits.recompute = (dpo_recompute)(run->memory.recompute - 1);
    if (d.positions > session->model_config.max_positions)
        return DPO_FAIL(DPO_EUSAGE,
                        "data.max_length: sequences of %lld tokens, but the model's context is "
                        "%lld (max_position_embeddings); lower data.max_length",
                        (long long)d.positions, (long long)session->model_config.max_positions);
    DPO_TRY(plan_memory(session, &d, &limits));
    int64_t max_edges = (int64_t)(d.edges_per_row * (double)limits.max_rows) + 1;

    DPO_TRY(dpo_model_create(session->grid, &session->model_config, &limits, &session->model));
    log_tensor_ranks(session);
    return dpo_agree(session->grid, dpo_pass_create(session->model, max_edges,
                                                    run->batch.share_prompts, &session->pass));
}

/* The reference's weights into the model; they may be the policy's own. */
static dpo_status load_reference(dpo_session *session)
{
    const char *path = session->run->reference.model;
    dpo_model_source source;

    if (path == NULL && session->source.checkpoint != NULL)
        return DPO_FAIL(DPO_EUSAGE,
                        "reference.model: is required when model is a checkpoint (%s); name the "
                        "folder the run began with, %s",
                        session->source.checkpoint, session->source.folder);
    DPO_TRY(dpo_model_source_find(session->grid, "reference.model",
                                  path != NULL ? path : session->source.folder, &source));
    dpo_status status = dpo_model_source_load(session->grid, &source, session->model);

    dpo_model_source_destroy(&source);
    return status;
}

static dpo_status pass_over_sets(dpo_session *session)
{
    const char *given = session->run->reference.cache;
    char *path = NULL;
    dpo_status status = given != NULL ? dpo_text_copy(given, &path)
                                      : dpo_session_path(session, "reference.h5", &path);

    status = dpo_agree(session->grid, status);
    for (int set = 0; set < DPO_N_SETS && status == DPO_OK; set++)
        if (session->set[set].store != NULL)
            status = dpo_reference_pass(session, (dpo_set)set, path);
    dpo_free(path);
    return status;
}

dpo_status dpo_session_load(dpo_session *session, bool trainable)
{
    const dpo_run_config *run = session->run;
    bool is_own = run->reference.model == NULL && session->source.checkpoint == NULL;

    DPO_TRY(make_model(session, trainable));
    DPO_TRY(load_reference(session));
    DPO_TRY(dpo_model_digest(session->grid, session->model, &session->reference_digest));
    DPO_TRY(pass_over_sets(session));
    session->policy_digest = session->reference_digest;
    if (is_own || session->stopped) return DPO_OK;
    DPO_TRY(dpo_model_source_load(session->grid, &session->source, session->model));
    return dpo_model_digest(session->grid, session->model, &session->policy_digest);
}

void dpo_session_close(dpo_session *session)
{
    for (int set = 0; set < DPO_N_SETS; set++) {
        dpo_token_store_close(&session->set[set].store);
        dpo_free(session->set[set].costs);
        dpo_free(session->set[set].reference_logp);
    }
    dpo_pass_destroy(&session->pass);
    dpo_model_destroy(&session->model);
    dpo_chat_template_destroy(&session->chat_template);
    dpo_tokenizer_destroy(&session->tokenizer);
    dpo_model_source_destroy(&session->source);
    *session = (dpo_session){0};
}

/* Reproducible runs have as many shards however many ranks there are. */
static int shards_of_a_rank(const dpo_session *session)
{
    if (!session->run->parallel.reproducible) return 1;
    return (int)session->run->parallel.shards / dpo_grid_size(session->grid, DPO_DATA);
}

dpo_range dpo_session_shards(const dpo_session *session)
{
    int64_t n = shards_of_a_rank(session), rank = dpo_grid_rank(session->grid, DPO_DATA);

    return (dpo_range){rank * n, (rank + 1) * n};
}

dpo_status dpo_session_plan(const dpo_session *session, dpo_set set, dpo_batch_plan **plan)
{
    const dpo_run_config *run = session->run;
    const dpo_data_set *data = &session->set[set];
    int data_size = dpo_grid_size(session->grid, DPO_DATA);
    bool is_train = set == DPO_SET_TRAIN;
    dpo_flop_weights weights = dpo_flop_weights_of(&session->model_config);
    dpo_batch_plan_options options = {
        .n_examples = dpo_token_store_n_examples(data->store),
        .batch_examples = is_train ? run->batch.examples : (int64_t)EVAL_EXAMPLES * data_size,
        .budget_tokens = larger(session->budget_tokens - data->common_tokens, 1),
        .budget_rows = session->budget_rows,
        .seed = (uint64_t)run->seed,
        .shuffle = is_train && run->data.shuffle,
        .data_size = data_size,
        .rank_shards = shards_of_a_rank(session),
        .cost_of_token = weights.of_token,
        .cost_of_row = weights.of_row,
        .cost_of_pair = weights.of_pair};

    return dpo_batch_plan_create(&options, data->costs, plan);
}
