// SPDX-License-Identifier: Apache-2.0
#ifndef TOKENIZER_POSTPROCESSOR_H
#define TOKENIZER_POSTPROCESSOR_H

#include "dpo/base/json.h"
#include "tokenizer_vocab.h"

/* The ids that are put around those of a text. */
typedef struct {
    bool has_template;
    dpo_buffer before; /* int32_t */
    dpo_buffer after;  /* int32_t */
} tokenizer_postprocessor;

/* Loads "post_processor" (NULL if it is absent), whose ids must be tokens of the model or added ones;
   on error it is destroyed by the caller all the same. */
DPO_MUST_CHECK dpo_status tokenizer_postprocessor_load(const char *where, const dpo_json *node,
                                                       const tokenizer_vocab *model,
                                                       const tokenizer_vocab *added,
                                                       tokenizer_postprocessor *postprocessor);
void tokenizer_postprocessor_destroy(tokenizer_postprocessor *postprocessor);

#endif
