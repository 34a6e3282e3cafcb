// SPDX-License-Identifier: Apache-2.0
#include "audit.h"

#include <stddef.h>

#include "dpo/base/log.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"

/* One row per number: its place and its name in the file. */
static const struct {
    const char *name;
    size_t at;
} fields[] = {
#define FIELD(member)                        \
    {                                        \
#member, offsetof(dpo_audit, member) \
    }
    FIELD(n_records),
    FIELD(n_examples),
    FIELD(n_responses),
    FIELD(n_edges),
    FIELD(prompt_tokens),
    FIELD(response_tokens),
    FIELD(chosen_tokens),
    FIELD(rejected_tokens),
    FIELD(separate_tokens),
    FIELD(n_joined),
    FIELD(n_truncated),
    FIELD(n_dropped_too_long),
    FIELD(n_dropped_no_tokens),
    FIELD(n_dropped_empty),
    FIELD(n_empty),
    FIELD(n_identical),
    FIELD(n_double_bos),
    FIELD(n_boundary_shifts),
    FIELD(prompt.p50),
    FIELD(prompt.p90),
    FIELD(prompt.p99),
    FIELD(prompt.max),
    FIELD(response.p50),
    FIELD(response.p90),
    FIELD(response.p99),
    FIELD(response.max),
    FIELD(sequence.p50),
    FIELD(sequence.p90),
    FIELD(sequence.p99),
    FIELD(sequence.max),
#undef FIELD
};

enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static int64_t *field_of(dpo_audit *audit, int i)
{
    return (int64_t *)(void *)((char *)audit + fields[i].at);
}

dpo_status audit_count_length(dpo_buffer *histogram, int64_t length)
{
    int64_t need_bytes = (length + 1) * (int64_t)sizeof(int64_t);

    if (histogram->size_bytes < need_bytes)
        DPO_TRY(dpo_buffer_append(histogram, NULL, need_bytes - histogram->size_bytes));
    ((int64_t *)histogram->data)[length]++;
    return DPO_OK;
}

void audit_share_destroy(audit_share *share)
{
    dpo_buffer_destroy(&share->prompts);
    dpo_buffer_destroy(&share->responses);
    dpo_buffer_destroy(&share->sequences);
}

/* The smallest length that at least `part` of all have. */
static int64_t percentile(const int64_t *histogram, int64_t n, int64_t total, double part)
{
    int64_t seen = 0;

    for (int64_t length = 0; length < n; length++) {
        seen += histogram[length];
        if (seen > 0 && (double)seen >= part * (double)total) return length;
    }
    return 0;
}

static dpo_status summarise(const dpo_grid *grid, const dpo_buffer *local,
                            dpo_length_summary *summary)
{
    int64_t n_local = local->size_bytes / (int64_t)sizeof(int64_t);
    int64_t n = n_local;
    int64_t total = 0;
    int64_t *histogram;

    dpo_max_i64(grid, DPO_WORLD, 1, &n);
    dpo_status status = dpo_agree(grid, DPO_NEW(histogram, n));

    if (status != DPO_OK) {
        dpo_free(histogram);
        return status;
    }
    for (int64_t i = 0; i < n_local; i++)
        histogram[i] = ((const int64_t *)local->data)[i];
    dpo_sum_i64(grid, DPO_WORLD, n, histogram);
    for (int64_t i = 0; i < n; i++)
        total += histogram[i];
    summary->p50 = percentile(histogram, n, total, 0.5);
    summary->p90 = percentile(histogram, n, total, 0.9);
    summary->p99 = percentile(histogram, n, total, 0.99);
    summary->max = percentile(histogram, n, total, 1.0);
    dpo_free(histogram);
    return DPO_OK;
}

dpo_status audit_sum(const dpo_grid *grid, const audit_share *share, dpo_audit *audit)
{
    int64_t sums[N_FIELDS];

    *audit = share->counts;
    for (int i = 0; i < N_FIELDS; i++)
        sums[i] = *field_of(audit, i);
    dpo_sum_i64(grid, DPO_WORLD, N_FIELDS, sums);
    for (int i = 0; i < N_FIELDS; i++)
        *field_of(audit, i) = sums[i];
    DPO_TRY(summarise(grid, &share->prompts, &audit->prompt));
    DPO_TRY(summarise(grid, &share->responses, &audit->response));
    return summarise(grid, &share->sequences, &audit->sequence);
}

dpo_status audit_to_json(const dpo_audit *audit, dpo_json **object)
{
    dpo_audit copy = *audit;

    DPO_TRY(dpo_json_new_object(object));
    for (int i = 0; i < N_FIELDS; i++) {
        dpo_status status = dpo_json_put_int(*object, fields[i].name, *field_of(&copy, i));

        if (status == DPO_OK) continue;
        dpo_json_destroy(object);
        return status;
    }
    return DPO_OK;
}

dpo_status audit_from_json(const dpo_json *object, const char *where, dpo_audit *audit)
{
    for (int i = 0; i < N_FIELDS; i++)
        DPO_TRY(dpo_json_get_int(object, where, fields[i].name, 0, INT64_C(1) << 53,
                                 field_of(audit, i)));
    return DPO_OK;
}

static void log_count(const char *what, int64_t n, int64_t of)
{
    if (n > 0)
        dpo_log_info("  %-34s %12lld  (%.1f %%)", what, (long long)n,
                     of > 0 ? 100.0 * (double)n / (double)of : 0.0);
}

static void log_lengths(const char *what, const dpo_length_summary *summary)
{
    dpo_log_info("  %-22s %9lld %9lld %9lld %9lld", what, (long long)summary->p50,
                 (long long)summary->p90, (long long)summary->p99, (long long)summary->max);
}

void dpo_audit_log(const dpo_audit *audit)
{
    int64_t n = audit->n_records;
    int64_t shared = audit->prompt_tokens + audit->response_tokens;

    dpo_log_info("data: %lld examples (of %lld records), %lld responses, %lld comparisons",
                 (long long)audit->n_examples, (long long)n, (long long)audit->n_responses,
                 (long long)audit->n_edges);
    dpo_log_info("  tokens: %lld prompt, %lld response (%lld chosen, %lld rejected)",
                 (long long)audit->prompt_tokens, (long long)audit->response_tokens,
                 (long long)audit->chosen_tokens, (long long)audit->rejected_tokens);
    if (audit->separate_tokens > 0)
        dpo_log_info("  computing each prompt once saves %.1f %% of %lld tokens",
                     100.0 * (1.0 - (double)shared / (double)audit->separate_tokens),
                     (long long)audit->separate_tokens);
    dpo_log_info("  %-22s %9s %9s %9s %9s", "tokens, uncut", "50 %", "90 %", "99 %", "longest");
    log_lengths("prompt", &audit->prompt);
    log_lengths("response", &audit->response);
    log_lengths("prompt and response", &audit->sequence);
    log_count("joined with one of the same prompt", audit->n_joined, n);
    log_count("cut to max_length", audit->n_truncated, n);
    log_count("dropped: longer than max_length", audit->n_dropped_too_long, n);
    log_count("dropped: no response tokens left", audit->n_dropped_no_tokens, n);
    log_count("dropped: an empty response", audit->n_dropped_empty, n);
    log_count("with an empty response", audit->n_empty, n);
    log_count("chosen and rejected identical", audit->n_identical, n);
    log_count("prompt begins with two BOS", audit->n_double_bos, n);
    log_count("prompt's end tokenized otherwise", audit->n_boundary_shifts, n);
}
