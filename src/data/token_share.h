// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_TOKEN_SHARE_H
#define DPO_DATA_TOKEN_SHARE_H

/*
 * A rank's share of a token store while it is made. The arrays are those of token_store.h, numbered within the
 * share; offset arrays hold the begins only, without the last end. Shares lie in the file in the order
 * of the ranks.
 */

#include "audit.h"
#include "dpo/base/range.h"
#include "dpo/store/h5file.h"
#include "tokenize.h"

/*
 * The arrays of a token store: name, element type, what they have one of (the counts below), what their
 * values count (offsets and numbers of other things; NOT_COUNTED = plain values), and whether they are
 * offsets, which have one value more in the file: the end of the last.
 */
#define TOKEN_ARRAY_LIST(ENTRY)                                                       \
    ENTRY(prompt_begin, DPO_H5_I64, int64_t, N_PROMPTS, N_PROMPT_TOKENS, true)        \
    ENTRY(prompt_token, DPO_H5_I32, int32_t, N_PROMPT_TOKENS, NOT_COUNTED, false)     \
    ENTRY(response_begin, DPO_H5_I64, int64_t, N_RESPONSES, N_RESPONSE_TOKENS, true)  \
    ENTRY(response_token, DPO_H5_I32, int32_t, N_RESPONSE_TOKENS, NOT_COUNTED, false) \
    ENTRY(response_prompt, DPO_H5_I64, int64_t, N_RESPONSES, N_PROMPTS, false)        \
    ENTRY(response_score, DPO_H5_F64, double, N_RESPONSES, NOT_COUNTED, false)        \
    ENTRY(example_begin, DPO_H5_I64, int64_t, N_EXAMPLES, N_RESPONSES, true)          \
    ENTRY(edge_begin, DPO_H5_I64, int64_t, N_EXAMPLES, N_EDGES, true)                 \
    ENTRY(edge_chosen, DPO_H5_I64, int64_t, N_EDGES, N_RESPONSES, false)              \
    ENTRY(edge_rejected, DPO_H5_I64, int64_t, N_EDGES, N_RESPONSES, false)            \
    ENTRY(edge_weight, DPO_H5_F32, float, N_EDGES, NOT_COUNTED, false)                \
    ENTRY(example_source, DPO_H5_I32, int32_t, N_EXAMPLES, NOT_COUNTED, false)        \
    ENTRY(example_line, DPO_H5_I64, int64_t, N_EXAMPLES, NOT_COUNTED, false)

#define TOKEN_ARRAY_ENUM(name, type, item, count, points_at, is_offset) TOKEN_ARRAY_##name,
typedef enum { TOKEN_ARRAY_LIST(TOKEN_ARRAY_ENUM) N_TOKEN_ARRAYS } token_array;
#undef TOKEN_ARRAY_ENUM

typedef enum {
    N_PROMPTS,
    N_PROMPT_TOKENS,
    N_RESPONSES,
    N_RESPONSE_TOKENS,
    N_EXAMPLES,
    N_EDGES,
    N_TOKEN_COUNTS,
    NOT_COUNTED = -1
} token_count;

/* How an array lies in the file. */
typedef struct {
    const char *name;
    size_t item_bytes;
    dpo_h5_type type;
    token_count count;
    token_count
        points_at;  /* its values count these: offsets and numbers; NOT_COUNTED = plain values */
    bool is_offset; /* has one value more in the file: the end of the last */
} token_array_row;

extern const token_array_row token_arrays[N_TOKEN_ARRAYS];

/* Zero-initialised it is empty. */
typedef struct {
    int64_t n[N_TOKEN_COUNTS];
    dpo_buffer arrays[N_TOKEN_ARRAYS];
} token_share;

/* Where an example comes from. */
typedef struct {
    int32_t source;
    int64_t line; /* from 1 */
} token_origin;

/*
 * Cuts an example and adds what is left, unless it is to be dropped; counts into the audit. DPO_EDATA with
 * `where` if the options say so.
 */
DPO_MUST_CHECK dpo_status token_share_add(token_share *share, audit_share *audit, const char *where,
                                          const dpo_prepare_options *options,
                                          const dpo_preference *preference,
                                          const token_example *example, token_origin origin);

/* Tokens of a prompt or a response, borrowed from the share. */
typedef struct {
    const int32_t *ids; /* [n] */
    int64_t n;
} token_run;

token_run token_share_prompt(const token_share *share, int64_t prompt);
token_run token_share_response(const token_share *share, int64_t response);
dpo_range token_share_responses(const token_share *share, int64_t example);
dpo_range token_share_edges(const token_share *share, int64_t example);

/* Begins an example without responses; what is added below is the last one's. */
DPO_MUST_CHECK dpo_status token_share_begin_example(token_share *share, token_origin origin);
DPO_MUST_CHECK dpo_status token_share_add_prompt(token_share *share, token_run prompt);
/* A response to the last prompt. */
DPO_MUST_CHECK dpo_status token_share_add_response(token_share *share, token_run response,
                                                   double score);
DPO_MUST_CHECK dpo_status token_share_add_edge(token_share *share, int64_t chosen, int64_t rejected,
                                               float weight);

/* Writes all shares to a new file with a text "prepare". \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status token_share_write(const dpo_grid *grid, const token_share *share,
                                            const char *path, const char *prepare);

void token_share_destroy(token_share *share);

#endif
