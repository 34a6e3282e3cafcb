// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_AUDIT_H
#define DPO_DATA_AUDIT_H

/* Counting while a share is tokenized, and the sum over all ranks. */

#include "dpo/base/buffer.h"
#include "dpo/base/json.h"
#include "dpo/data/prepare.h"

/* This rank's part; zero-initialised it is empty. */
typedef struct {
    dpo_audit counts;     /* the length summaries are not filled */
    dpo_buffer prompts;   /* i64 [longest + 1]: how many prompts have a length */
    dpo_buffer responses; /* likewise */
    dpo_buffer sequences; /* likewise */
} audit_share;

/* Counts one length in a histogram. */
DPO_MUST_CHECK dpo_status audit_count_length(dpo_buffer *histogram, int64_t length);

/* Sums the shares of all ranks. \collective{all ranks of the grid} */
DPO_MUST_CHECK dpo_status audit_sum(const dpo_grid *grid, const audit_share *share,
                                    dpo_audit *audit);

void audit_share_destroy(audit_share *share);

/* To and from an object of numbers. */
DPO_MUST_CHECK dpo_status audit_to_json(const dpo_audit *audit, dpo_json **object);
DPO_MUST_CHECK dpo_status audit_from_json(const dpo_json *object, const char *where,
                                          dpo_audit *audit);

#endif
