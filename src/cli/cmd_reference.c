// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "dpo/comm/runtime.h"
#include "dpo/train/manifest.h"
#include "dpo/train/session.h"

/* Loading a session fills the cache with what it lacks. */
dpo_status dpo_command_reference(dpo_call *call)
{
    dpo_session session;

    dpo_start_log(call->grid);
    dpo_stop_on_signals();
    dpo_status status = dpo_session_open(call->grid, &call->run,
                                         1u << DPO_SET_TRAIN | 1u << DPO_SET_EVAL, &session);

    if (status == DPO_OK) status = dpo_session_load(&session, false);
    dpo_session_close(&session);
    return status;
}
