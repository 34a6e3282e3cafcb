// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/reference_pass.h"

#include "dpo/base/memory.h"

dpo_status dpo_reference_pass(dpo_session *session, dpo_set set, const char *path)
{
    (void)path;
    return DPO_NEW(session->set[set].reference_logp, 1);
}
