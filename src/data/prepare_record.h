// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_PREPARE_RECORD_H
#define DPO_DATA_PREPARE_RECORD_H

/*
 * What a token store was made of: the text "prepare" in its file, a JSON object. Equal digests mean equal
 * contents.
 */

#include "dpo/base/digest.h"
#include "dpo/base/json.h"
#include "dpo/data/prepare.h"

typedef struct {
    dpo_digest *files; /* owned, [n_sources] */
    dpo_digest digest; /* of files, tokenizer, template and options */
} prepare_record;

/* Reads the files. \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status prepare_record_make(const dpo_grid *grid,
                                              const dpo_prepare_options *options,
                                              prepare_record *made_of);

/*
 * Whether path is a whole token store of the same digest; then its audit. A file that cannot be used is no
 * error: it will be replaced. \collective{all ranks of the grid}
 */
DPO_MUST_CHECK dpo_status prepare_record_find(const dpo_grid *grid, const prepare_record *made_of,
                                              const char *path, dpo_audit *audit, bool *is_current);

/* Appends the JSON text. \local */
DPO_MUST_CHECK dpo_status prepare_record_print(const prepare_record *made_of,
                                               const dpo_prepare_options *options,
                                               const dpo_audit *audit, dpo_buffer *text);

void prepare_record_destroy(prepare_record *made_of);

/* Name of a source: as given, or its file's name up to the first dot. Not terminated. \local */
const char *prepare_source_name(const dpo_data_source *source, int64_t *n_bytes);

#endif
