// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "dpo/base/digest.h"
#include "dpo/base/log.h"
#include "dpo/base/nearest.h"
#include "dpo/base/version.h"
#include "dpo/comm/binding.h"
#include "dpo/comm/runtime.h"
#include "dpo/math/engine.h"

const dpo_command dpo_commands[] = {
    {"train", "[CONFIG] [options]",
     "tune a model: everything that is missing, up to the trained model", DPO_FOR_TRAIN, 0, 1, true,
     dpo_command_train},
    {"prepare", "[CONFIG] [options]", "tokenize preferences into a token store, with an audit",
     DPO_FOR_PREPARE, 0, 1, true, dpo_command_prepare},
    {"reference", "[CONFIG] [options]", "fill the cache of reference log-probabilities",
     DPO_FOR_REFERENCE, 0, 1, true, dpo_command_reference},
    {"evaluate", "[CONFIG] [options]",
     "loss, rewards, accuracy and margins of a model on preference data", DPO_FOR_EVALUATE, 0, 1,
     true, dpo_command_evaluate},
    {"generate", "--model DIR|CHECKPOINT [options] PROMPT...",
     "text from a model folder or a checkpoint", DPO_FOR_GENERATE, 1, 1 << 20, false,
     dpo_command_generate},
    {"export", "CHECKPOINT --out DIR [options]", "Hugging Face model folder of a checkpoint",
     DPO_FOR_EXPORT, 1, 1, false, dpo_command_export},
    {"inspect", "FILE|DIR",
     "what a store, cache, checkpoint or model folder holds, and whether it is whole", 0, 1, 1,
     false, dpo_command_inspect},
    {"bench", "[NAME] [options]",
     "this machine's peaks, and how near the program comes to them: memory, matmul, kernels, "
     "collectives, files, generate",
     DPO_FOR_BENCH, 0, 1, false, dpo_command_bench},
    {NULL, NULL, NULL, 0, 0, 0, false, NULL},
};

const dpo_command *dpo_command_find(const char *name)
{
    const char *names[16];
    int n = 0;

    for (const dpo_command *c = dpo_commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) return c;
        names[n++] = c->name;
    }
    (void)dpo_unknown_name("mpidpo", "command", name, names, n);
    return NULL;
}

/* Ranks that were started with different words would wait for each other for ever. */
static dpo_status agree_on_words(const dpo_grid *grid, int n_words, char **words)
{
    dpo_digest digest = {0};

    for (int i = 0; i < n_words; i++)
        digest = dpo_digest_join(digest, dpo_digest_of(words[i], (int64_t)strlen(words[i])));
    return dpo_agree_on(grid, "the command line", (int64_t)(digest.low >> 2));
}

/* A command that computes with a model runs on the grid that the configuration asks for. */
static dpo_status run_on_grid(const dpo_command *command, dpo_call *call)
{
    const unsigned computes =
        DPO_FOR_REFERENCE | DPO_FOR_TRAIN | DPO_FOR_EVALUATE | DPO_FOR_GENERATE;
    dpo_grid *plain = call->grid;
    dpo_grid *grid;

    if ((command->keys & computes) == 0 || call->run.parallel.tensor == 1)
        return command->run(call);
    DPO_TRY(dpo_grid_create((int)call->run.parallel.tensor, &grid));
    call->grid = grid;
    dpo_status status = command->run(call);

    call->grid = plain;
    dpo_grid_destroy(&grid);
    return status;
}

static dpo_status run_command(dpo_grid *grid, const dpo_command *command, int n_words, char **words)
{
    dpo_call call = {.grid = grid};
    dpo_status status = dpo_agree(grid, dpo_call_parse(command, n_words, words, &call));

    if (call.is_quiet && dpo_grid_rank(grid, DPO_WORLD) == 0) dpo_log_set_level(DPO_LOG_WARNING);
    if (status == DPO_OK && call.wants_help)
        status = dpo_grid_rank(grid, DPO_WORLD) == 0 ? dpo_help_print(command) : DPO_OK;
    else if (status == DPO_OK)
        status = run_on_grid(command, &call);
    dpo_call_destroy(&call);
    return status;
}

static dpo_status run(dpo_grid *grid, int argc, char **argv)
{
    bool speaks = dpo_grid_rank(grid, DPO_WORLD) == 0;

    DPO_TRY(agree_on_words(grid, argc, argv));
    if (argc < 2) return DPO_FAIL(DPO_EUSAGE, "mpidpo: a command must follow (see mpidpo --help)");
    if (strcmp(argv[1], "--help") == 0) return speaks ? dpo_help_print(NULL) : DPO_OK;
    if (strcmp(argv[1], "--version") == 0) {
        if (speaks) (void)printf("mpidpo %s\n", dpo_version());
        return DPO_OK;
    }
    const dpo_command *command = dpo_command_find(argv[1]);

    if (command == NULL) return dpo_last_error()->status;
    return run_command(grid, command, argc - 2, argv + 2);
}

/* Unless the user says how many threads a rank has, no processor gets two. */
static void choose_threads(const dpo_grid *grid)
{
    dpo_binding binding = dpo_binding_of(grid);

    bool is_given = getenv("OMP_NUM_THREADS") != NULL;

    dpo_engine_set_threads(is_given ? dpo_engine_n_threads() : dpo_binding_threads(&binding));
}

int main(int argc, char **argv)
{
    dpo_grid *grid;
    dpo_status status;

    dpo_runtime_begin(&argc, &argv);
    status = dpo_grid_create(1, &grid);
    if (status == DPO_OK) {
        bool speaks = dpo_grid_rank(grid, DPO_WORLD) == 0;

        if (!speaks) dpo_log_set_level(DPO_LOG_SILENT);
        choose_threads(grid);
        status = run(grid, argc, argv);
        if (status != DPO_OK && speaks) dpo_error_print(stderr, "mpidpo");
        dpo_grid_destroy(&grid);
    }
    dpo_runtime_end();
    return dpo_exit_code(status);
}
