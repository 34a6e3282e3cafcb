// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "dpo/train/inspect.h"

dpo_status dpo_command_inspect(dpo_call *call)
{
    return dpo_inspect(call->grid, call->arguments[0]);
}
