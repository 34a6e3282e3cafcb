// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "dpo/train/manifest.h"
#include "dpo/train/trainer.h"

dpo_status dpo_command_train(dpo_call *call)
{
    dpo_start_log(call->grid);
    return dpo_train(call->grid, &call->run);
}
