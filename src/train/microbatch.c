// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/microbatch.h"

#include <stdlib.h>

#include "dpo/base/memory.h"
#include "text_order.h"

/*
 * While texts are laid out in their order, `path` describes the last one: for each of its tokens where it lies and in
 * which segment. Text i shares its first shared[i] tokens with text i - 1, so with the path; a segment ends
 * wherever a later text will leave the path.
 */
struct dpo_microbatch_texts {
    int64_t n_texts;
    token_text *text;      /* owned, [max_rows] */
    int64_t *shared;       /* owned, [max_rows] tokens shared with the text before */
    int64_t *path_token;   /* owned, [max_tokens] */
    int64_t *path_segment; /* owned, [max_tokens] */
};

static double triangle(int64_t n)
{
    return 0.5 * (double)n * (double)(n + 1);
}

int64_t dpo_microbatch_common_tokens(const dpo_token_store *store)
{
    int64_t n_prompts = dpo_token_store_n_prompts(store), common = 0, n;
    const int32_t *first = n_prompts > 0 ? dpo_token_store_prompt(store, 0, &common) : NULL;

    for (int64_t p = 0; p < n_prompts; p++) {
        const int32_t *prompt = dpo_token_store_prompt(store, p, &n);

        /* No more than leaves each text a token of its own. */
        common = text_common(first, common, prompt, n - 1);
    }
    return common >= MIN_SHARED_TOKENS ? common : 0;
}

/* What the example shares with others of the same prompt. */
static void name_prompt(const dpo_token_store *store, int64_t prompt, int64_t common_tokens,
                        dpo_example_cost *cost)
{
    int64_t n;
    const int32_t *tokens = dpo_token_store_prompt(store, prompt, &n);

    cost->prompt = dpo_digest_of(tokens, n * (int64_t)sizeof *tokens);
    cost->prompt_tokens = n - common_tokens;
    cost->prompt_pairs = triangle(n) - triangle(common_tokens);
}

dpo_example_cost dpo_microbatch_cost(const dpo_token_store *store, int64_t example, bool shares,
                                     int64_t common_tokens)
{
    dpo_example_cost cost = {.tokens = -common_tokens, .pairs = -triangle(common_tokens)};
    dpo_range responses = dpo_token_store_responses(store, example);
    int64_t laid_out = -1, n_laid_out = 0;

    for (int64_t r = responses.begin; r < responses.end; r++) {
        int64_t prompt = dpo_token_store_response_prompt(store, r);
        int64_t n_prompt;
        int64_t n_response;

        (void)dpo_token_store_prompt(store, prompt, &n_prompt);
        (void)dpo_token_store_response(store, r, &n_response);
        if (!shares || prompt != laid_out) {
            cost.tokens += n_prompt;
            cost.pairs += triangle(n_prompt);
            n_laid_out++;
        }
        cost.tokens += n_response - 1;
        cost.pairs += (double)(n_response - 1) * (double)n_prompt + triangle(n_response - 1);
        cost.rows += n_response;
        laid_out = prompt;
    }
    if (shares && n_laid_out == 1) name_prompt(store, laid_out, common_tokens, &cost);
    return cost;
}

static dpo_status create_texts(int64_t max_tokens, int64_t max_rows, dpo_microbatch_texts **texts)
{
    DPO_TRY(DPO_NEW(*texts, 1));
    DPO_TRY(DPO_NEW((*texts)->text, max_rows));
    DPO_TRY(DPO_NEW((*texts)->shared, max_rows));
    DPO_TRY(DPO_NEW((*texts)->path_token, max_tokens));
    return DPO_NEW((*texts)->path_segment, max_tokens);
}

dpo_status dpo_microbatch_create(int64_t max_tokens, int64_t max_rows, dpo_microbatch *microbatch)
{
    *microbatch = (dpo_microbatch){.max_tokens = max_tokens, .max_rows = max_rows};
    DPO_TRY(DPO_NEW(microbatch->response, max_rows));
    DPO_TRY(DPO_NEW(microbatch->rows, max_rows));
    DPO_TRY(DPO_NEW(microbatch->token, max_tokens));
    DPO_TRY(DPO_NEW(microbatch->segment_begin, 2 * max_rows + 1));
    DPO_TRY(DPO_NEW(microbatch->segment_parent, 2 * max_rows));
    DPO_TRY(DPO_NEW(microbatch->row, max_rows));
    DPO_TRY(DPO_NEW(microbatch->target, max_rows));
    return create_texts(max_tokens, max_rows, &microbatch->texts);
}

static void destroy_texts(dpo_microbatch_texts *texts)
{
    if (texts == NULL) return;
    dpo_free(texts->text);
    dpo_free(texts->shared);
    dpo_free(texts->path_token);
    dpo_free(texts->path_segment);
    dpo_free(texts);
}

void dpo_microbatch_destroy(dpo_microbatch *microbatch)
{
    dpo_free(microbatch->response);
    dpo_free(microbatch->rows);
    dpo_free(microbatch->token);
    dpo_free(microbatch->segment_begin);
    dpo_free(microbatch->segment_parent);
    dpo_free(microbatch->row);
    dpo_free(microbatch->target);
    destroy_texts(microbatch->texts);
    *microbatch = (dpo_microbatch){0};
}

/* The texts of an example, behind those that are there. */
static void list_texts(dpo_microbatch *m, const dpo_token_store *store, int64_t example)
{
    dpo_range responses = dpo_token_store_responses(store, example);

    for (int64_t r = responses.begin; r < responses.end; r++) {
        int64_t index = m->n_responses++;
        token_text *text = &m->texts->text[index];

        DPO_ASSERT(index < m->max_rows);
        m->response[index] = r;
        text->index = index;
        text->prompt = dpo_token_store_prompt(store, dpo_token_store_response_prompt(store, r),
                                              &text->n_prompt);
        text->response = dpo_token_store_response(store, r, &text->n_response);
        DPO_ASSERT(text->n_prompt > 0 && text->n_response > 0);
    }
}

static void order_texts(dpo_microbatch_texts *texts)
{
    qsort(texts->text, (size_t)texts->n_texts, sizeof *texts->text, text_compare);
    for (int64_t i = 1; i < texts->n_texts; i++)
        texts->shared[i] = text_shared(&texts->text[i - 1], &texts->text[i]);
}

/* Where the segment ends that begins at `depth` of text i: where the next text leaves it. */
static int64_t find_end(const dpo_microbatch_texts *texts, int64_t i, int64_t depth)
{
    int64_t end = text_length(&texts->text[i]);

    for (int64_t j = i + 1; j < texts->n_texts && texts->shared[j] > depth; j++)
        if (texts->shared[j] < end) end = texts->shared[j];
    return end;
}

/* Tokens [depth, end) of a text, which continue the path. */
static void add_segment(dpo_microbatch *m, const token_text *text, int64_t depth, int64_t end)
{
    dpo_microbatch_texts *texts = m->texts;
    dpo_batch *batch = &m->batch;
    int64_t segment = batch->segments.n_segments++;
    int64_t parent = depth > 0 ? texts->path_segment[depth - 1] : -1;

    DPO_ASSERT(batch->n_tokens + end - depth <= m->max_tokens && segment < 2 * m->max_rows);
    DPO_ASSERT(parent < 0 || m->segment_begin[parent + 1] == texts->path_token[depth - 1] + 1);
    for (int64_t d = depth; d < end; d++) {
        texts->path_token[d] = batch->n_tokens;
        texts->path_segment[d] = segment;
        m->token[batch->n_tokens++] = text_token(text, d);
    }
    m->segment_begin[segment + 1] = batch->n_tokens;
    m->segment_parent[segment] = parent;
}

/* Rows that predict the response of the text on the path. */
static void add_rows(dpo_microbatch *m, const token_text *text)
{
    dpo_batch *batch = &m->batch;
    int64_t begin = batch->n_rows;

    DPO_ASSERT(begin + text->n_response <= m->max_rows);
    for (int64_t t = 0; t < text->n_response; t++) {
        m->row[begin + t] = m->texts->path_token[text->n_prompt - 1 + t];
        m->target[begin + t] = text->response[t];
    }
    batch->n_rows += text->n_response;
    m->rows[text->index] = (dpo_range){begin, batch->n_rows};
}

/* A text again needs nothing: it lies on the path with all its rows. */
static void add_text(dpo_microbatch *m, int64_t i, bool shares)
{
    const dpo_microbatch_texts *texts = m->texts;
    const token_text *text = &texts->text[i];

    if (shares && i > 0 && text_is_same(&text[-1], text)) {
        m->rows[text->index] = m->rows[text[-1].index];
        return;
    }
    for (int64_t depth = texts->shared[i], end; depth < text_length(text); depth = end) {
        end = find_end(texts, i, depth);
        add_segment(m, text, depth, end);
    }
    add_rows(m, text);
}

void dpo_microbatch_build(dpo_microbatch *microbatch, const dpo_token_store *store,
                          int64_t n_examples, const int64_t *examples, bool shares)
{
    dpo_microbatch_texts *texts = microbatch->texts;

    microbatch->batch = (dpo_batch){
        .token = microbatch->token,
        .segments = {.begin = microbatch->segment_begin, .parent = microbatch->segment_parent},
        .row = microbatch->row,
        .target = microbatch->target};
    microbatch->n_responses = 0;
    for (int64_t i = 0; i < n_examples; i++)
        list_texts(microbatch, store, examples[i]);
    texts->n_texts = microbatch->n_responses;
    for (int64_t i = 0; i < texts->n_texts; i++)
        texts->shared[i] = 0;
    if (shares) order_texts(texts);
    for (int64_t i = 0; i < texts->n_texts; i++)
        add_text(microbatch, i, shares);
}
