// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/precision.h"

#include <stdio.h>

#include "dpo/comm/collective.h"
#include "dpo/math/engine.h"

const char *dpo_element_name(dpo_element element)
{
    return element == DPO_BF16 ? "bf16" : "f32";
}

static dpo_status refuse(const char *reason)
{
    return DPO_FAIL(DPO_EUSAGE,
                    "precision: bf16 is asked for, but %s, so that it would be slower than f32; "
                    "set precision to f32 or auto (memory.activations=bf16 halves the memory of "
                    "activations on any CPU)",
                    reason != NULL ? reason : "another rank's CPU has no bf16 dot products");
}

dpo_status dpo_precision_choose(const dpo_grid *grid, const dpo_run_config *run,
                                dpo_precision *precision)
{
    const char *reason;
    int64_t n_without = !dpo_engine_has_bf16(&reason);

    dpo_max_i64(grid, DPO_WORLD, 1, &n_without);
    if (run->precision == DPO_PRECISION_BF16 && n_without > 0)
        return dpo_agree(grid, refuse(reason));
    bool is_bf16 = run->precision != DPO_PRECISION_F32 && n_without == 0;
    bool stores_bf16 = run->memory.activations == DPO_PRECISION_AUTO
                           ? is_bf16
                           : run->memory.activations == DPO_PRECISION_BF16;

    *precision = (dpo_precision){is_bf16 ? DPO_BF16 : DPO_F32, stores_bf16 ? DPO_BF16 : DPO_F32};
    return DPO_OK;
}

bool dpo_precision_rounds(const dpo_precision *precision)
{
    return precision->compute != DPO_F32 || precision->activations != DPO_F32;
}

void dpo_precision_text(const dpo_precision *precision, int tensor_size,
                        char text[DPO_PRECISION_TEXT_BYTES])
{
    if (dpo_precision_rounds(precision))
        (void)snprintf(
            text, DPO_PRECISION_TEXT_BYTES, "%s, activations %s, on %d tensor-parallel %s",
            dpo_element_name(precision->compute), dpo_element_name(precision->activations),
            tensor_size, tensor_size == 1 ? "rank" : "ranks");
    else
        (void)snprintf(text, DPO_PRECISION_TEXT_BYTES, "f32");
}
