// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "dpo/train/session.h"

/* Opening a session tokenizes what is missing and prints the audits. */
dpo_status dpo_command_prepare(dpo_call *call)
{
    dpo_session session;
    dpo_status status = dpo_session_open(call->grid, &call->run,
                                         1u << DPO_SET_TRAIN | 1u << DPO_SET_EVAL, &session);

    dpo_session_close(&session);
    return status;
}
