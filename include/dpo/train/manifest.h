// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_MANIFEST_H
#define DPO_TRAIN_MANIFEST_H

/**
 * \file
 * What a run is made of, for the reader and for the record: the start-up lines, config.json and
 * manifest.json.
 */

#include "dpo/base/json.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/train/session.h"

/** Logs program, libraries, grid, threads and processors; warns of an unlucky binding. \collective{all ranks
 * of the grid} */
void dpo_start_log(const dpo_grid *grid);

/**
 * Writes config.json and manifest.json into the run's folder.
 *
 * \collective{all ranks of the grid}
 * \param[in] session  After dpo_session_load().
 * \param[in] config   Resolved configuration.
 * \errors{DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_manifest_write(const dpo_session *session, const dpo_json *config);

#endif
