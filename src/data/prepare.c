// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/prepare.h"

#include <stdio.h>

#include "dpo/base/log.h"
#include "dpo/comm/collective.h"
#include "group.h"
#include "prepare_record.h"
#include "source_set.h"
#include "token_share.h"

static dpo_status check_source(const dpo_data_source *source)
{
    if (source->weight != 1.0)
        return DPO_FAIL(DPO_EUSAGE,
                        "data.train: %s has weight %g, expected 1: weighted mixtures are not "
                        "supported; limit the number of examples of a file with \"limit\"",
                        source->path, source->weight);
    if (source->limit < 0)
        return DPO_FAIL(DPO_EUSAGE, "data.train: %s has limit %lld, expected 0 (all) or more",
                        source->path, (long long)source->limit);
    return DPO_OK;
}

static dpo_status check_options(const dpo_prepare_options *options)
{
    if (options->n_sources <= 0)
        return DPO_FAIL(DPO_EUSAGE, "data.train: no file, expected a path or a list of them");
    if (options->max_length != 0 && options->max_length < 2)
        return DPO_FAIL(DPO_EUSAGE,
                        "data.max_length: %lld, expected 2 tokens or more, or 0 (no limit)",
                        (long long)options->max_length);
    for (int64_t s = 0; s < options->n_sources; s++)
        DPO_TRY(check_source(&options->sources[s]));
    return DPO_OK;
}

/* What one rank makes. */
typedef struct {
    const dpo_prepare_options *options;
    token_share share;
    audit_share audit;
    token_example example; /* scratch */
} maker;

static dpo_status add_record(maker *m, const source_record *item)
{
    dpo_preference preference;
    token_origin origin = {item->source, item->line};
    char where[256];

    (void)snprintf(where, sizeof where, "%.200s, line %lld", m->options->sources[item->source].path,
                   (long long)item->line);
    DPO_TRY(dpo_preference_read(where, item->text, item->n_bytes, &preference));
    dpo_status status = token_example_fill(&m->example, where, &preference);

    if (status == DPO_OK)
        status = token_share_add(&m->share, &m->audit, where, m->options, &preference, &m->example,
                                 origin);
    dpo_preference_destroy(&preference);
    return status;
}

static dpo_status add_records(maker *m, const dpo_buffer *records)
{
    int64_t n = records->size_bytes / (int64_t)sizeof(source_record);
    const source_record *items = records->data;

    for (int64_t i = 0; i < n; i++) {
        DPO_TRY(add_record(m, &items[i]));
        if (i % 256 == 0) dpo_log_live("tokenizing: %.0f %%", 100.0 * (double)i / (double)n);
    }
    return DPO_OK;
}

/* The first rank that fails holds the first bad line: shares follow one another in file order. */
static dpo_status tokenize(const dpo_grid *grid, maker *m)
{
    dpo_buffer records = {0};
    source_set set;

    DPO_TRY(source_set_open(grid, m->options->n_sources, m->options->sources, &set));
    dpo_status status = source_set_share(grid, &set, &records);

    if (status == DPO_OK) status = dpo_agree(grid, add_records(m, &records));
    dpo_buffer_destroy(&records);
    source_set_close(&set);
    return status;
}

static dpo_status check_some_left(const dpo_audit *audit)
{
    if (audit->n_examples > 0) return DPO_OK;
    if (audit->n_records == 0)
        return DPO_FAIL(DPO_EDATA, "data.train: no example in the file(s), expected at least one");
    return DPO_FAIL(DPO_EDATA,
                    "data.train: none of %lld examples is left: %lld too long, %lld whose prompt "
                    "fills data.max_length, %lld with an empty response; raise data.max_length",
                    (long long)audit->n_records, (long long)audit->n_dropped_too_long,
                    (long long)audit->n_dropped_no_tokens, (long long)audit->n_dropped_empty);
}

static dpo_status write_store(const dpo_grid *grid, const maker *m, prepare_record *made_of,
                              const char *path, dpo_audit *audit)
{
    dpo_buffer text = {0};

    DPO_TRY(audit_sum(grid, &m->audit, audit));
    DPO_TRY(dpo_agree(grid, check_some_left(audit)));
    dpo_status status = dpo_agree(grid, prepare_record_print(made_of, m->options, audit, &text));

    if (status == DPO_OK) status = token_share_write(grid, &m->share, path, dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
    return status;
}

static dpo_status make_store(const dpo_grid *grid, const dpo_prepare_options *options,
                             prepare_record *made_of, const char *path, dpo_audit *audit)
{
    maker m = {.options = options};

    m.example.tokenizer = options->tokenizer;
    m.example.chat_template = options->chat_template;
    dpo_status status = dpo_agree(grid, dpo_encoder_create(options->tokenizer, &m.example.encoder));

    if (status == DPO_OK) status = tokenize(grid, &m);

    if (status == DPO_OK && options->group == DPO_GROUP_PROMPT)
        status = token_share_group(grid, &m.share, &m.audit.counts);
    if (status == DPO_OK) status = write_store(grid, &m, made_of, path, audit);
    dpo_encoder_destroy(&m.example.encoder);
    token_example_destroy(&m.example);
    audit_share_destroy(&m.audit);
    token_share_destroy(&m.share);
    return status;
}

static void warn_of_findings(const dpo_audit *audit)
{
    if (audit->n_boundary_shifts > 0)
        dpo_log_warning(
            "%lld of %lld examples: the end of the prompt is tokenized otherwise when a "
            "response follows; the response begins where they differ, as in TRL. End "
            "prompts where a token ends, or use a chat template that does",
            (long long)audit->n_boundary_shifts, (long long)audit->n_records);
    if (audit->n_double_bos > 0)
        dpo_log_warning(
            "%lld of %lld prompts begin with two beginning-of-sequence tokens: the text "
            "has one and the tokenizer adds another",
            (long long)audit->n_double_bos, (long long)audit->n_records);
    if (audit->n_identical > 0)
        dpo_log_warning("%lld of %lld examples compare a response with itself: they teach nothing",
                        (long long)audit->n_identical, (long long)audit->n_records);
}

dpo_status dpo_prepare(const dpo_grid *grid, const dpo_prepare_options *options, const char *path,
                       dpo_audit *audit)
{
    prepare_record made_of = {0};
    bool is_current = false;

    *audit = (dpo_audit){0};
    DPO_TRY(dpo_agree(grid, check_options(options)));
    dpo_status status = prepare_record_make(grid, options, &made_of);

    if (status == DPO_OK) status = prepare_record_find(grid, &made_of, path, audit, &is_current);
    if (status == DPO_OK && is_current)
        dpo_log_info("token store: %s is up to date", path);
    else if (status == DPO_OK)
        status = make_store(grid, options, &made_of, path, audit);
    if (status == DPO_OK) {
        if (!is_current) dpo_log_info("token store: wrote %s", path);
        dpo_audit_log(audit);
        warn_of_findings(audit);
    }
    prepare_record_destroy(&made_of);
    return status;
}
