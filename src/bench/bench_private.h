// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_BENCH_PRIVATE_H
#define DPO_BENCH_PRIVATE_H

#include "dpo/base/json.h"
#include "dpo/bench/bench.h"
#include "dpo/math/element.h"

/* What bounds a benchmark. */
typedef enum {
    DPO_BOUND_NONE,
    DPO_BOUND_MATMUL,      /* of f32 operands */
    DPO_BOUND_MATMUL_BF16, /* where dpo_engine_has_bf16() */
    DPO_BOUND_MEMORY,
    DPO_N_BOUNDS
} dpo_bound;

/* Benchmarks under way. */
typedef struct {
    const dpo_grid *grid;
    const dpo_bench_options *options;
    double peak[DPO_N_BOUNDS]; /* FLOP/s and bytes/s of all ranks together */
    const char *no_bf16;       /* why there are no products of bf16; NULL if there are */
    dpo_json *rows;            /* on world rank 0: what was measured */
} dpo_bench;

/* One row of the table. */
typedef struct {
    const char *group;
    const char *name;
    const char *unit; /* of a speed: "FLOP/s", "B/s", "tokens/s", "calls/s" */
    dpo_bound bound;
    double amount; /* of one run on this rank, in the unit's first word */
    double
        per_item; /* bytes or FLOP of the bound for one item of the amount; 0: it is that already */
} dpo_bench_case;

/* Linear layers of one shape: x [n, d_in], y [n, d_out], weight [d_out, d_in]. */
typedef struct {
    const char *name;
    int64_t n, d_in, d_out;
    int64_t
        y_stride; /* elements from one row of y to the next; 0: d_out. Prepacked products have it dense */
} dpo_bench_layer;

typedef void dpo_bench_function(void *context);

/*
 * Seconds of the fastest of several runs on this rank. All ranks make the same number of them, so that the
 * function may be collective along any axis. Collective on all ranks.
 */
double dpo_bench_time(const dpo_bench *bench, dpo_bench_function *run, void *context);

/* Puts a row that took seconds > 0 on this rank into the table. Collective on all ranks. */
DPO_MUST_CHECK dpo_status dpo_bench_put(dpo_bench *bench, const dpo_bench_case *row,
                                        double seconds);

/* Puts a peak itself into the table. Collective on all ranks. */
DPO_MUST_CHECK dpo_status dpo_bench_put_peak(dpo_bench *bench, dpo_bound bound, const char *group,
                                             const char *name, const char *unit);

/* FLOP of a layer's product in one direction. Local. */
double dpo_bench_layer_flops(const dpo_bench_layer *layer);

/* Of products with operands of a type: their bound, and what their names begin with. Local. */
dpo_bound dpo_bench_matmul_bound(dpo_element compute);
const char *dpo_bench_prefix(dpo_element compute);

/* Whether there are products with operands of a type on all ranks. Local. */
bool dpo_bench_computes(const dpo_bench *bench, dpo_element compute);

/* Times and puts. Collective on all ranks. */
DPO_MUST_CHECK dpo_status dpo_bench_measure(dpo_bench *bench, const dpo_bench_case *row,
                                            dpo_bench_function *run, void *context);

/* n items that are not zero, for dpo_free(); NULL on error. Local. */
DPO_MUST_CHECK dpo_status dpo_bench_values(int64_t n, float **values);
DPO_MUST_CHECK dpo_status dpo_bench_bits(int64_t n, uint16_t **bits); /* bf16 */
DPO_MUST_CHECK dpo_status dpo_bench_elements(dpo_element element, int64_t n, void **elements);

/* The groups. Collective on all ranks. */
DPO_MUST_CHECK dpo_status dpo_bench_matmul(dpo_bench *bench);
DPO_MUST_CHECK dpo_status dpo_bench_prepacked(dpo_bench *bench, const dpo_bench_layer *layer,
                                              dpo_element compute); /* part of matmul */
DPO_MUST_CHECK dpo_status dpo_bench_memory(dpo_bench *bench);
DPO_MUST_CHECK dpo_status dpo_bench_kernels(dpo_bench *bench);
DPO_MUST_CHECK dpo_status dpo_bench_logps(dpo_bench *bench, dpo_element compute); /* of kernels */
DPO_MUST_CHECK dpo_status dpo_bench_elementwise(dpo_bench *bench); /* part of kernels */
DPO_MUST_CHECK dpo_status dpo_bench_stored_bf16(dpo_bench *bench); /* part of kernels */
DPO_MUST_CHECK dpo_status dpo_bench_optimizer(dpo_bench *bench);   /* part of kernels */
DPO_MUST_CHECK dpo_status dpo_bench_collectives(dpo_bench *bench);
DPO_MUST_CHECK dpo_status dpo_bench_files(dpo_bench *bench);
DPO_MUST_CHECK dpo_status dpo_bench_generate(dpo_bench *bench);

#endif
