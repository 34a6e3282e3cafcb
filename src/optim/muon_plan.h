// SPDX-License-Identifier: Apache-2.0
#ifndef MUON_PLAN_H
#define MUON_PLAN_H

/*
 * Which rank makes which matrix orthogonal, and how its parts get there and back.
 *
 * Matrices are dealt by cost, largest first, in rounds of one matrix a rank, every other round in reverse order:
 *
 *     round 0:  rank 0: M0   rank 1: M1   rank 2: M2
 *     round 1:  rank 0: M5   rank 1: M4   rank 2: M3
 *
 * A run is a part of a matrix that is contiguous in the whole matrix and in a rank's flat vector. Of an item
 * that several tensor-parallel ranks hold one counts it (and sends it); all get it back.
 */

#include "optimizer_private.h"

/* A run as its owner's rank knows it: where it lies in the whole matrix. */
typedef struct {
    int64_t round;
    int64_t begin, count; /* items of the whole matrix, row-major */
    int64_t counted;      /* 0 or 1 */
} dpo_muon_run_of;

/* A run of this rank's shard. */
typedef struct {
    dpo_muon_run_of run;
    int owner;     /* world rank */
    int64_t row;   /* of the parameter table */
    int64_t flat;  /* first item in the flat vector */
    int64_t state; /* first item in the momentum */
} dpo_muon_local_run;

/*
 * Invariants: local runs ascend by (round, owner), those of the same matrix in the order of the flat
 * vector; foreign runs, what the ranks hold of the matrices of this rank, ascend by (rank, round) in each
 * rank's own order. Those of round k lie at local_begin[k] .. and, of rank r, at
 * foreign_begin[k * size + r] .. foreign_end[k * size + r].
 */
struct dpo_muon {
    int size; /* of the world */
    int64_t n_rounds;
    int64_t n_matrices;
    int64_t
        *matrix; /* owned, [n_matrices] rows of the parameter table in the order they are dealt */
    int64_t n_local;
    dpo_muon_local_run *local; /* owned */
    int64_t *local_begin;      /* owned, [n_rounds + 1] */
    dpo_muon_run_of *foreign;  /* owned */
    int64_t *foreign_begin;    /* owned, [n_rounds * size] */
    int64_t *foreign_end;      /* owned, [n_rounds * size] */
    int64_t *n_send;           /* owned, [size] bytes, for a call */
    int64_t *n_receive;        /* owned, [size] bytes, for a call */
    float *out, *in;           /* owned, what is sent and received in a round */
    float *whole;              /* owned, the largest matrix of this rank */
    float *work;               /* owned, dpo_orthogonalise_work() */
};

/* Row of the parameter table of the matrix that a rank makes orthogonal in a round; -1: none. */
int64_t dpo_muon_matrix_of(const dpo_muon *muon, int64_t round, int rank);

#endif
