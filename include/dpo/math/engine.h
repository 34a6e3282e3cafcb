// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ENGINE_H
#define DPO_MATH_ENGINE_H

/**
 * \file
 * What computes: library, instruction set, threads. For start-up lines, manifests and digests.
 */

/** Version of the oneDNN library that runs, such as "2.6.3"; valid for ever. \local */
const char *dpo_engine_library(void);

/** Instruction set that oneDNN uses, such as "AVX2" or "AVX-512 BF16"; valid for ever. \local */
const char *dpo_engine_cpu(void);

/** Instruction set that this program's own kernels use, such as "x86-64-v3"; valid for ever. \local */
const char *dpo_engine_kernels(void);

/** OpenMP threads of this rank, > 0. \local */
int dpo_engine_n_threads(void);

#endif
