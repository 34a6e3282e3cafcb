// SPDX-License-Identifier: Apache-2.0
#ifndef RUN_CONFIG_OPTIMIZER_H
#define RUN_CONFIG_OPTIMIZER_H

#include "dpo/train/run_config.h"

/* Refuses keys that the optimizer does not use; those it uses and that were not given get its defaults. */
DPO_MUST_CHECK dpo_status dpo_run_config_complete_optimizer(const dpo_config *config,
                                                            dpo_run_config *run);

/* Refuses keys that the schedule does not use, and values it does not take. */
DPO_MUST_CHECK dpo_status dpo_run_config_check_schedule(const dpo_config *config,
                                                        const dpo_run_config *run);

#endif
