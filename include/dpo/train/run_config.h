// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_TRAIN_RUN_CONFIG_H
#define DPO_TRAIN_RUN_CONFIG_H

/**
 * \file
 * The configuration of a run: every key that a configuration file or `--set` may name.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/config.h"
#include "dpo/base/status.h"
#include "dpo/loss/objective.h"
#include "dpo/optim/optimizer.h"
#include "dpo/optim/schedule.h"

/** The commands that read a key, and what a continued run may change; bits of dpo_field.flags. */
enum {
    DPO_FOR_PREPARE = 1,
    DPO_FOR_REFERENCE = 2,
    DPO_FOR_TRAIN = 4,
    DPO_FOR_EVALUATE = 8,
    DPO_FOR_GENERATE = 16,
    DPO_FOR_EXPORT = 32,
    DPO_FOR_BENCH = 64,
    DPO_MAY_CHANGE = 256 /**< may differ between a run and its continuation */
};

/** Whether a run continues from the newest checkpoint in its folder; order of the names in the table. */
typedef enum { DPO_RESUME_AUTO, DPO_RESUME_NEVER } dpo_resume;

/** How the peak rate follows the batch; order of the names in the table. */
typedef enum { DPO_LR_AS_GIVEN, DPO_LR_SQRT, DPO_LR_LINEAR } dpo_lr_scaling;

/** What is wanted of a number format (train/precision.h). */
typedef enum { DPO_PRECISION_AUTO, DPO_PRECISION_F32, DPO_PRECISION_BF16 } dpo_precision_wish;

/** All keys, by group. Texts and JSON values are owned. */
typedef struct {
    char *model;   /**< model folder, or checkpoint where a command takes one */
    char *out;     /**< folder of the run's files */
    int64_t seed;  /**< of shuffling and sampling */
    int precision; /**< dpo_precision_wish */
    /** The group "data". */
    struct {
        dpo_json *train;     /**< source or list of sources */
        dpo_json *eval;      /**< the same, may be NULL */
        int64_t max_length;  /**< tokens of prompt and response together */
        int truncation;      /**< dpo_truncation of data/prepare.h */
        int empty;           /**< dpo_empty of data/prepare.h */
        int group;           /**< dpo_group of data/prepare.h */
        char *chat_template; /**< file with a template; NULL: the model's */
        bool shuffle;        /**< each epoch in another order */
    } data;
    /** The group "objective". */
    struct {
        char *name;             /**< row of the table of objectives */
        double beta;            /**< 1/nat */
        double label_smoothing; /**< [0, 0.5) */
    } objective;
    /** The group "reference". */
    struct {
        char *model; /**< NULL: model */
        char *cache; /**< NULL: out/reference.h5 */
    } reference;
    /** The group "batch". */
    struct {
        int64_t examples;   /**< per optimizer step, all ranks together */
        int64_t tokens;     /**< per micro-batch and rank; 0: chosen by the program */
        bool share_prompts; /**< compute once what texts begin with alike */
    } batch;
    /** The group "optimizer". */
    struct {
        int name;                 /**< row of the table of methods */
        double lr;                /**< peak learning rate */
        int lr_scaling;           /**< dpo_lr_scaling */
        int64_t lr_batch;         /**< examples at which lr was tuned; 0: not given */
        double clip;              /**< largest gradient norm; 0: off */
        double ema;               /**< decay of the average of the weights; 0: off */
        double weight_decay;      /**< of the matrices */
        double betas[2];          /**< here and below: NaN where the method does not use it */
        double eps;               /**< added to a root */
        double momentum;          /**< decay of the momentum */
        bool nesterov;            /**< look ahead along the momentum */
        double alpha;             /**< decay of RMSprop's mean square */
        double trust_coefficient; /**< of LARS */
        int64_t ns_steps;         /**< iterations of Muon */
        int adjust_lr;            /**< dpo_adjust_lr of optim/optimizer.h */
        double matrix_lr;         /**< peak learning rate of Muon's matrices */
    } optimizer;
    /** The group "schedule". */
    struct {
        char *name;        /**< row of the table of schedules */
        double warmup;     /**< steps, or a fraction of the steps below 1 */
        double min_lr;     /**< rate at the end */
        double power;      /**< of polynomial */
        double decay;      /**< steps of the decay at the end, or a fraction below 1 */
        int decay_type;    /**< dpo_decay_type of optim/schedule.h */
        int64_t timescale; /**< steps, of inverse_sqrt; 0: the warm-up */
    } schedule;
    /** The group "train". */
    struct {
        int64_t epochs; /**< passes over the data */
        int64_t steps;  /**< optimizer steps; 0: as epochs say */
    } train;
    /** The group "parallel". */
    struct {
        int64_t tensor;       /**< ranks that share one copy of the model */
        int transport;        /**< dpo_transport_kind of comm/transport.h */
        int64_t bucket_bytes; /**< of the gradient that travel together; 0: chosen by the program */
        bool bf16_messages;   /**< round the addends of gradients in messages between nodes */
        bool reproducible;    /**< the same bits for every number of data-parallel ranks */
        int64_t shards;       /**< of the global batch then */
    } parallel;
    /** The group "memory". */
    struct {
        double limit_gib; /**< of a rank; 0: what its node has, divided by the ranks of it */
        int recompute;    /**< 0: as much as is needed; else dpo_recompute of model/model.h + 1 */
        int activations;  /**< dpo_precision_wish; auto: as the computation */
    } memory;
    /** The group "checkpoint". */
    struct {
        int64_t every; /**< steps; 0: only at the end */
        int64_t keep;  /**< newest checkpoints that stay; 0: all */
        int resume;    /**< dpo_resume */
    } checkpoint;
    /** The group "evaluate". */
    struct {
        int64_t every;     /**< steps; 0: only at the end */
        bool at_start;     /**< before the first step */
        dpo_json *prompts; /**< texts to continue at each evaluation, may be NULL */
    } evaluate;
    /** The group "log". */
    struct {
        int64_t every; /**< steps between lines */
        bool mfu;      /**< measure the matmul peak at start, and report each step against it */
    } log;
    /** The group "generate". */
    struct {
        int64_t max_tokens; /**< new tokens */
        double temperature; /**< 0: greedy */
        int64_t top_k;      /**< 0: off */
        double top_p;       /**< 1: off */
        bool chat;          /**< prompts are user messages */
    } generate;
    /** The group "export". */
    struct {
        int dtype; /**< f32, bf16 or as_loaded */
    } export_;
} dpo_run_config;

/** The table of keys. \local */
const dpo_field *dpo_run_config_fields(int *n_fields);

/**
 * Checks what no single row can: keys that contradict each other or that the chosen parts do not use; and
 * completes the numbers whose default is the optimizer's.
 *
 * \local
 * \param[in]     config   What was given.
 * \param[in,out] run      The filled struct.
 * \param[in]     command  DPO_FOR_... of the command that runs.
 * \errors{DPO_EUSAGE naming the keys}
 */
DPO_MUST_CHECK dpo_status dpo_run_config_check(const dpo_config *config, dpo_run_config *run,
                                               unsigned command);

/** The objective's parameters. \local */
dpo_objective_params dpo_run_config_objective(const dpo_run_config *run);

/** The peak learning rate: optimizer.lr, scaled with the batch as optimizer.lr_scaling says. \local */
double dpo_run_config_peak_lr(const dpo_run_config *run);

/** The optimizer's numbers. \local */
dpo_optimizer_options dpo_run_config_optimizer(const dpo_run_config *run);

/** The numbers of the schedule of a run of n_steps steps. \local */
dpo_schedule_options dpo_run_config_schedule(const dpo_run_config *run, int64_t n_steps);

/** Frees what a filled struct owns. \local */
void dpo_run_config_destroy(dpo_run_config *run);

/**
 * The first key in which two resolved configurations differ though a continued run may not change it.
 *
 * \local
 * \param[in] before  Resolved configuration of the run that is continued.
 * \param[in] now     Resolved configuration now.
 * \return Path of the key, valid for ever; NULL if a continuation is allowed.
 */
const char *dpo_run_config_difference(const dpo_json *before, const dpo_json *now);

#endif
