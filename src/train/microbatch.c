// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/microbatch.h"

#include <string.h>

#include "dpo/base/memory.h"

static double triangle(int64_t n)
{
    return 0.5 * (double)n * (double)(n + 1);
}

dpo_example_cost dpo_microbatch_cost(const dpo_token_store *store, int64_t example,
                                     bool share_prompts)
{
    dpo_example_cost cost = {0};
    dpo_range responses = dpo_token_store_responses(store, example);
    int64_t laid_out = -1;

    for (int64_t r = responses.begin; r < responses.end; r++) {
        int64_t prompt = dpo_token_store_response_prompt(store, r);
        int64_t n_prompt;
        int64_t n_response;

        (void)dpo_token_store_prompt(store, prompt, &n_prompt);
        (void)dpo_token_store_response(store, r, &n_response);
        if (!share_prompts || prompt != laid_out) {
            cost.tokens += n_prompt;
            cost.pairs += triangle(n_prompt);
        }
        cost.tokens += n_response - 1;
        cost.pairs += (double)(n_response - 1) * (double)n_prompt + triangle(n_response - 1);
        cost.rows += n_response;
        laid_out = prompt;
    }
    return cost;
}

dpo_status dpo_microbatch_create(int64_t max_tokens, int64_t max_rows, dpo_microbatch *microbatch)
{
    *microbatch = (dpo_microbatch){.max_tokens = max_tokens, .max_rows = max_rows};
    DPO_TRY(DPO_NEW(microbatch->response, max_rows));
    DPO_TRY(DPO_NEW(microbatch->row_begin, max_rows + 1));
    DPO_TRY(DPO_NEW(microbatch->token, max_tokens));
    DPO_TRY(DPO_NEW(microbatch->segment_begin, 2 * max_rows + 1));
    DPO_TRY(DPO_NEW(microbatch->segment_parent, 2 * max_rows));
    DPO_TRY(DPO_NEW(microbatch->row, max_rows));
    return DPO_NEW(microbatch->target, max_rows);
}

void dpo_microbatch_destroy(dpo_microbatch *microbatch)
{
    dpo_free(microbatch->response);
    dpo_free(microbatch->row_begin);
    dpo_free(microbatch->token);
    dpo_free(microbatch->segment_begin);
    dpo_free(microbatch->segment_parent);
    dpo_free(microbatch->row);
    dpo_free(microbatch->target);
    *microbatch = (dpo_microbatch){0};
}

/* Appends a segment; returns its number. */
static int64_t add_segment(dpo_microbatch *m, int64_t parent, int64_t n_tokens,
                           const int32_t *tokens)
{
    dpo_batch *batch = &m->batch;
    int64_t segment = batch->segments.n_segments++;

    DPO_ASSERT(batch->n_tokens + n_tokens <= m->max_tokens && segment < 2 * m->max_rows);
    memcpy(m->token + batch->n_tokens, tokens, (size_t)n_tokens * sizeof *tokens);
    batch->n_tokens += n_tokens;
    m->segment_begin[segment + 1] = batch->n_tokens;
    m->segment_parent[segment] = parent;
    return segment;
}

/* Appends the response's segment and the rows that predict its tokens. */
static void add_response(dpo_microbatch *m, int64_t response, int64_t prompt_segment,
                         int64_t n_tokens, const int32_t *tokens)
{
    dpo_batch *batch = &m->batch;
    int64_t last_of_prompt = m->segment_begin[prompt_segment + 1] - 1;
    int64_t first_own = batch->n_tokens;

    DPO_ASSERT(batch->n_rows + n_tokens <= m->max_rows);
    (void)add_segment(m, prompt_segment, n_tokens - 1, tokens);
    for (int64_t t = 0; t < n_tokens; t++) {
        m->row[batch->n_rows + t] = t == 0 ? last_of_prompt : first_own + t - 1;
        m->target[batch->n_rows + t] = tokens[t];
    }
    batch->n_rows += n_tokens;
    m->response[m->n_responses++] = response;
    m->row_begin[m->n_responses] = batch->n_rows;
}

static void add_example(dpo_microbatch *m, const dpo_token_store *store, int64_t example,
                        bool share_prompts)
{
    dpo_range responses = dpo_token_store_responses(store, example);
    int64_t laid_out = -1;
    int64_t prompt_segment = -1;

    for (int64_t r = responses.begin; r < responses.end; r++) {
        int64_t prompt = dpo_token_store_response_prompt(store, r);
        int64_t n_tokens;

        if (!share_prompts || prompt != laid_out) {
            const int32_t *prompt_tokens = dpo_token_store_prompt(store, prompt, &n_tokens);

            prompt_segment = add_segment(m, -1, n_tokens, prompt_tokens);
            laid_out = prompt;
        }
        const int32_t *tokens = dpo_token_store_response(store, r, &n_tokens);

        add_response(m, r, prompt_segment, n_tokens, tokens);
    }
}

void dpo_microbatch_build(dpo_microbatch *microbatch, const dpo_token_store *store,
                          int64_t n_examples, const int64_t *examples, bool share_prompts)
{
    microbatch->batch = (dpo_batch){
        .token = microbatch->token,
        .segments = {.begin = microbatch->segment_begin, .parent = microbatch->segment_parent},
        .row = microbatch->row,
        .target = microbatch->target};
    microbatch->n_responses = 0;
    for (int64_t i = 0; i < n_examples; i++)
        add_example(microbatch, store, examples[i], share_prompts);
}
