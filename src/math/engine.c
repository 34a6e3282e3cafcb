// SPDX-License-Identifier: Apache-2.0
#include "dpo/math/engine.h"

#include <omp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "kernels/kernels.h"
#include "onednn.h"

/* One row per level of this build, best first; the last one runs everywhere. */
typedef struct {
    const char *name;
    int (*is_here)(void);
    const dpo_kernels *kernels;
} level;

extern const dpo_kernels dpo_baseline_kernels;

static int always(void)
{
    return 1;
}

#ifdef DPO_KERNELS_X86
extern const dpo_kernels dpo_v3_kernels, dpo_v4_kernels;

static int has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}

static int has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static const level levels[] = {{"x86-64-v4", has_v4, &dpo_v4_kernels},
                               {"x86-64-v3", has_v3, &dpo_v3_kernels},
                               {"baseline", always, &dpo_baseline_kernels}};
#else
static const level levels[] = {{"baseline", always, &dpo_baseline_kernels}};
#endif

static const int n_levels = (int)(sizeof levels / sizeof *levels);
static atomic_int current = -1; /* index into levels; -1 before the first use */

static int best_level(void)
{
    int best = 0;

    while (!levels[best].is_here())
        best++;
    return best;
}

static const level *level_in_use(void)
{
    int index = atomic_load(&current);

    if (index < 0) {
        index = best_level();
        atomic_store(&current, index);
    }
    return &levels[index];
}

const dpo_kernels *dpo_kernels_get(void)
{
    return level_in_use()->kernels;
}

const char *dpo_engine_kernels(void)
{
    return level_in_use()->name;
}

dpo_status dpo_engine_use_kernels(const char *name)
{
    for (int index = best_level(); index < n_levels; index++) {
        if (name != NULL && strcmp(levels[index].name, name) != 0) continue;
        atomic_store(&current, index);
        return DPO_OK;
    }
    return DPO_FAIL(DPO_EUSAGE, "kernels: level %s is not on this CPU or not in this build", name);
}

const char *dpo_engine_library(void)
{
    return dpo_onednn_version();
}

/* On other CPUs oneDNN answers with a name of x86-64. */
#ifdef DPO_PROCESSOR
const char *dpo_engine_cpu(void)
{
    return DPO_PROCESSOR;
}
#else
const char *dpo_engine_cpu(void)
{
    return dpo_onednn_cpu();
}
#endif

bool dpo_engine_has_bf16(const char **reason)
{
    const char *why = NULL;

    if (!dpo_onednn_cpu_has_bf16())
        why = "this CPU has no bf16 dot products that oneDNN uses (AVX-512 BF16 or AMX)";
    else if (!dpo_onednn_multiplies_bf16())
        why = "this oneDNN has no bf16 products for this CPU";
    if (reason != NULL) *reason = why;
    return why == NULL;
}

bool dpo_engine_multiplies_bf16(void)
{
    return dpo_onednn_multiplies_bf16();
}

int dpo_engine_n_threads(void)
{
    return omp_get_max_threads();
}

void dpo_engine_set_threads(int n_threads)
{
    int limit = omp_get_thread_limit();

    omp_set_dynamic(0);
    omp_set_num_threads(n_threads < limit ? n_threads : limit);
}
