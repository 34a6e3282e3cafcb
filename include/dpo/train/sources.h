// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_SOURCES_H
#define DPO_TRAIN_SOURCES_H

/**
 * \file
 * Reading `data.train` and `data.eval`: a path, an object {path, limit, name}, or a list of these.
 */

#include "dpo/base/json.h"
#include "dpo/base/status.h"
#include "dpo/data/prepare.h"

/**
 * Reads a list of sources.
 *
 * \local
 * \param[in]  key        Configuration key, for messages.
 * \param[in]  value      Its value; texts stay borrowed from it.
 * \param[out] sources    Owned by the caller, for dpo_free(); NULL on error.
 * \param[out] n_sources  > 0.
 * \errors{DPO_EUSAGE naming the key; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_sources_read(const char *key, const dpo_json *value,
                                           dpo_data_source **sources, int64_t *n_sources);

#endif
