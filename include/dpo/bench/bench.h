// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BENCH_BENCH_H
#define DPO_BENCH_BENCH_H

/**
 * \file
 * Benchmarks: the peaks of this machine, measured, and how near each part of the program comes to the one
 * that bounds it. All ranks work at the same time; speeds are those of all ranks together.
 *
 * A line of the table on standard output for each; with a folder also all of it in bench.json.
 */

#include <stdint.h>

#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/config.h"

/** What is measured. */
typedef struct {
    const char *name;               /**< a group of benchmarks; NULL: all */
    const char *model;              /**< folder the shapes come from; NULL: a 1B-class model's */
    const dpo_model_config *config; /**< the shapes */
    int64_t n_tokens;               /**< of a micro-batch, > 0 */
    const char *folder;             /**< for bench.json and the benchmark of files; NULL: neither */
} dpo_bench_options;

/** Shapes of a 1B-class model: width 2048, four of its layers. \local */
dpo_model_config dpo_bench_default_config(void);

/**
 * Runs benchmarks.
 *
 * \collective{all ranks of the grid}
 * \param[in] grid     The grid; each rank works by itself, whatever its tensor-parallel size.
 * \param[in] options  What is measured.
 * \errors{DPO_EUSAGE if there is no such group, or it cannot be measured here; DPO_EIO; DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_bench_run(const dpo_grid *grid, const dpo_bench_options *options);

#endif
