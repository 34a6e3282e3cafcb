// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_OPTIM_OPTIMIZER_H
#define DPO_OPTIM_OPTIMIZER_H

/**
 * \file
 * The optimizers: how a gradient changes weights. A method is a row of a constant table.
 *
 * Who holds what: weights and gradients are flat vectors; this rank updates the items of its shard and
 * holds their state, packed (base/shard.h). Methods that look at items one by one (adamw, rmsprop,
 * sgd, lion) need no other rank. LAMB and LARS need norms of whole tensors: exact sums over all
 * ranks. Muon needs whole matrices: they are dealt to the ranks, gathered there, made orthogonal and
 * sent back. In each case the bits are those of one rank that holds everything.
 *
 * The way in for another method: a file with its run function and a row in src/optim/optimizer.c; a
 * number of its own is a member of dpo_optimizer_options, a bit, and a key in train/run_config.c.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpo/base/shard.h"
#include "dpo/base/status.h"
#include "dpo/comm/grid.h"
#include "dpo/model/parameters.h"

/** How Muon's rate follows a matrix's shape [rows, columns]; names as in torch.optim.Muon. */
typedef enum {
    DPO_MATCH_RMS_ADAMW, /**< 0.2 sqrt(max(rows, columns)): a rate tuned for AdamW fits */
    DPO_MATCH_ORIGINAL   /**< sqrt(max(1, rows / columns)) */
} dpo_adjust_lr;

/** Numbers of all methods; each uses those of its row's set. */
typedef struct {
    double betas[2];          /**< [0, 1) decay of the first and second moment */
    double eps;               /**< > 0, added to a root */
    double weight_decay;      /**< >= 0; of tensors whose row `decays` */
    double momentum;          /**< [0, 1) */
    bool nesterov;            /**< look ahead along the momentum */
    double alpha;             /**< [0, 1) decay of RMSprop's mean square */
    double trust_coefficient; /**< > 0, LARS */
    int64_t ns_steps;         /**< > 0, Newton-Schulz iterations of Muon */
    int adjust_lr;            /**< dpo_adjust_lr, Muon */
    double matrix_rate;       /**< Muon: rate of matrices over that of other tensors, >= 0 */
} dpo_optimizer_options;

/** Bits of sets of options. */
enum {
    DPO_OPTIMIZER_BETAS = 1 << 0,
    DPO_OPTIMIZER_EPS = 1 << 1,
    DPO_OPTIMIZER_MOMENTUM = 1 << 2,
    DPO_OPTIMIZER_NESTEROV = 1 << 3,
    DPO_OPTIMIZER_ALPHA = 1 << 4,
    DPO_OPTIMIZER_TRUST = 1 << 5,
    DPO_OPTIMIZER_MATRICES = 1 << 6 /**< ns_steps, adjust_lr, matrix_rate */
};

enum { DPO_OPTIMIZER_MAX_STATES = 2 };

/** An optimizer; opaque. */
typedef struct dpo_optimizer dpo_optimizer;

/** What one update is made of. */
typedef struct {
    double lr;              /**< >= 0 */
    double gradient_scale;  /**< factor of the gradient: dpo_clip_coefficient() */
    const float *gradients; /**< f32 [n_elements] flat */
    float *weights;         /**< f32 [n_elements] flat */
} dpo_optimizer_update;

/** Makes one update of the shard's items; n_updates has been counted up. */
typedef void dpo_optimizer_run_function(dpo_optimizer *optimizer,
                                        const dpo_optimizer_update *update);

/** Plans what a method needs beyond its states. \errors{DPO_ENOMEM, agreed on by all ranks} */
typedef dpo_status dpo_optimizer_plan_function(dpo_optimizer *optimizer);

/** A row of the table of methods. */
typedef struct {
    const char *name;                            /**< in the configuration */
    uint32_t uses;                               /**< set of DPO_OPTIMIZER_... */
    dpo_optimizer_options initial;               /**< what it takes where nothing is given */
    const char *state[DPO_OPTIMIZER_MAX_STATES]; /**< names; NULL: no such state */
    int momentum_state;                /**< the state that exists only if momentum > 0; -1: none */
    dpo_optimizer_run_function *run;   /**< use dpo_optimizer_run() */
    dpo_optimizer_plan_function *plan; /**< NULL: nothing */
    const char *help;                  /**< one line, with its source */
} dpo_optimizer_method;

/** The table of methods. \local \return [*n] rows, valid for ever. */
const dpo_optimizer_method *dpo_optimizer_table(int *n);

/**
 * Makes an optimizer before its first update; its states are zero.
 *
 * \collective{all ranks of the grid}
 * \param[in]  grid        Borrowed.
 * \param[in]  method      A row of the table.
 * \param[in]  options     In their ranges; copied.
 * \param[in]  parameters  The tensors of the flat vector; borrowed.
 * \param[in]  shard       This rank's part; the shards of the ranks of DPO_DATA cover the flat vector
 *                         once; borrowed.
 * \param[out] optimizer   Owned by the caller; NULL on error.
 * \errors{DPO_ENOMEM}
 */
DPO_MUST_CHECK dpo_status dpo_optimizer_create(const dpo_grid *grid,
                                               const dpo_optimizer_method *method,
                                               const dpo_optimizer_options *options,
                                               const dpo_parameters *parameters,
                                               const dpo_shard *shard, dpo_optimizer **optimizer);

/** Destroys an optimizer and sets the pointer to NULL; NULL is left alone. \local */
void dpo_optimizer_destroy(dpo_optimizer **optimizer);

/**
 * Makes one update. Cannot fail and allocates nothing.
 *
 * \collective{all ranks of the grid}
 * \param[in,out] optimizer  Its number of updates counts up.
 * \param[in]     update     The same rate and scale on every rank. Gradients and weights of the shard are
 *                           read, only weights of the shard are changed.
 */
void dpo_optimizer_run(dpo_optimizer *optimizer, const dpo_optimizer_update *update);

/** Number of states that a method keeps for an item: 0, 1 or 2; Muon's second one for some only. \local */
int dpo_optimizer_count_states(const dpo_optimizer_method *method,
                               const dpo_optimizer_options *options);

/** The same of an optimizer. \local */
int dpo_optimizer_n_states(const dpo_optimizer *optimizer);

/** Name of a state, such as "m"; valid for ever. \local */
const char *dpo_optimizer_state_name(const dpo_optimizer *optimizer, int state);

/**
 * Whether a tensor has a state: Muon keeps no second moment of the matrices it makes orthogonal.
 *
 * \local
 * \param[in] optimizer  The optimizer.
 * \param[in] state      [0, n_states).
 * \param[in] row        Of the parameter table.
 */
bool dpo_optimizer_state_covers(const dpo_optimizer *optimizer, int state, int64_t row);

/**
 * The items of a state that this rank holds: the shard without the tensors that do not have it. Its
 * ranges need not begin at multiples of DPO_SHARD_BLOCK. Borrowed. \local
 */
const dpo_shard *dpo_optimizer_state_shard(const dpo_optimizer *optimizer, int state);

/** A state, f32 packed over dpo_optimizer_state_shard(), borrowed; for checkpoints. \local */
float *dpo_optimizer_state(dpo_optimizer *optimizer, int state);

/** Number of updates made. \local */
int64_t dpo_optimizer_n_updates(const dpo_optimizer *optimizer);

/** Sets the number of updates made, >= 0; for checkpoints. \local */
void dpo_optimizer_set_n_updates(dpo_optimizer *optimizer, int64_t n_updates);

#endif
