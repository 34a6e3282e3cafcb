// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "dpo/train/export.h"

dpo_status dpo_command_export(dpo_call *call)
{
    return dpo_export_checkpoint(call->grid, call->arguments[0], &call->run);
}
