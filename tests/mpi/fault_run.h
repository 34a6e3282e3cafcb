// SPDX-License-Identifier: Apache-2.0
#ifndef FAULT_RUN_H
#define FAULT_RUN_H

#include <signal.h>
#include <unistd.h>

#include "dpo/base/log.h"
#include "dpo/train/trainer.h"
#include "train_run.h"

/* Seconds after which a run hangs. */
enum { WATCHDOG_S = 60 };

static char watchdog_text[256];

static inline void end_hanging_run(int signal_number)
{
    (void)signal_number;
    (void)!write(STDERR_FILENO, watchdog_text, strlen(watchdog_text));
    _exit(1);
}

/* Ends the process, and with it the job, if what is told about does not end. */
static inline void watch(const char *what, int64_t number, int rank)
{
    (void)snprintf(watchdog_text, sizeof watchdog_text, "hangs: %s %lld fails on rank %d\n", what,
                   (long long)number, rank);
    (void)signal(SIGALRM, end_hanging_run);
    (void)alarm(WATCHDOG_S);
}

/* All ranks came back with one status and, if it is a failure, with one message. */
static inline int all_alike(dpo_status status)
{
    dpo_error first = *dpo_last_error();

    dpo_broadcast(test_grid, DPO_WORLD, 0, sizeof first, &first);
    int64_t n_failed = status != DPO_OK;

    dpo_sum_i64(test_grid, DPO_WORLD, 1, &n_failed);
    if (n_failed == 0) return 1;
    return all_true(n_failed == dpo_grid_size(test_grid, DPO_WORLD) && status == first.status &&
                    dpo_last_error()->status == status && dpo_last_error()->rank == first.rank &&
                    strcmp(dpo_last_error()->text, first.text) == 0);
}

/* What a complete run has: two steps, evaluations with texts, checkpoints, an average, both models. */
#define FAULT_RUN_KEYS                                                                           \
    "{\"data\": {\"train\": [{\"path\": \"" DPO_TEST_DATA                                        \
    "/preferences/answers.jsonl\", \"limit\": 8}], \"eval\": [{\"path\": \"" DPO_TEST_DATA       \
    "/preferences/answers.jsonl\", \"limit\": 4}], \"max_length\": 64, \"group\": \"prompt\"}, " \
    "\"batch\": {\"examples\": 2, \"tokens\": 400}, \"train\": {\"steps\": 2}, "                 \
    "\"optimizer\": {\"ema\": 0.9}, \"checkpoint\": {\"every\": 1, \"keep\": 1}, "               \
    "\"evaluate\": {\"every\": 1, \"prompts\": [\"Once upon\", \"One day\", \"a\"]}, "           \
    "\"generate\": {\"max_tokens\": 3}, \"log\": {\"mfu\": false}}"

/* More keys for a grid by its tensor width, so that the ways through the program differ. */
static inline const char *keys_of_grid(const dpo_grid *grid)
{
    int tensor_size = dpo_grid_size(grid, DPO_TENSOR);

    if (tensor_size == 1) return "{\"parallel\": {\"reproducible\": true}}";
    if (tensor_size == 2)
        return "{\"optimizer\": {\"name\": \"muon\"}, \"parallel\": {\"tensor\": 2}}";
    return "{\"optimizer\": {\"name\": \"lamb\"}, \"parallel\": {\"tensor\": 4, \"transport\": "
           "\"messages\"}}";
}

/* A way to let one rank fail; count says how many chances there have been so far. */
typedef struct {
    const char *name;
    void (*arm)(int64_t number, int rank);
    int64_t (*count)(void);
    bool must_fail; /* a run that had the chance may not succeed */
} fault_kind;

/* Runs that ended otherwise than they should. */
static int64_t n_wrong_runs;

/* Whether a folder holds no file under a temporary name, as rank 0 sees it. */
static inline int nothing_half_written(const char *out)
{
    char command[256];
    int status = 0;

    (void)snprintf(command, sizeof command, "! find %s -name '*.tmp-*' | grep . >&2", out);
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) status = system(command);
    return all_true(status == 0);
}

/* A run under way that a fault is to hit, and what is to be said if it does not end as it should. */
typedef struct {
    const char *fault;
    int64_t number;
    int rank;
} fault_place;

static inline dpo_status train_watched(const dpo_grid *grid, const dpo_run_config *run,
                                       const fault_place *place)
{
    watch(place->fault, place->number, place->rank);
    dpo_status status = dpo_train(grid, run);

    (void)alarm(0);
    return status;
}

/* Notes a run that did not end alike on all ranks, left memory or a temporary file, or is wrong otherwise. */
static inline void note_run(const fault_place *place, dpo_status status, int64_t n_blocks_left,
                            const char *out, bool is_wrong)
{
    int is_alike = all_alike(status);
    int is_free = all_true(n_blocks_left == 0);

    if (is_alike && is_free && nothing_half_written(out) && all_true(!is_wrong)) return;
    n_wrong_runs++;
    print_error("%s %lld on rank %d: status %d, %s, %s, message: %s\n", place->fault,
                (long long)place->number, place->rank, (int)status,
                is_alike ? "alike" : "NOT ALIKE", is_free ? "no memory left" : "MEMORY LEFT",
                dpo_last_error()->text);
}

/* Leaves a run without its last checkpoint: data, reference, models and the first checkpoint are there. */
static inline void make_interrupted_run(const dpo_grid *grid, const char *out)
{
    const fault_place place = {"no fault", 0, 0};
    dpo_run_config run;
    char path[128];

    configure(FAULT_RUN_KEYS, keys_of_grid(grid), "unused", out, &run);
    run.checkpoint.keep = 2;
    ASSERT_OK(train_watched(grid, &run, &place));
    dpo_run_config_destroy(&run);
    (void)snprintf(path, sizeof path, "%s/checkpoints/step-00000002.h5", out);
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) assert_int_equal(unlink(path), 0);
    dpo_barrier(test_grid, DPO_WORLD);
}

static inline void copy_run(const char *from, const char *to)
{
    char command[160];

    (void)snprintf(command, sizeof command, "cp -r %s/. %s", from, to);
    if (dpo_grid_rank(test_grid, DPO_WORLD) == 0) assert_int_equal(system(command), 0);
    dpo_barrier(test_grid, DPO_WORLD);
}

/* Trains with one fault on one rank; returns how many chances for it that rank had. */
static inline int64_t train_with_fault(const dpo_grid *grid, const char *out,
                                       const fault_kind *kind, int64_t number, int rank)
{
    const fault_place place = {kind->name, number, rank};
    dpo_run_config run;

    configure(FAULT_RUN_KEYS, keys_of_grid(grid), "unused", out, &run);
    int64_t n_blocks = dpo_memory_outstanding();
    int64_t n_before = kind->count();

    kind->arm(number, rank);
    dpo_status status = train_watched(grid, &run, &place);

    kind->arm(0, rank);
    int64_t n_chances = kind->count() - n_before;

    dpo_broadcast(test_grid, DPO_WORLD, rank, sizeof n_chances, &n_chances);
    note_run(&place, status, dpo_memory_outstanding() - n_blocks, out,
             status == DPO_OK && kind->must_fail && n_chances >= number);
    dpo_run_config_destroy(&run);
    return n_chances;
}

/*
 * Number `first` of the chances fails, then every `stride`-th, on the ranks in turn, to the end of the run; which
 * begins in a copy of a folder, or in an empty one if that is NULL.
 */
static inline void train_with_every_fault(const dpo_grid *grid, const fault_kind *kind,
                                          const char *from, int64_t first, int64_t stride)
{
    int64_t n_chances = first;
    int rank = 0;
    char out[64];

    for (int64_t number = first; n_chances >= number - stride - 1; number += stride) {
        rank = (rank + 1) % dpo_grid_size(grid, DPO_WORLD);
        make_scratch(out);
        if (from != NULL) copy_run(from, out);
        n_chances = train_with_fault(grid, out, kind, number, rank);
        remove_scratch(out);
    }
}

/* The same for a run that an earlier one left unfinished. */
static inline void continue_with_every_fault(const dpo_grid *grid, const fault_kind *kind,
                                             int64_t first, int64_t stride)
{
    char from[64];

    make_scratch(from);
    make_interrupted_run(grid, from);
    train_with_every_fault(grid, kind, from, first, stride);
    remove_scratch(from);
}

#endif
