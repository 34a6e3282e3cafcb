// SPDX-License-Identifier: Apache-2.0
#include "dpo/comm/runtime.h"

int main(int argc, char **argv)
{
    dpo_runtime_begin(&argc, &argv);
    dpo_runtime_end();
    return 0;
}
