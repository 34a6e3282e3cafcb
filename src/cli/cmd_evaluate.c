// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "command.h"
#include "dpo/train/evaluation.h"
#include "dpo/train/manifest.h"
#include "dpo/train/session.h"

/* The result as one JSON object on standard output, for scripts; the log has the table. */
static dpo_status print(const dpo_evaluation *evaluation)
{
    dpo_buffer text = {0};
    dpo_json *record;

    DPO_TRY(dpo_json_new_object(&record));
    dpo_status status = dpo_evaluation_put(evaluation, record);

    if (status == DPO_OK) status = dpo_json_print(record, false, &text);
    if (status == DPO_OK) (void)printf("%s\n", dpo_buffer_text(&text));
    dpo_buffer_destroy(&text);
    dpo_json_destroy(&record);
    return status;
}

static dpo_status evaluate(dpo_call *call, dpo_session *session, dpo_set set)
{
    const dpo_objective_params params = dpo_run_config_objective(&call->run);
    const dpo_objective *objective;
    dpo_evaluation evaluation;

    DPO_TRY(dpo_objective_find(call->run.objective.name, &objective));
    if (dpo_token_store_n_examples(session->set[set].store) == 0)
        return DPO_FAIL(DPO_EDATA, "data: no example is left to evaluate on (see the audit above "
                                   "for what was dropped and why)");
    DPO_TRY(dpo_session_load(session, false));
    DPO_TRY(dpo_evaluation_run(session, set, objective, &params, &evaluation));
    dpo_evaluation_log(&evaluation);
    return dpo_agree(call->grid,
                     dpo_grid_rank(call->grid, DPO_WORLD) == 0 ? print(&evaluation) : DPO_OK);
}

/* On data.eval if there is one, else on data.train. */
dpo_status dpo_command_evaluate(dpo_call *call)
{
    dpo_set set = call->run.data.eval != NULL ? DPO_SET_EVAL : DPO_SET_TRAIN;
    dpo_session session;

    dpo_start_log(call->grid);
    dpo_status status = dpo_session_open(call->grid, &call->run, 1u << set, &session);

    if (status == DPO_OK) status = evaluate(call, &session, set);
    dpo_session_close(&session);
    return status;
}
