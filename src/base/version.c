// SPDX-License-Identifier: Apache-2.0
#include "dpo/base/version.h"

const char *dpo_version(void)
{
    return DPO_VERSION;
}
