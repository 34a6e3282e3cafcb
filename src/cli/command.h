// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_CLI_COMMAND_H
#define DPO_CLI_COMMAND_H

#include <stdbool.h>

#include "dpo/base/config.h"
#include "dpo/comm/grid.h"
#include "dpo/train/run_config.h"

/* One call of the program: what the command line said. The texts belong to argv. */
typedef struct {
    dpo_grid *grid;
    dpo_config *config; /* keys that were given */
    dpo_run_config run; /* filled from them and the defaults */
    int n_arguments;    /* words that are neither options nor their values */
    char **arguments;   /* [n_arguments] */
    bool is_quiet;      /* --quiet */
    bool wants_help;    /* --help */
} dpo_call;

/* One subcommand. */
typedef struct {
    const char *name;
    const char *usage;   /* behind "mpidpo NAME " */
    const char *summary; /* one line */
    unsigned keys;       /* DPO_FOR_...: keys it reads */
    int min_arguments;
    int max_arguments;
    bool takes_config; /* its argument is a configuration file */
    dpo_status (*run)(dpo_call *call);
} dpo_command;

/* All subcommands; a row without a name ends the table. */
extern const dpo_command dpo_commands[];

/* The row of a subcommand; NULL with an error record if there is none. */
const dpo_command *dpo_command_find(const char *name);

/* Reads the words behind the subcommand into call, whose grid is set. */
DPO_MUST_CHECK dpo_status dpo_call_parse(const dpo_command *command, int n_words, char **words,
                                         dpo_call *call);

/* Frees what a call owns, all but the grid. */
void dpo_call_destroy(dpo_call *call);

/* Prints the program's help, or a subcommand's, on standard output. */
DPO_MUST_CHECK dpo_status dpo_help_print(const dpo_command *command);

dpo_status dpo_command_prepare(dpo_call *call);
dpo_status dpo_command_reference(dpo_call *call);
dpo_status dpo_command_train(dpo_call *call);
dpo_status dpo_command_evaluate(dpo_call *call);
dpo_status dpo_command_generate(dpo_call *call);
dpo_status dpo_command_export(dpo_call *call);
dpo_status dpo_command_inspect(dpo_call *call);
dpo_status dpo_command_bench(dpo_call *call);

#endif
