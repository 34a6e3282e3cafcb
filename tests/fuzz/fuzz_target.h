// SPDX-License-Identifier: Apache-2.0
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* What a fuzz target defines: the entry point, as libFuzzer names it, and the texts that our own driver starts
 * from. A target returns 0; it reports a broken property by DPO_ASSERT(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Zero-terminated texts, the list ended by NULL. */
extern const char *const dpo_fuzz_seeds[];

#endif
