// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_DATA_GROUP_H
#define DPO_DATA_GROUP_H

#include "token_share.h"

/*
 * Joins the examples of all shares that have one and the same prompt (DPO_GROUP_PROMPT). A joined example lies
 * where the first of its examples was; its responses and comparisons follow in the order of the
 * shares, so the result does not depend on the number of ranks. Examples with several prompts (truncation may leave
 * each response its own) stay as they are. Corrects the counts of the audit. On error the share
 * is unspecified, for token_share_destroy(). \collective{all ranks of the grid}
 */
DPO_MUST_CHECK dpo_status token_share_group(const dpo_grid *grid, token_share *share,
                                            dpo_audit *counts);

#endif
