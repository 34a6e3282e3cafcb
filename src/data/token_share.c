// SPDX-License-Identifier: Apache-2.0
#include "token_share.h"

#include "truncate.h"

static dpo_status append(token_share *share, token_array array, const void *items, int64_t n)
{
    return dpo_buffer_append(&share->arrays[array], items,
                             n * (int64_t)token_arrays[array].item_bytes);
}

static dpo_status append_i64(token_share *share, token_array array, int64_t value)
{
    return append(share, array, &value, 1);
}

static int64_t offset_at(const token_share *share, token_array array, int64_t i)
{
    const token_array_row *row = &token_arrays[array];

    if (i == share->n[row->count]) return share->n[row->points_at];
    return ((const int64_t *)share->arrays[array].data)[i];
}

static token_run run_at(const token_share *share, token_array begins, token_array tokens, int64_t i)
{
    int64_t begin = offset_at(share, begins, i);
    const int32_t *ids = share->arrays[tokens].data;

    return (token_run){ids + begin, offset_at(share, begins, i + 1) - begin};
}

token_run token_share_prompt(const token_share *share, int64_t prompt)
{
    return run_at(share, TOKEN_ARRAY_prompt_begin, TOKEN_ARRAY_prompt_token, prompt);
}

token_run token_share_response(const token_share *share, int64_t response)
{
    return run_at(share, TOKEN_ARRAY_response_begin, TOKEN_ARRAY_response_token, response);
}

dpo_range token_share_responses(const token_share *share, int64_t example)
{
    return (dpo_range){offset_at(share, TOKEN_ARRAY_example_begin, example),
                       offset_at(share, TOKEN_ARRAY_example_begin, example + 1)};
}

dpo_range token_share_edges(const token_share *share, int64_t example)
{
    return (dpo_range){offset_at(share, TOKEN_ARRAY_edge_begin, example),
                       offset_at(share, TOKEN_ARRAY_edge_begin, example + 1)};
}

dpo_status token_share_begin_example(token_share *share, token_origin origin)
{
    DPO_TRY(append_i64(share, TOKEN_ARRAY_example_begin, share->n[N_RESPONSES]));
    DPO_TRY(append_i64(share, TOKEN_ARRAY_edge_begin, share->n[N_EDGES]));
    DPO_TRY(append(share, TOKEN_ARRAY_example_source, &origin.source, 1));
    DPO_TRY(append_i64(share, TOKEN_ARRAY_example_line, origin.line));
    share->n[N_EXAMPLES]++;
    return DPO_OK;
}

dpo_status token_share_add_prompt(token_share *share, token_run prompt)
{
    DPO_TRY(append_i64(share, TOKEN_ARRAY_prompt_begin, share->n[N_PROMPT_TOKENS]));
    DPO_TRY(append(share, TOKEN_ARRAY_prompt_token, prompt.ids, prompt.n));
    share->n[N_PROMPT_TOKENS] += prompt.n;
    share->n[N_PROMPTS]++;
    return DPO_OK;
}

dpo_status token_share_add_response(token_share *share, token_run response, double score)
{
    DPO_TRY(append_i64(share, TOKEN_ARRAY_response_begin, share->n[N_RESPONSE_TOKENS]));
    DPO_TRY(append(share, TOKEN_ARRAY_response_token, response.ids, response.n));
    DPO_TRY(append_i64(share, TOKEN_ARRAY_response_prompt, share->n[N_PROMPTS] - 1));
    DPO_TRY(append(share, TOKEN_ARRAY_response_score, &score, 1));
    share->n[N_RESPONSE_TOKENS] += response.n;
    share->n[N_RESPONSES]++;
    return DPO_OK;
}

dpo_status token_share_add_edge(token_share *share, int64_t chosen, int64_t rejected, float weight)
{
    DPO_TRY(append_i64(share, TOKEN_ARRAY_edge_chosen, chosen));
    DPO_TRY(append_i64(share, TOKEN_ARRAY_edge_rejected, rejected));
    DPO_TRY(append(share, TOKEN_ARRAY_edge_weight, &weight, 1));
    share->n[N_EDGES]++;
    return DPO_OK;
}

static sequence_cut cut_of(const dpo_prepare_options *options, const token_example *example,
                           int64_t r)
{
    int64_t n;

    (void)token_example_ids(example, r, &n);
    return sequence_cut_of(example->prompt_tokens, n - example->prompt_tokens, options->max_length,
                           options->truncation);
}

/* The responses, and each prompt before the first response that needs it. */
static dpo_status add_sequences(token_share *share, audit_share *audit,
                                const dpo_prepare_options *options,
                                const dpo_preference *preference, const token_example *example)
{
    int64_t shared_begin = -1;

    for (int64_t r = 0; r < example->n_responses; r++) {
        sequence_cut cut = cut_of(options, example, r);
        int64_t n_ids;
        const int32_t *ids = token_example_ids(example, r, &n_ids);
        int64_t n_prompt = cut.response - cut.begin;

        if (cut.owns_prompt || cut.begin != shared_begin) {
            DPO_TRY(token_share_add_prompt(share, (token_run){ids + cut.begin, n_prompt}));
            audit->counts.prompt_tokens += n_prompt;
        }
        shared_begin = cut.owns_prompt ? -1 : cut.begin;
        DPO_TRY(token_share_add_response(share,
                                         (token_run){ids + cut.response, cut.end - cut.response},
                                         preference->responses[r].score));
        audit->counts.response_tokens += cut.end - cut.response;
        audit->counts.separate_tokens += cut.end - cut.begin;
    }
    return DPO_OK;
}

static dpo_status add_edges(token_share *share, audit_share *audit,
                            const dpo_preference *preference, int64_t first)
{
    for (int64_t e = 0; e < preference->n_edges; e++) {
        const dpo_preference_edge *edge = &preference->edges[e];
        int64_t chosen = first + edge->chosen;
        int64_t rejected = first + edge->rejected;

        DPO_TRY(token_share_add_edge(share, chosen, rejected, edge->weight));
        audit->counts.chosen_tokens += token_share_response(share, chosen).n;
        audit->counts.rejected_tokens += token_share_response(share, rejected).n;
    }
    return DPO_OK;
}

static dpo_status add_example(token_share *share, audit_share *audit,
                              const dpo_prepare_options *options, const dpo_preference *preference,
                              const token_example *example, token_origin origin)
{
    int64_t first = share->n[N_RESPONSES];

    DPO_TRY(token_share_begin_example(share, origin));
    DPO_TRY(add_sequences(share, audit, options, preference, example));
    DPO_TRY(add_edges(share, audit, preference, first));
    audit->counts.n_examples++;
    audit->counts.n_responses += example->n_responses;
    audit->counts.n_edges += preference->n_edges;
    return DPO_OK;
}

static dpo_status count_lengths(audit_share *audit, const token_example *example)
{
    DPO_TRY(audit_count_length(&audit->prompts, example->prompt_tokens));
    for (int64_t r = 0; r < example->n_responses; r++) {
        int64_t n;

        (void)token_example_ids(example, r, &n);
        DPO_TRY(audit_count_length(&audit->responses, n - example->prompt_tokens));
        DPO_TRY(audit_count_length(&audit->sequences, n));
    }
    return DPO_OK;
}

static void count_findings(dpo_audit *counts, const token_example *example)
{
    counts->n_records++;
    counts->n_empty += example->empty >= 0;
    counts->n_identical += example->has_identical;
    counts->n_double_bos += example->has_double_bos;
    counts->n_boundary_shifts += example->has_shift;
}

static int64_t longest_sequence(const token_example *example)
{
    int64_t longest = 0;

    for (int64_t r = 0; r < example->n_responses; r++) {
        int64_t n;

        (void)token_example_ids(example, r, &n);
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Whether max_length drops the example; counts it then. */
static dpo_status check_length(const char *where, const dpo_prepare_options *options,
                               const token_example *example, dpo_audit *counts, bool *drops)
{
    int64_t longest = longest_sequence(example);
    bool is_long = options->max_length > 0 && longest > options->max_length;

    if (is_long && options->truncation == DPO_TRUNCATE_ERROR)
        return DPO_FAIL(
            DPO_EDATA,
            "%s: prompt and response have %lld tokens, expected at most %lld "
            "(data.max_length); raise it, or set data.truncation to keep_start, keep_end "
            "or drop",
            where, (long long)longest, (long long)options->max_length);
    *drops = is_long && options->truncation == DPO_TRUNCATE_DROP;
    counts->n_dropped_too_long += *drops;
    counts->n_truncated += is_long && !*drops;
    return DPO_OK;
}

static dpo_status check_empty(const char *where, const dpo_prepare_options *options,
                              const token_example *example, dpo_audit *counts, bool *drops)
{
    if (example->empty >= 0 && options->empty == DPO_EMPTY_ERROR)
        return DPO_FAIL(
            DPO_EDATA,
            "%s: response %lld is empty, expected a text; set data.empty to drop (leave "
            "such examples out) or keep",
            where, (long long)example->empty + 1);
    *drops = example->empty >= 0 && options->empty == DPO_EMPTY_DROP;
    counts->n_dropped_empty += *drops;
    return DPO_OK;
}

/* Whether some response has no token left to train on; counts the example then. */
static bool drops_without_tokens(const dpo_prepare_options *options, const token_example *example,
                                 dpo_audit *counts)
{
    for (int64_t r = 0; r < example->n_responses; r++) {
        sequence_cut cut = cut_of(options, example, r);

        if (cut.response < cut.end) continue;
        counts->n_dropped_no_tokens++;
        return true;
    }
    return false;
}

dpo_status token_share_add(token_share *share, audit_share *audit, const char *where,
                           const dpo_prepare_options *options, const dpo_preference *preference,
                           const token_example *example, token_origin origin)
{
    bool drops = false;

    count_findings(&audit->counts, example);
    DPO_TRY(count_lengths(audit, example));
    DPO_TRY(check_empty(where, options, example, &audit->counts, &drops));
    if (drops) return DPO_OK;
    DPO_TRY(check_length(where, options, example, &audit->counts, &drops));
    if (drops || drops_without_tokens(options, example, &audit->counts)) return DPO_OK;
    return add_example(share, audit, options, preference, example, origin);
}

void token_share_destroy(token_share *share)
{
    for (int a = 0; a < N_TOKEN_ARRAYS; a++)
        dpo_buffer_destroy(&share->arrays[a]);
    *share = (token_share){0};
}
