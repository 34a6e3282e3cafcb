// SPDX-License-Identifier: Apache-2.0
#include "level.h"

#define DPO_KERNEL_VALUE(result, name, parameters) .name = KERNEL(name),
const dpo_kernels KERNEL(kernels) = {DPO_KERNEL_LIST(DPO_KERNEL_VALUE)};
