// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BASE_PHASE_H
#define DPO_BASE_PHASE_H

/**
 * \file
 * Where the time of this process goes: a table of named phases whose times add up to the wall-clock time.
 *
 * At every moment one phase runs. A phase that begins inside another one interrupts it, so no second
 * counts twice; what no phase claims goes to DPO_PHASE_OTHER. A closed phase (evaluation, checkpoint) keeps
 * what happens inside it: phases that begin there are not seen. Time in which ranks wait for each other or
 * exchange data goes to DPO_PHASE_COMMUNICATION, unless the phase that runs is closed.
 *
 * A begin or an end costs two clock readings at most. One thread only, from outside of parallel regions.
 *
 * Invariant: the times of all rows are the time from dpo_phase_start() to the last begin or end.
 */

#include <stdint.h>

/** Phases that are known beforehand; others get numbers behind these. */
enum {
    DPO_PHASE_OTHER,               /**< what no other phase claims */
    DPO_PHASE_COMMUNICATION,       /**< between ranks */
    DPO_PHASE_ATTENTION_FORWARD,   /**< scores, softmax, values */
    DPO_PHASE_ATTENTION_BACKWARD,  /**< their gradients */
    DPO_PHASE_VOCABULARY_FORWARD,  /**< output projection and log-probabilities */
    DPO_PHASE_VOCABULARY_BACKWARD, /**< their gradients */
    DPO_PHASE_NORM,                /**< norms, both ways */
    DPO_PHASE_ROTARY,              /**< rotary embedding, both ways */
    DPO_PHASE_ACTIVATION,          /**< the MLP's activation, both ways */
    DPO_PHASE_EMBEDDING,           /**< token embedding and selection of rows, both ways */
    DPO_PHASE_OBJECTIVE,           /**< loss, slopes and metrics of a micro-batch */
    DPO_PHASE_OPTIMIZER,           /**< gradient norm, update, clearing of gradients */
    DPO_PHASE_PLAN,                /**< plan of a step and layout of micro-batches */
    DPO_PHASE_START,               /**< reading data and weights, tokenizing, planning */
    DPO_PHASE_REFERENCE,           /**< closed: reference pass */
    DPO_PHASE_EVALUATION,          /**< closed: evaluation and samples */
    DPO_PHASE_CHECKPOINT,          /**< closed: checkpoints */
    DPO_PHASE_EXPORT,              /**< closed: the trained model's folder */
    DPO_PHASE_REPORT,              /**< metrics and log */
    DPO_N_KNOWN_PHASES,            /**< number of the above */
    DPO_MAX_PHASES = 64,           /**< rows of the table */
    DPO_PHASE_NAME_BYTES = 48      /**< a name with its zero */
};

/** What is known of a phase. */
typedef struct {
    char name[DPO_PHASE_NAME_BYTES]; /**< for tables; "" if the row is not in use */
    double time_s;                   /**< since dpo_phase_start() */
    double flops;                    /**< floating-point operations that its work needs */
} dpo_phase_row;

/**
 * Sets all sums to zero; DPO_PHASE_OTHER runs.
 *
 * \local
 * \param[in] communication_s  Clock of the time that this process spends in communication; NULL if there
 *                             is none.
 */
void dpo_phase_start(double (*communication_s)(void));

/**
 * The phase of a name; a new row if there is none.
 *
 * \local
 * \param[in] name  Cut to DPO_PHASE_NAME_BYTES - 1.
 * \return Its number; DPO_PHASE_OTHER if the table is full.
 */
int dpo_phase_named(const char *name);

/** A phase begins inside the one that runs. \local */
void dpo_phase_begin(int phase);

/** The phase that runs, which is this one, ends. \local */
void dpo_phase_end(int phase);

/** Counts operations towards a phase, unless a closed one runs. \local */
void dpo_phase_add_flops(int phase, double flops);

/**
 * The table, up to this moment.
 *
 * \local
 * \param[out] rows  [DPO_MAX_PHASES]; rows that are not in use are zero.
 */
void dpo_phase_read(dpo_phase_row *rows);

#endif
