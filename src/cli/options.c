// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "dpo/base/memory.h"
#include "dpo/base/nearest.h"

/* An option that sets a configuration key. */
static const struct {
    const char *name;
    const char *path;
    const char *value; /* what follows, for the help; NULL: nothing, the key becomes true */
} option_table[] = {
    {"--model", "model", "DIR"},
    {"--data", "data.train", "FILE"},
    {"--eval", "data.eval", "FILE"},
    {"--out", "out", "DIR"},
    {"--seed", "seed", "N"},
    {"--max-tokens", "generate.max_tokens", "N"},
    {"--temperature", "generate.temperature", "T"},
    {"--top-k", "generate.top_k", "N"},
    {"--top-p", "generate.top_p", "P"},
    {"--chat", "generate.chat", NULL},
    {"--dtype", "export.dtype", "TYPE"},
};

/* Options that are no keys. */
static const char *const plain_options[] = {"--set", "--quiet", "--help"};

enum {
    N_OPTIONS = sizeof option_table / sizeof option_table[0],
    N_PLAIN = sizeof plain_options / sizeof plain_options[0]
};

static dpo_status unknown_option(const dpo_command *command, const char *word)
{
    const char *names[N_OPTIONS + N_PLAIN];

    for (int i = 0; i < N_OPTIONS; i++)
        names[i] = option_table[i].name;
    for (int i = 0; i < N_PLAIN; i++)
        names[N_OPTIONS + i] = plain_options[i];
    return dpo_unknown_name(command->name, "option", word, names, N_OPTIONS + N_PLAIN);
}

/* A key that the command never reads would be ignored. */
static dpo_status set_key(const dpo_command *command, dpo_call *call, const char *source,
                          const char *path, const char *value)
{
    const dpo_field *field = dpo_config_find(call->config, source, path);

    if (field == NULL) return dpo_last_error()->status;
    if ((field->flags & command->keys) == 0)
        return DPO_FAIL(DPO_EUSAGE, "%s: mpidpo %s does not use %s; leave it out", source,
                        command->name, path);
    return dpo_config_set(call->config, source, path, value);
}

static dpo_status set_assignment(const dpo_command *command, dpo_call *call, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char path[128];

    if (equals == NULL || equals - assignment >= (long)sizeof path)
        return DPO_FAIL(DPO_EUSAGE,
                        "--set %s: expected path=value, for example --set "
                        "optimizer.lr=1e-6",
                        assignment);
    (void)snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    return set_key(command, call, "--set", path, equals + 1);
}

static dpo_status need_value(const char *option, int i, int n_words)
{
    if (i + 1 < n_words) return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE, "%s: a value must follow", option);
}

/* Reads the option at words[*i] and moves *i to its last word. */
static dpo_status parse_option(const dpo_command *command, int n_words, char **words, int *i,
                               dpo_call *call)
{
    const char *word = words[*i];

    if (strcmp(word, "--quiet") == 0) {
        call->is_quiet = true;
        return DPO_OK;
    }
    if (strcmp(word, "--help") == 0) {
        call->wants_help = true;
        return DPO_OK;
    }
    if (strcmp(word, "--set") == 0) {
        DPO_TRY(need_value(word, *i, n_words));
        return set_assignment(command, call, words[++*i]);
    }
    for (int o = 0; o < N_OPTIONS; o++) {
        if (strcmp(word, option_table[o].name) != 0) continue;
        if (option_table[o].value == NULL)
            return set_key(command, call, word, option_table[o].path, "true");
        DPO_TRY(need_value(word, *i, n_words));
        return set_key(command, call, word, option_table[o].path, words[++*i]);
    }
    return unknown_option(command, word);
}

static dpo_status check_arguments(const dpo_command *command, const dpo_call *call)
{
    if (call->n_arguments >= command->min_arguments && call->n_arguments <= command->max_arguments)
        return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE, "mpidpo %s: %d words besides options, expected: mpidpo %s %s",
                    command->name, call->n_arguments, command->name, command->usage);
}

/* The file first, so that options win over it whatever their order. */
static dpo_status parse_words(const dpo_command *command, int n_words, char **words, dpo_call *call)
{
    int options_end = n_words;

    for (int i = 0; i < n_words; i++) {
        bool is_option = i < options_end && strncmp(words[i], "--", 2) == 0;

        if (is_option && words[i][2] == '\0')
            options_end = i;
        else if (is_option)
            DPO_TRY(parse_option(command, n_words, words, &i, call));
        else
            call->arguments[call->n_arguments++] = words[i];
    }
    return DPO_OK;
}

static dpo_status add_config_file(const dpo_command *command, int n_words, char **words,
                                  dpo_call *call)
{
    dpo_config *again;
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);

    if (!command->takes_config || call->n_arguments == 0) return DPO_OK;
    DPO_TRY(dpo_config_create(fields, n_fields, &again));
    dpo_config_destroy(&call->config);
    call->config = again;
    DPO_TRY(dpo_config_add_file(call->config, call->arguments[0]));
    call->n_arguments = 0;
    return parse_words(command, n_words, words, call);
}

dpo_status dpo_call_parse(const dpo_command *command, int n_words, char **words, dpo_call *call)
{
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);

    DPO_TRY(dpo_config_create(fields, n_fields, &call->config));
    DPO_TRY(DPO_NEW(call->arguments, n_words));
    DPO_TRY(parse_words(command, n_words, words, call));
    if (call->wants_help) return DPO_OK;
    DPO_TRY(check_arguments(command, call));
    DPO_TRY(add_config_file(command, n_words, words, call));
    DPO_TRY(dpo_config_fill(call->config, &call->run));
    return dpo_run_config_check(call->config, &call->run, command->keys);
}

void dpo_call_destroy(dpo_call *call)
{
    dpo_run_config_destroy(&call->run);
    dpo_config_destroy(&call->config);
    dpo_free(call->arguments);
    call->arguments = NULL;
}

static dpo_status command_help(const dpo_command *command, dpo_buffer *out)
{
    int n_fields;
    const dpo_field *fields = dpo_run_config_fields(&n_fields);

    DPO_TRY(dpo_buffer_printf(out, "mpidpo %s %s\n\n%s\n\nOptions:\n", command->name,
                              command->usage, command->summary));
    for (int o = 0; o < N_OPTIONS; o++) {
        for (int f = 0; f < n_fields; f++)
            if (strcmp(fields[f].path, option_table[o].path) == 0 &&
                (fields[f].flags & command->keys) != 0)
                DPO_TRY(dpo_buffer_printf(out, "  %-14s %-5s the key %s\n", option_table[o].name,
                                          option_table[o].value ? option_table[o].value : "",
                                          option_table[o].path));
    }
    if (command->keys != 0)
        DPO_TRY(dpo_buffer_append_text(
            out, "  --set PATH=VALUE     any key below; may be repeated; null takes a key back\n"));
    DPO_TRY(dpo_buffer_append_text(out, "  --quiet              warnings and errors only\n"
                                        "  --help               this text\n"));
    if (command->keys == 0) return DPO_OK;
    DPO_TRY(dpo_buffer_append_text(out, "\nConfiguration keys (type, unit, [default]):\n"));
    return dpo_config_help(fields, n_fields, command->keys, out);
}

static dpo_status program_help(dpo_buffer *out)
{
    DPO_TRY(dpo_buffer_append_text(
        out, "mpidpo - preference tuning of language models on CPU clusters\n\nUsage: mpirun -n "
             "RANKS mpidpo COMMAND ..., srun ... mpidpo COMMAND ..., or mpidpo COMMAND ...\n\n"
             "Commands:\n"));
    for (const dpo_command *c = dpo_commands; c->name != NULL; c++)
        DPO_TRY(
            dpo_buffer_printf(out, "  %-10s %s\n             %s\n", c->name, c->usage, c->summary));
    return dpo_buffer_append_text(out, "\nmpidpo COMMAND --help lists a command's options and "
                                       "configuration keys; mpidpo --version the version.\n");
}

dpo_status dpo_help_print(const dpo_command *command)
{
    dpo_buffer out = {0};
    dpo_status status = command != NULL ? command_help(command, &out) : program_help(&out);

    if (status == DPO_OK) (void)fputs(dpo_buffer_text(&out), stdout);
    dpo_buffer_destroy(&out);
    return status;
}
