// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_PREPARE_H
#define DPO_DATA_PREPARE_H

/**
 * \file
 * From preference files to a token store: every rank tokenizes its share of the lines, the file holds them in
 * the order of the sources and lines, the same bits whatever the number of ranks.
 *
 * Text prompts: ids(prompt) and ids(prompt + response + eos), each with the tokenizer's special tokens; the
 * eos text is added unless the response ends with it. Message lists: ids(template(prompt, generation prompt))
 * and ids(template(prompt + response)) without special tokens of the tokenizer. The prompt is the longest
 * beginning that the first has in common with the second of all responses (as TRL does). Records are cut and dropped
 * before they are joined.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/text/chat_template.h"
#include "dpo/text/tokenizer.h"

/** What becomes of a sequence (prompt and response) of more than max_length tokens. */
typedef enum {
    DPO_TRUNCATE_KEEP_START, /**< its first max_length tokens stay; an example whose prompt fills them is dropped */
    DPO_TRUNCATE_KEEP_END, /**< its last max_length tokens stay */
    DPO_TRUNCATE_DROP,     /**< its example is dropped */
    DPO_TRUNCATE_ERROR     /**< refused */
} dpo_truncation;

/** What becomes of an example with a response of no text. */
typedef enum {
    DPO_EMPTY_ERROR, /**< refused */
    DPO_EMPTY_DROP,  /**< dropped */
    DPO_EMPTY_KEEP   /**< kept: the response is the end-of-sequence token alone */
} dpo_empty;

/** Which examples of a data set become one. */
typedef enum {
    DPO_GROUP_NONE, /**< a record is an example */
    /** Those whose prompts have the same tokens after truncation: one example with the responses of all, equal
     * ones once, and the comparisons of all. Loss and gradient of a batch are those of the records. */
    DPO_GROUP_PROMPT
} dpo_group;

/** Most responses of a joined example; more of the same prompt begin another one. */
enum { DPO_GROUP_RESPONSES = 16 };

/** One preference file: JSONL or a JSON array, plain or gzip. */
typedef struct {
    const char *path; /**< the file */
    const char *name; /**< for tables and metrics; NULL = the file's name */
    double weight;    /**< share in a mixture; only 1 so far */
    int64_t limit;    /**< at most so many records from the front; 0 = all */
} dpo_data_source;

/** What is tokenized, and how; everything borrowed, the same on every rank. */
typedef struct {
    int64_t n_sources;                      /**< > 0 */
    const dpo_data_source *sources;         /**< [n_sources] */
    const dpo_tokenizer *tokenizer;         /**< with an end-of-sequence token */
    const dpo_chat_template *chat_template; /**< NULL = none: message lists are refused */
    int64_t max_length;        /**< tokens of prompt and response, >= 2; 0 = unlimited */
    dpo_truncation truncation; /**< for longer ones */
    dpo_empty empty;           /**< for empty responses */
    dpo_group group;           /**< which examples are joined */
} dpo_prepare_options;

/** Percentiles of a length in tokens: nearest rank. */
typedef struct {
    int64_t p50; /**< half are at most so long */
    int64_t p90; /**< nine tenths */
    int64_t p99; /**< 99 of 100 */
    int64_t max; /**< all */
} dpo_length_summary;

/** What was found; of all ranks. Counts are of examples unless they say otherwise. */
typedef struct {
    int64_t n_records;           /**< read from the files */
    int64_t n_examples;          /**< kept */
    int64_t n_responses;         /**< kept */
    int64_t n_edges;             /**< kept */
    int64_t prompt_tokens;       /**< kept, each prompt once */
    int64_t response_tokens;     /**< kept: these are trained on */
    int64_t chosen_tokens;       /**< of the winners of all comparisons */
    int64_t rejected_tokens;     /**< of the losers */
    int64_t separate_tokens;     /**< of the records' sequences, each with its own prompt */
    int64_t n_joined;            /**< kept, and became part of another example */
    int64_t n_truncated;         /**< with a sequence that was cut to max_length */
    int64_t n_dropped_too_long;  /**< truncation = drop */
    int64_t n_dropped_no_tokens; /**< nothing left of a response: the prompt fills max_length */
    int64_t n_dropped_empty;     /**< empty = drop */
    int64_t n_empty;             /**< with a response of no text */
    int64_t n_identical;  /**< with two responses of the same tokens, compared with each other */
    int64_t n_double_bos; /**< whose prompt begins with two beginning-of-sequence tokens */
    int64_t
        n_boundary_shifts; /**< whose prompt's tokens are not a beginning of prompt + response's */
    dpo_length_summary prompt;   /**< before truncation */
    dpo_length_summary response; /**< before truncation */
    dpo_length_summary sequence; /**< prompt and response, before truncation */
} dpo_audit;

/**
 * Makes a token store, or keeps the one that is there if it was made from the same inputs with the same options.
 * Logs which, and the audit (rank 0 speaks).
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid     The grid.
 * \param[in]  options  The same on every rank.
 * \param[in]  path     Of the token store, on a file system that all ranks see.
 * \param[out] audit    What the store holds; also if it was kept.
 * \errors{DPO_EUSAGE, an option; DPO_EDATA, the first bad line in file order; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_prepare(const dpo_grid *grid, const dpo_prepare_options *options,
                                      const char *path, dpo_audit *audit);

/** Prints an audit as a table to the log. \local */
void dpo_audit_log(const dpo_audit *audit);

#endif
