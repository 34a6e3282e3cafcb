// SPDX-License-Identifier: Apache-2.0
#include "dpo/data/token_store.h"

#include <string.h>

#include "dpo/base/json.h"
#include "dpo/base/memory.h"
#include "dpo/comm/collective.h"
#include "token_share.h"

/* Invariant: that of token_store.h; array a has n_items[a] items. */
struct dpo_token_store {
    dpo_h5_file *file;
    dpo_json *prepare; /* how it was made */
    dpo_digest digest;
    int64_t n_items[N_TOKEN_ARRAYS];
    const void *arrays[N_TOKEN_ARRAYS]; /* mapped */
    int64_t n[N_TOKEN_COUNTS];
    int64_t max_sequence_tokens;
    int64_t max_example_tokens;
};

#define ARRAY_OF(name, type, item, count, points_at, is_offset) \
    static const item *name(const dpo_token_store *store)       \
    {                                                           \
        return (const item *)store->arrays[TOKEN_ARRAY_##name]; \
    }
TOKEN_ARRAY_LIST(ARRAY_OF)
#undef ARRAY_OF

/* Finds all arrays and the counts that they have in common. */
static dpo_status map_arrays(dpo_token_store *store)
{
    bool is_known[N_TOKEN_COUNTS] = {false};

    for (int a = 0; a < N_TOKEN_ARRAYS; a++) {
        const token_array_row *row = &token_arrays[a];
        int64_t want = is_known[row->count] ? store->n[row->count] + row->is_offset : -1;
        int64_t dataset;

        DPO_TRY(dpo_h5_get(store->file, row->name, row->type, want, &dataset));
        store->n_items[a] = dpo_h5_elements(store->file, dataset);
        if (store->n_items[a] < row->is_offset)
            return DPO_FAIL(DPO_EDATA, "%s: \"%s\" is empty, expected at least one offset",
                            dpo_h5_path(store->file), row->name);
        store->n[row->count] = store->n_items[a] - row->is_offset;
        is_known[row->count] = true;
        DPO_TRY(dpo_h5_map(store->file, dataset, &store->arrays[a]));
    }
    return DPO_OK;
}

static dpo_status refuse(const dpo_token_store *store, token_array array, int64_t at,
                         const char *expected)
{
    return DPO_FAIL(DPO_EDATA,
                    "%s: \"%s\" is damaged at %lld, expected %s; remove the file and prepare again",
                    dpo_h5_path(store->file), token_arrays[array].name, (long long)at, expected);
}

/* This rank's part of n things; the ranks share the checking. */
static dpo_range part_of(const dpo_grid *grid, int64_t n)
{
    return dpo_range_of_part(n, dpo_grid_size(grid, DPO_WORLD), dpo_grid_rank(grid, DPO_WORLD));
}

/* Offsets from 0 to the number of what they count; least is how much each has to have. */
static dpo_status check_offsets(const dpo_grid *grid, const dpo_token_store *store,
                                token_array array, int64_t least)
{
    const int64_t *begin = store->arrays[array];
    int64_t n = store->n_items[array] - 1;
    dpo_range part = part_of(grid, n);

    if (begin[0] != 0) return refuse(store, array, 0, "0");
    if (begin[n] != store->n[token_arrays[array].points_at])
        return refuse(store, array, n, "the length of what it points into");
    for (int64_t i = part.begin; i < part.end; i++)
        if (begin[i + 1] < begin[i] + least) return refuse(store, array, i, "rising offsets");
    return DPO_OK;
}

static dpo_status check_tokens(const dpo_grid *grid, const dpo_token_store *store,
                               token_array array, int64_t vocabulary)
{
    const int32_t *token = store->arrays[array];
    dpo_range part = part_of(grid, store->n_items[array]);

    for (int64_t i = part.begin; i < part.end; i++)
        if (token[i] < 0 || token[i] >= vocabulary)
            return DPO_FAIL(
                DPO_EDATA,
                "%s: token id %d, expected less than %lld (the model's vocabulary); was "
                "it prepared with another tokenizer?",
                dpo_h5_path(store->file), (int)token[i], (long long)vocabulary);
    return DPO_OK;
}

static dpo_status check_prompts(const dpo_grid *grid, const dpo_token_store *store)
{
    const int64_t *prompt = response_prompt(store);
    dpo_range part = part_of(grid, store->n[N_RESPONSES]);

    for (int64_t r = part.begin; r < part.end; r++) {
        int64_t least = r > 0 ? prompt[r - 1] : 0;

        if (prompt[r] < least || prompt[r] < 0 || prompt[r] >= store->n[N_PROMPTS])
            return refuse(store, TOKEN_ARRAY_response_prompt, r, "numbers of prompts in order");
    }
    return DPO_OK;
}

static bool is_within(int64_t i, dpo_range range)
{
    return i >= range.begin && i < range.end;
}

static dpo_status check_examples(const dpo_grid *grid, const dpo_token_store *store)
{
    dpo_range part = part_of(grid, store->n[N_EXAMPLES]);

    for (int64_t x = part.begin; x < part.end; x++) {
        dpo_range responses = dpo_token_store_responses(store, x);
        dpo_range edges = dpo_token_store_edges(store, x);

        for (int64_t e = edges.begin; e < edges.end; e++) {
            int64_t chosen = edge_chosen(store)[e];
            int64_t rejected = edge_rejected(store)[e];

            if (!is_within(chosen, responses) || !is_within(rejected, responses) ||
                chosen == rejected)
                return refuse(store, TOKEN_ARRAY_edge_chosen, e, "two responses of its example");
            if (!(edge_weight(store)[e] > 0.0f))
                return refuse(store, TOKEN_ARRAY_edge_weight, e, "a weight above 0");
        }
        if (example_source(store)[x] < 0 ||
            example_source(store)[x] >= dpo_token_store_n_sources(store))
            return refuse(store, TOKEN_ARRAY_example_source, x, "the number of a source");
    }
    return DPO_OK;
}

/* Later checks rely on earlier ones: offsets must be agreed to be sound before anyone follows them. */
static dpo_status check_arrays(const dpo_grid *grid, const dpo_token_store *store,
                               int64_t vocabulary)
{
    dpo_status status = DPO_OK;

    for (int a = 0; a < N_TOKEN_ARRAYS && status == DPO_OK; a++)
        if (token_arrays[a].is_offset)
            status =
                check_offsets(grid, store, (token_array)a, a == TOKEN_ARRAY_edge_begin ? 0 : 1);
    DPO_TRY(dpo_agree(grid, status));
    status = check_tokens(grid, store, TOKEN_ARRAY_prompt_token, vocabulary);
    if (status == DPO_OK)
        status = check_tokens(grid, store, TOKEN_ARRAY_response_token, vocabulary);
    if (status == DPO_OK) status = check_prompts(grid, store);
    if (status == DPO_OK) status = check_examples(grid, store);
    return dpo_agree(grid, status);
}

static void find_longest(const dpo_grid *grid, dpo_token_store *store)
{
    dpo_range part = part_of(grid, store->n[N_EXAMPLES]);
    int64_t longest[2] = {0, 0};

    for (int64_t x = part.begin; x < part.end; x++) {
        dpo_range responses = dpo_token_store_responses(store, x);
        int64_t example = 0;
        int64_t last_prompt = -1;

        for (int64_t r = responses.begin; r < responses.end; r++) {
            int64_t p = response_prompt(store)[r];
            int64_t n_prompt = prompt_begin(store)[p + 1] - prompt_begin(store)[p];
            int64_t n_response = response_begin(store)[r + 1] - response_begin(store)[r];

            example += n_response + (p != last_prompt ? n_prompt : 0);
            last_prompt = p;
            if (n_prompt + n_response > longest[0]) longest[0] = n_prompt + n_response;
        }
        if (example > longest[1]) longest[1] = example;
    }
    dpo_max_i64(grid, DPO_WORLD, 2, longest);
    store->max_sequence_tokens = longest[0];
    store->max_example_tokens = longest[1];
}

static dpo_status read_prepare(dpo_token_store *store)
{
    const char *path = dpo_h5_path(store->file);
    const dpo_json *sources;
    const char *text;
    const char *hex;

    DPO_TRY(dpo_h5_get_text(store->file, "prepare", &text));
    DPO_TRY(dpo_json_parse(path, text, (int64_t)strlen(text), DPO_JSON_STRICT, &store->prepare));
    DPO_TRY(dpo_json_get_text(store->prepare, path, "digest", &hex));
    DPO_TRY(dpo_digest_from_hex(hex, &store->digest));
    DPO_TRY(dpo_json_get(store->prepare, path, "sources", DPO_JSON_ARRAY, &sources));
    for (const dpo_json *s = dpo_json_first(sources); s != NULL; s = dpo_json_next(s))
        DPO_TRY(dpo_json_get_text(s, path, "name", &text));
    return DPO_OK;
}

static dpo_status open_file(const dpo_grid *grid, const char *path, int64_t vocabulary,
                            dpo_token_store *store)
{
    DPO_TRY(dpo_h5_open(grid, path, DPO_H5_READ, &store->file));
    dpo_status status = read_prepare(store);

    if (status == DPO_OK) status = map_arrays(store);
    DPO_TRY(dpo_agree(grid, status));
    DPO_TRY(check_arrays(grid, store, vocabulary));
    find_longest(grid, store);
    return DPO_OK;
}

dpo_status dpo_token_store_open(const dpo_grid *grid, const char *path, int64_t vocabulary,
                                dpo_token_store **store)
{
    dpo_status status = dpo_agree(grid, DPO_NEW(*store, 1));

    DPO_ASSERT(status != DPO_OK || *store != NULL);
    if (status == DPO_OK) status = open_file(grid, path, vocabulary, *store);
    if (status != DPO_OK) dpo_token_store_close(store);
    return status;
}

void dpo_token_store_close(dpo_token_store **store)
{
    if (*store == NULL) return;
    dpo_json_destroy(&(*store)->prepare);
    dpo_h5_close(&(*store)->file);
    dpo_free(*store);
    *store = NULL;
}

int64_t dpo_token_store_n_prompts(const dpo_token_store *store)
{
    return store->n[N_PROMPTS];
}

int64_t dpo_token_store_n_responses(const dpo_token_store *store)
{
    return store->n[N_RESPONSES];
}

int64_t dpo_token_store_n_examples(const dpo_token_store *store)
{
    return store->n[N_EXAMPLES];
}

int64_t dpo_token_store_n_edges(const dpo_token_store *store)
{
    return store->n[N_EDGES];
}

int64_t dpo_token_store_max_sequence_tokens(const dpo_token_store *store)
{
    return store->max_sequence_tokens;
}

int64_t dpo_token_store_max_example_tokens(const dpo_token_store *store)
{
    return store->max_example_tokens;
}

const int32_t *dpo_token_store_prompt(const dpo_token_store *store, int64_t prompt,
                                      int64_t *n_tokens)
{
    const int64_t *begin = prompt_begin(store);

    DPO_ASSERT(prompt >= 0 && prompt < store->n[N_PROMPTS]);
    *n_tokens = begin[prompt + 1] - begin[prompt];
    return prompt_token(store) + begin[prompt];
}

const int32_t *dpo_token_store_response(const dpo_token_store *store, int64_t response,
                                        int64_t *n_tokens)
{
    const int64_t *begin = response_begin(store);

    DPO_ASSERT(response >= 0 && response < store->n[N_RESPONSES]);
    *n_tokens = begin[response + 1] - begin[response];
    return response_token(store) + begin[response];
}

int64_t dpo_token_store_response_prompt(const dpo_token_store *store, int64_t response)
{
    DPO_ASSERT(response >= 0 && response < store->n[N_RESPONSES]);
    return response_prompt(store)[response];
}

double dpo_token_store_response_score(const dpo_token_store *store, int64_t response)
{
    DPO_ASSERT(response >= 0 && response < store->n[N_RESPONSES]);
    return response_score(store)[response];
}

dpo_range dpo_token_store_responses(const dpo_token_store *store, int64_t example)
{
    DPO_ASSERT(example >= 0 && example < store->n[N_EXAMPLES]);
    return (dpo_range){example_begin(store)[example], example_begin(store)[example + 1]};
}

dpo_range dpo_token_store_edges(const dpo_token_store *store, int64_t example)
{
    DPO_ASSERT(example >= 0 && example < store->n[N_EXAMPLES]);
    return (dpo_range){edge_begin(store)[example], edge_begin(store)[example + 1]};
}

void dpo_token_store_edge(const dpo_token_store *store, int64_t edge, int64_t *chosen,
                          int64_t *rejected, float *weight)
{
    DPO_ASSERT(edge >= 0 && edge < store->n[N_EDGES]);
    *chosen = edge_chosen(store)[edge];
    *rejected = edge_rejected(store)[edge];
    *weight = edge_weight(store)[edge];
}

int32_t dpo_token_store_source(const dpo_token_store *store, int64_t example)
{
    DPO_ASSERT(example >= 0 && example < store->n[N_EXAMPLES]);
    return example_source(store)[example];
}

int64_t dpo_token_store_line(const dpo_token_store *store, int64_t example)
{
    DPO_ASSERT(example >= 0 && example < store->n[N_EXAMPLES]);
    return example_line(store)[example];
}

int64_t dpo_token_store_n_sources(const dpo_token_store *store)
{
    return dpo_json_count(dpo_json_find(store->prepare, "sources"));
}

const char *dpo_token_store_source_name(const dpo_token_store *store, int64_t source)
{
    const dpo_json *item = dpo_json_first(dpo_json_find(store->prepare, "sources"));

    for (int64_t i = 0; i < source && item != NULL; i++)
        item = dpo_json_next(item);
    DPO_ASSERT(item != NULL);
    return dpo_json_text(dpo_json_find(item, "name"));
}

dpo_digest dpo_token_store_digest(const dpo_token_store *store)
{
    return store->digest;
}
