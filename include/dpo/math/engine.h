// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ENGINE_H
#define DPO_MATH_ENGINE_H

/**
 * \file
 * What computes: library, instruction set, threads. For start-up lines, manifests and digests.
 */

#include <stdbool.h>

#include "dpo/base/status.h"

/** Version of the oneDNN library that runs, such as "2.6.3"; valid for ever. \local */
const char *dpo_engine_library(void);

/** Instruction set that oneDNN uses, by its name for it, such as "avx2"; on other CPUs than x86-64 their kind, such
 * as "aarch64"; valid for ever. \local */
const char *dpo_engine_cpu(void);

/** Instruction set that this program's own kernels use, such as "x86-64-v3"; valid for ever. \local */
const char *dpo_engine_kernels(void);

/**
 * Makes this program's own kernels use another level than the best one; for tests and measurements.
 *
 * \local
 * \param[in] level  "x86-64-v4", "x86-64-v3" or "baseline"; NULL for the best one.
 * \errors{DPO_EUSAGE if the CPU or this build does not have it}
 */
DPO_MUST_CHECK dpo_status dpo_engine_use_kernels(const char *level);

/**
 * Whether products of bf16 operands are worth while here: the CPU has instructions for them and oneDNN uses
 * them. Call it first from outside of parallel regions.
 *
 * \local
 * \param[out] reason  Why not, for messages; NULL if they are. Valid for ever. May be NULL.
 */
bool dpo_engine_has_bf16(const char **reason);

/** Whether products of bf16 operands can be computed at all, fast or not. Call it first from outside of
 * parallel regions. \local */
bool dpo_engine_multiplies_bf16(void);

/** OpenMP threads of this rank, > 0. \local */
int dpo_engine_n_threads(void);

/**
 * Sets the number of OpenMP threads of this rank, > 0, as far as OMP_THREAD_LIMIT allows; before any plan is made.
 * From then on every parallel region has as many (no OMP_DYNAMIC): products of oneDNN that get fewer threads than
 * there may be are wrong.
 * \local
 */
void dpo_engine_set_threads(int n_threads);

#endif
