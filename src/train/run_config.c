// SPDX-License-Identifier: Apache-2.0
#include "dpo/train/run_config.h"

#include <stdio.h>
#include <string.h>

#include "dpo/comm/buckets.h"
#include "run_config_optimizer.h"

static const char *const precisions[] = {"auto", "f32", "bf16", NULL}; /* dpo_precision_wish */
static const char *const truncations[] = {"keep_start", "keep_end", "drop", "error", NULL};
static const char *const empties[] = {"error", "drop", "keep", NULL};
static const char *const groups[] = {"none", "prompt", NULL};
/* Order of dpo_optimizer_table(). */
static const char *const optimizers[] = {"adamw", "lamb", "lars", "rmsprop",
                                         "sgd",   "lion", "muon", NULL};
static const char *const lr_scalings[] = {"none", "sqrt", "linear", NULL};
static const char *const lr_adjustments[] = {"match_rms_adamw", "original", NULL};
static const char *const decay_types[] = {"cosine", "linear", "1-sqrt", NULL};
static const char *const transports[] = {"auto", "shared", "messages", NULL};
static const char *const recomputes[] = {"auto", "none", "mlp", "attention", "layer", NULL};
static const char *const resumes[] = {"auto", "never", NULL};
static const char *const dtypes[] = {"f32", "bf16", "as_loaded", NULL};

enum {
    DATA = DPO_FOR_PREPARE | DPO_FOR_REFERENCE | DPO_FOR_TRAIN | DPO_FOR_EVALUATE,
    PASS = DPO_FOR_REFERENCE | DPO_FOR_TRAIN | DPO_FOR_EVALUATE,
    GENERATE = DPO_FOR_GENERATE | DPO_FOR_TRAIN,
    TRAIN = DPO_FOR_TRAIN,
    FREE = DPO_MAY_CHANGE
};

#define AT(member) offsetof(dpo_run_config, member)

/* path, type, offset, default, default in words, min, max, choices, unit, help, flags */
static const dpo_field fields[] = {
    {"model", DPO_FIELD_TEXT, AT(model), NULL, "required", 0, 0, NULL, NULL,
     "Hugging Face model folder (generate, evaluate: or a checkpoint)",
     DATA | DPO_FOR_GENERATE | DPO_FOR_EXPORT | DPO_FOR_BENCH},
    {"out", DPO_FIELD_TEXT, AT(out), NULL, "required", 0, 0, NULL, NULL,
     "folder for the files of the run", DATA | DPO_FOR_EXPORT | DPO_FOR_BENCH | FREE},
    {"seed", DPO_FIELD_INT, AT(seed), "42", NULL, 0, 0x1p53, NULL, NULL,
     "seed of shuffling and of sampled text", PASS | DPO_FOR_GENERATE},
    {"precision", DPO_FIELD_CHOICE, AT(precision), "\"auto\"", NULL, 0, 0, precisions, NULL,
     "operands of matrix products; auto takes bf16 where the CPU multiplies it",
     PASS | DPO_FOR_GENERATE},
    {"data.train", DPO_FIELD_JSON, AT(data.train), NULL, "required", 0, 0, NULL, NULL,
     "preference file, or a list of files or {path, limit, name}", DATA},
    {"data.eval", DPO_FIELD_JSON, AT(data.eval), NULL, "none", 0, 0, NULL, NULL,
     "held-out preferences, given as data.train", DATA},
    {"data.max_length", DPO_FIELD_INT, AT(data.max_length), "1024", NULL, 2, 1 << 24, NULL,
     "tokens", "longest prompt and response together", DATA},
    {"data.truncation", DPO_FIELD_CHOICE, AT(data.truncation), "\"keep_start\"", NULL, 0, 0,
     truncations, NULL, "what happens to a longer one", DATA},
    {"data.empty", DPO_FIELD_CHOICE, AT(data.empty), "\"error\"", NULL, 0, 0, empties, NULL,
     "what happens to an example with an empty response text", DATA},
    {"data.group", DPO_FIELD_CHOICE, AT(data.group), "\"none\"", NULL, 0, 0, groups, NULL,
     "prompt joins examples with the same prompt into one; their answers are computed once", DATA},
    {"data.chat_template", DPO_FIELD_TEXT, AT(data.chat_template), NULL, "the model's", 0, 0, NULL,
     NULL, "file with a chat template (Jinja)", DATA | DPO_FOR_GENERATE},
    {"data.shuffle", DPO_FIELD_BOOL, AT(data.shuffle), "true", NULL, 0, 0, NULL, NULL,
     "another order each epoch; false keeps the order of the file", PASS},
    {"objective.name", DPO_FIELD_TEXT, AT(objective.name), "\"sigmoid\"", NULL, 0, 0, NULL, NULL,
     "objective, by its name in TRL's loss_type", TRAIN | DPO_FOR_EVALUATE},
    {"objective.beta", DPO_FIELD_REAL, AT(objective.beta), "0.1", NULL, 1e-6, 1e6, NULL, "1/nat",
     "strength of the pull towards the reference", TRAIN | DPO_FOR_EVALUATE},
    {"objective.label_smoothing", DPO_FIELD_REAL, AT(objective.label_smoothing), "0", NULL, 0,
     0.499999, NULL, NULL, "probability that a label is flipped (conservative DPO)",
     TRAIN | DPO_FOR_EVALUATE},
    {"reference.model", DPO_FIELD_TEXT, AT(reference.model), NULL, "= model", 0, 0, NULL, NULL,
     "Hugging Face folder of the reference model", PASS},
    {"reference.cache", DPO_FIELD_TEXT, AT(reference.cache), NULL, "out/reference.h5", 0, 0, NULL,
     NULL, "file of reference log-probabilities, shared by runs that name it", PASS | FREE},
    {"batch.examples", DPO_FIELD_INT, AT(batch.examples), "64", NULL, 1, 1 << 30, NULL, "examples",
     "global batch: examples (with data.group, prompts) per optimizer step, all ranks together",
     PASS},
    {"batch.tokens", DPO_FIELD_INT, AT(batch.tokens), "0", "chosen", 0, 1 << 30, NULL, "tokens",
     "micro-batch of one rank; the numbers do not depend on it", PASS | DPO_FOR_BENCH | FREE},
    {"batch.share_prompts", DPO_FIELD_BOOL, AT(batch.share_prompts), "true", NULL, 0, 0, NULL, NULL,
     "compute once what texts of a micro-batch begin with alike (prompt, system message)",
     PASS | FREE},
    {"optimizer.name", DPO_FIELD_CHOICE, AT(optimizer.name), "\"adamw\"", NULL, 0, 0, optimizers,
     NULL, "optimizer; the keys below that it does not use are errors", TRAIN},
    {"optimizer.lr", DPO_FIELD_REAL, AT(optimizer.lr), "1e-6", NULL, 0, 1e3, NULL, NULL,
     "peak learning rate", TRAIN},
    {"optimizer.lr_scaling", DPO_FIELD_CHOICE, AT(optimizer.lr_scaling), "\"none\"", NULL, 0, 0,
     lr_scalings, NULL, "peak rate grows with batch.examples / lr_batch, or with its square root",
     TRAIN},
    {"optimizer.lr_batch", DPO_FIELD_INT, AT(optimizer.lr_batch), "0", "required with lr_scaling",
     0, 1 << 30, NULL, "examples", "batch for which lr was chosen", TRAIN},
    {"optimizer.clip", DPO_FIELD_REAL, AT(optimizer.clip), "1", NULL, 0, 1e30, NULL, NULL,
     "largest norm of the gradient; 0 switches clipping off", TRAIN},
    {"optimizer.ema", DPO_FIELD_REAL, AT(optimizer.ema), "0", NULL, 0, 0.9999999, NULL, NULL,
     "decay of an average of the weights, written to model-ema; 0 keeps none", TRAIN},
    {"optimizer.weight_decay", DPO_FIELD_REAL, AT(optimizer.weight_decay), "0", NULL, 0, 1e3, NULL,
     NULL, "weight decay of the matrices; rmsprop, sgd, lars: part of the gradient", TRAIN},
    {"optimizer.betas", DPO_FIELD_PAIR, AT(optimizer.betas), NULL, "[0.9, 0.999]; lion [0.9, 0.99]",
     0, 0.9999999, NULL, NULL, "decay of the first and second moment", TRAIN},
    {"optimizer.eps", DPO_FIELD_REAL, AT(optimizer.eps), NULL, "1e-8; lamb 1e-6", 1e-30, 1, NULL,
     NULL, "added to the root of the second moment", TRAIN},
    {"optimizer.momentum", DPO_FIELD_REAL, AT(optimizer.momentum), NULL,
     "0.9; rmsprop 0; muon 0.95", 0, 0.9999999, NULL, NULL, "lars, rmsprop, sgd, muon: momentum",
     TRAIN},
    {"optimizer.nesterov", DPO_FIELD_BOOL, AT(optimizer.nesterov), "false", "false; muon true", 0,
     0, NULL, NULL, "sgd, muon: look ahead along the momentum", TRAIN},
    {"optimizer.alpha", DPO_FIELD_REAL, AT(optimizer.alpha), NULL, "0.99", 0, 0.9999999, NULL, NULL,
     "rmsprop: decay of the mean square", TRAIN},
    {"optimizer.trust_coefficient", DPO_FIELD_REAL, AT(optimizer.trust_coefficient), NULL, "0.001",
     1e-30, 1e6, NULL, NULL, "lars: step of a tensor over its norm", TRAIN},
    {"optimizer.ns_steps", DPO_FIELD_INT, AT(optimizer.ns_steps), "5", NULL, 1, 100, NULL,
     "iterations", "muon: Newton-Schulz iterations that make a matrix orthogonal", TRAIN},
    {"optimizer.adjust_lr", DPO_FIELD_CHOICE, AT(optimizer.adjust_lr), "\"match_rms_adamw\"", NULL,
     0, 0, lr_adjustments, NULL,
     "muon: rate by a matrix's shape; match_rms_adamw fits a rate chosen for adamw", TRAIN},
    {"optimizer.matrix_lr", DPO_FIELD_REAL, AT(optimizer.matrix_lr), NULL, "= lr", 0, 1e3, NULL,
     NULL, "muon: peak learning rate of the layers' matrices; lr is that of all else", TRAIN},
    {"schedule.name", DPO_FIELD_TEXT, AT(schedule.name), "\"linear\"", NULL, 0, 0, NULL, NULL,
     "course of the learning rate after warm-up: constant, linear, cosine, inverse_sqrt, "
     "polynomial, warmup_stable_decay",
     TRAIN},
    {"schedule.warmup", DPO_FIELD_REAL, AT(schedule.warmup), "0.1", NULL, 0, 1e12, NULL,
     "steps or fraction", "linear warm-up: whole steps, or below 1 a fraction of all steps", TRAIN},
    {"schedule.min_lr", DPO_FIELD_REAL, AT(schedule.min_lr), "0", NULL, 0, 1e3, NULL, NULL,
     "cosine, polynomial, warmup_stable_decay: learning rate at the end", TRAIN},
    {"schedule.power", DPO_FIELD_REAL, AT(schedule.power), "1", NULL, 1e-6, 1e6, NULL, NULL,
     "polynomial: power of what is left", TRAIN},
    {"schedule.decay", DPO_FIELD_REAL, AT(schedule.decay), "0.1", NULL, 0, 1e12, NULL,
     "steps or fraction", "warmup_stable_decay: length of the decay at the end, as warmup", TRAIN},
    {"schedule.decay_type", DPO_FIELD_CHOICE, AT(schedule.decay_type), "\"cosine\"", NULL, 0, 0,
     decay_types, NULL, "warmup_stable_decay: its shape", TRAIN},
    {"schedule.timescale", DPO_FIELD_INT, AT(schedule.timescale), "0",
     "the warm-up; 10000 without one", 0, 1 << 30, NULL, "steps",
     "inverse_sqrt: steps in which the rate falls by the root of 2", TRAIN},
    {"train.epochs", DPO_FIELD_INT, AT(train.epochs), "1", NULL, 1, 1 << 30, NULL, "epochs",
     "passes over the data", TRAIN},
    {"train.steps", DPO_FIELD_INT, AT(train.steps), "0", "by epochs", 0, 1 << 30, NULL, "steps",
     "optimizer steps in all", TRAIN},
    {"parallel.tensor", DPO_FIELD_INT, AT(parallel.tensor), "1", NULL, 1, 1024, NULL, "ranks",
     "ranks that share one copy of the model; the others share the batch",
     PASS | DPO_FOR_GENERATE | FREE},
    {"parallel.reproducible", DPO_FIELD_BOOL, AT(parallel.reproducible), "false", NULL, 0, 0, NULL,
     NULL, "the same bits for 1, 2, 4, ... data-parallel ranks; costs memory and time", PASS},
    {"parallel.shards", DPO_FIELD_INT, AT(parallel.shards), "8", NULL, 1, 1 << 16, NULL, "shards",
     "of a reproducible run's global batch: a power of two, the most data-parallel ranks", PASS},
    {"parallel.transport", DPO_FIELD_CHOICE, AT(parallel.transport), "\"auto\"", NULL, 0, 0,
     transports, NULL, "how ranks of a node exchange numbers; auto takes the faster one",
     PASS | DPO_FOR_GENERATE | FREE},
    {"parallel.bucket_bytes", DPO_FIELD_INT, AT(parallel.bucket_bytes), "0", "1 MiB or more", 0,
     DPO_BUCKET_MAX_BYTES, NULL, "bytes", "of the gradient that go out together", TRAIN | FREE},
    {"parallel.bf16_messages", DPO_FIELD_BOOL, AT(parallel.bf16_messages), "false", NULL, 0, 0,
     NULL, NULL, "addends of the gradient go from node to node as bf16; sums are f32", TRAIN},
    {"memory.limit", DPO_FIELD_REAL, AT(memory.limit_gib), "0",
     "a rank's part of what the node has", 0, 1e9, NULL, "GiB",
     "memory of a rank; micro-batches and recomputation are chosen to fit", PASS | FREE},
    {"memory.recompute", DPO_FIELD_CHOICE, AT(memory.recompute), "\"auto\"", NULL, 0, 0, recomputes,
     NULL, "activations that are computed again instead of kept; the bits are the same",
     TRAIN | FREE},
    {"memory.activations", DPO_FIELD_CHOICE, AT(memory.activations), "\"auto\"", NULL, 0, 0,
     precisions, NULL, "how layers keep their activations; auto: as precision computes", PASS},
    {"checkpoint.every", DPO_FIELD_INT, AT(checkpoint.every), "0", "at the end", 0, 1 << 30, NULL,
     "steps", "steps between checkpoints", TRAIN | FREE},
    {"checkpoint.keep", DPO_FIELD_INT, AT(checkpoint.keep), "2", NULL, 0, 1 << 30, NULL, "files",
     "newest checkpoints that stay; 0 keeps all", TRAIN | FREE},
    {"checkpoint.resume", DPO_FIELD_CHOICE, AT(checkpoint.resume), "\"auto\"", NULL, 0, 0, resumes,
     NULL, "continue from the newest checkpoint in the folder", TRAIN | FREE},
    {"evaluate.every", DPO_FIELD_INT, AT(evaluate.every), "0", "at the end", 0, 1 << 30, NULL,
     "steps", "steps between evaluations on data.eval", TRAIN | FREE},
    {"evaluate.at_start", DPO_FIELD_BOOL, AT(evaluate.at_start), "false", NULL, 0, 0, NULL, NULL,
     "evaluate before the first step too", TRAIN | FREE},
    {"evaluate.prompts", DPO_FIELD_JSON, AT(evaluate.prompts), NULL, "none", 0, 0, NULL, NULL,
     "list of texts that the model continues at each evaluation", TRAIN | FREE},
    {"log.every", DPO_FIELD_INT, AT(log.every), "1", NULL, 1, 1 << 30, NULL, "steps",
     "steps between lines of the job log", TRAIN | FREE},
    {"log.mfu", DPO_FIELD_BOOL, AT(log.mfu), "true", NULL, 0, 0, NULL, NULL,
     "measure the matmul peak at start (0.3 s) and report each step against it", TRAIN | FREE},
    {"generate.max_tokens", DPO_FIELD_INT, AT(generate.max_tokens), "256", NULL, 1, 1 << 24, NULL,
     "tokens", "most new tokens of a text", GENERATE | FREE},
    {"generate.temperature", DPO_FIELD_REAL, AT(generate.temperature), "0", NULL, 0, 100, NULL,
     NULL, "0 takes the likeliest token, above 0 samples", GENERATE | FREE},
    {"generate.top_k", DPO_FIELD_INT, AT(generate.top_k), "0", NULL, 0, 1 << 30, NULL, "tokens",
     "sample among the likeliest only; 0 switches it off", GENERATE | FREE},
    {"generate.top_p", DPO_FIELD_REAL, AT(generate.top_p), "1", NULL, 1e-6, 1, NULL, NULL,
     "sample among the likeliest with this probability together", GENERATE | FREE},
    {"generate.chat", DPO_FIELD_BOOL, AT(generate.chat), "false", NULL, 0, 0, NULL, NULL,
     "a prompt is a user's message and goes through the chat template", GENERATE | FREE},
    {"export.dtype", DPO_FIELD_CHOICE, AT(export_.dtype), "\"f32\"", NULL, 0, 0, dtypes, NULL,
     "number format of the written weights; f32 loses nothing of small updates",
     DPO_FOR_EXPORT | TRAIN | FREE},
};

enum { N_FIELDS = sizeof fields / sizeof fields[0] };

const dpo_field *dpo_run_config_fields(int *n_fields)
{
    *n_fields = N_FIELDS;
    return fields;
}

/* Options of decoding that greedy decoding would ignore. */
static dpo_status check_sampling(const dpo_config *config, const dpo_run_config *run)
{
    if (run->generate.temperature > 0.0) return DPO_OK;
    if (dpo_config_is_given(config, "generate.top_k") && run->generate.top_k != 0)
        return DPO_FAIL(DPO_EUSAGE, "generate.top_k: has no effect at generate.temperature 0; set "
                                    "a temperature above 0 or leave it out");
    if (dpo_config_is_given(config, "generate.top_p") && run->generate.top_p < 1.0)
        return DPO_FAIL(DPO_EUSAGE, "generate.top_p: has no effect at generate.temperature 0; set "
                                    "a temperature above 0 or leave it out");
    return DPO_OK;
}

/* Parameters that the objective would ignore, and values it does not take. */
static dpo_status check_objective(const dpo_config *config, const dpo_run_config *run)
{
    const dpo_objective *objective;
    dpo_objective_params params = dpo_run_config_objective(run);
    uint32_t given = 0;
    int n;
    const dpo_objective_parameter *table = dpo_objective_parameter_table(&n);

    DPO_TRY(dpo_objective_find(run->objective.name, &objective));
    for (int i = 0; i < n; i++) {
        char path[64];

        (void)snprintf(path, sizeof path, "objective.%s", table[i].key);
        if (dpo_config_is_given(config, path)) given |= table[i].bit;
    }
    return dpo_objective_check(objective, &params, given);
}

static dpo_status check_parallel(const dpo_config *config, const dpo_run_config *run)
{
    if (run->parallel.reproducible || !dpo_config_is_given(config, "parallel.shards"))
        return DPO_OK;
    return DPO_FAIL(DPO_EUSAGE, "parallel.shards: has no effect without parallel.reproducible; set "
                                "that to true, or leave it out");
}

static dpo_status check_evaluation(const dpo_config *config, const dpo_run_config *run)
{
    bool has_data = run->data.eval != NULL || run->evaluate.prompts != NULL;

    if (!has_data && (dpo_config_is_given(config, "evaluate.every") || run->evaluate.at_start))
        return DPO_FAIL(DPO_EUSAGE, "evaluate: asked for, but there is nothing to evaluate on; "
                                    "give data.eval or evaluate.prompts");
    for (const dpo_json *p = dpo_json_first(run->evaluate.prompts); p != NULL; p = dpo_json_next(p))
        if (dpo_json_type_of(p) != DPO_JSON_TEXT)
            return DPO_FAIL(DPO_EUSAGE, "evaluate.prompts: holds %s, expected a list of texts",
                            dpo_json_type_name(dpo_json_type_of(p)));
    if (run->evaluate.prompts != NULL && dpo_json_type_of(run->evaluate.prompts) != DPO_JSON_ARRAY)
        return DPO_FAIL(DPO_EUSAGE, "evaluate.prompts: is %s, expected a list of texts",
                        dpo_json_type_name(dpo_json_type_of(run->evaluate.prompts)));
    return DPO_OK;
}

/* The text settings of a training run are for evaluate.prompts alone. */
static dpo_status check_generation(const dpo_config *config, const dpo_run_config *run)
{
    if (run->evaluate.prompts != NULL) return DPO_OK;
    for (int i = 0; i < N_FIELDS; i++)
        if (strncmp(fields[i].path, "generate.", 9) == 0 &&
            dpo_config_is_given(config, fields[i].path))
            return DPO_FAIL(
                DPO_EUSAGE,
                "%s: has no effect without evaluate.prompts; give some, or leave it out",
                fields[i].path);
    return DPO_OK;
}

dpo_status dpo_run_config_check(const dpo_config *config, dpo_run_config *run, unsigned command)
{
    if (run->train.steps > 0 && dpo_config_is_given(config, "train.epochs"))
        return DPO_FAIL(DPO_EUSAGE,
                        "train.steps and train.epochs: both given; the length of the run is one of "
                        "them, remove the other (--set train.epochs=null takes back a file's)");
    DPO_TRY(check_objective(config, run));
    DPO_TRY(check_parallel(config, run));
    DPO_TRY(dpo_run_config_complete_optimizer(config, run));
    DPO_TRY(dpo_run_config_check_schedule(config, run));
    if (command == DPO_FOR_TRAIN) DPO_TRY(check_generation(config, run));
    DPO_TRY(check_evaluation(config, run));
    return check_sampling(config, run);
}

dpo_objective_params dpo_run_config_objective(const dpo_run_config *run)
{
    return (dpo_objective_params){.beta = run->objective.beta,
                                  .label_smoothing = run->objective.label_smoothing};
}

void dpo_run_config_destroy(dpo_run_config *run)
{
    dpo_config_values_destroy(fields, N_FIELDS, run);
}

static const dpo_json *value_at(const dpo_json *root, const char *path)
{
    const char *dot = strchr(path, '.');
    char group[64];

    if (dot == NULL) return dpo_json_find(root, path);
    (void)snprintf(group, sizeof group, "%.*s", (int)(dot - path), path);
    return dpo_json_find(dpo_json_find(root, group), dot + 1);
}

static bool same_value(const dpo_json *a, const dpo_json *b)
{
    dpo_buffer text_a = {0};
    dpo_buffer text_b = {0};
    bool same = a != NULL && b != NULL && dpo_json_print(a, false, &text_a) == DPO_OK &&
                dpo_json_print(b, false, &text_b) == DPO_OK &&
                strcmp(dpo_buffer_text(&text_a), dpo_buffer_text(&text_b)) == 0;

    dpo_buffer_destroy(&text_a);
    dpo_buffer_destroy(&text_b);
    return same;
}

const char *dpo_run_config_difference(const dpo_json *before, const dpo_json *now)
{
    for (int i = 0; i < N_FIELDS; i++) {
        if (fields[i].flags & DPO_MAY_CHANGE) continue;
        if (!same_value(value_at(before, fields[i].path), value_at(now, fields[i].path)))
            return fields[i].path;
    }
    return NULL;
}
