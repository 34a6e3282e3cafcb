// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_METRICS_LOG_H
#define DPO_TRAIN_METRICS_LOG_H

/**
 * \file
 * metrics.jsonl: one JSON object a line, appended and flushed as the run goes. World rank 0 writes.
 */

#include <stdint.h>
#include <stdio.h>

#include "dpo/base/json.h"
#include "dpo/base/status.h"

/**
 * Opens the file for appending, after dropping lines of steps that a continued run will do again and a
 * last line that was cut off.
 *
 * \local
 * \param[in]  path    The file; made if absent.
 * \param[in]  step    Lines with a larger "step" are dropped.
 * \param[out] stream  For fclose(); NULL on error.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_metrics_log_open(const char *path, int64_t step, FILE **stream);

/** Appends a record. \local \errors{DPO_EIO; DPO_ENOMEM} */
DPO_MUST_CHECK dpo_status dpo_metrics_log_write(FILE *stream, const char *path,
                                                const dpo_json *record);

#endif
