// SPDX-License-Identifier: Apache-2.0
/*
 * The same products with sizes known beforehand and the weight in oneDNN's own layout, and what it takes to bring it
 * there: once per optimizer step, whatever the number of micro-batches. Small weights stay in cache while packed.
 */
#include "dpo/math/prepacked.h"

#include <stdio.h>

#include "bench_private.h"
#include "dpo/base/memory.h"

typedef struct {
    dpo_prepacked *product; /* owned, as all arrays */
    void *operand;          /* elements of the type of compute */
    float *result, *weight;
} packed;

static void pack(void *context)
{
    packed *p = context;

    dpo_prepacked_pack(p->product, p->weight);
}

static void multiply(void *context)
{
    packed *p = context;

    dpo_prepacked_run(p->product, p->operand, p->result);
}

static dpo_status create(const dpo_prepacked_shape *shape, packed *p)
{
    int64_t d_operand = shape->is_backward ? shape->d_out : shape->d_in;
    int64_t d_result = shape->is_backward ? shape->d_in : shape->d_out;

    DPO_TRY(dpo_prepacked_create(shape, &p->product));
    DPO_TRY(dpo_bench_elements(shape->compute, shape->n_tokens * d_operand, &p->operand));
    DPO_TRY(dpo_bench_values(shape->n_tokens * d_result, &p->result));
    DPO_TRY(dpo_bench_values(shape->d_in * shape->d_out, &p->weight));
    dpo_prepacked_pack(p->product, p->weight);
    return DPO_OK;
}

static void destroy(packed *p)
{
    dpo_prepacked_destroy(&p->product);
    dpo_free(p->operand);
    dpo_free(p->result);
    dpo_free(p->weight);
}

static dpo_status measure(dpo_bench *bench, const dpo_bench_layer *layer,
                          const dpo_prepacked_shape *shape, packed *p)
{
    const char *direction = shape->is_backward ? "backward_data" : "forward";
    double weight_bytes = (double)(layer->d_in * layer->d_out) * sizeof(float);
    char name[48];
    dpo_bench_case row = {.group = "matmul",
                          .name = name,
                          .unit = "FLOP/s",
                          .bound = dpo_bench_matmul_bound(shape->compute),
                          .amount = dpo_bench_layer_flops(layer)};

    (void)snprintf(name, sizeof name, "%s%s %s prepacked", dpo_bench_prefix(shape->compute),
                   layer->name, direction);
    DPO_TRY(dpo_bench_measure(bench, &row, multiply, p));
    row.unit = "B/s";
    row.bound = DPO_BOUND_NONE;
    row.amount = weight_bytes + (double)dpo_prepacked_bytes(p->product);
    (void)snprintf(name, sizeof name, "%s%s %s packing", dpo_bench_prefix(shape->compute),
                   layer->name, direction);
    return dpo_bench_measure(bench, &row, pack, p);
}

static dpo_status bench_direction(dpo_bench *bench, const dpo_bench_layer *layer,
                                  dpo_element compute, bool is_backward)
{
    const dpo_prepacked_shape shape = {.n_tokens = layer->n,
                                       .d_in = layer->d_in,
                                       .d_out = layer->d_out,
                                       .compute = compute,
                                       .is_backward = is_backward};
    packed p = {0};
    dpo_status status = dpo_agree(bench->grid, create(&shape, &p));

    if (status == DPO_OK) status = measure(bench, layer, &shape, &p);
    destroy(&p);
    return status;
}

dpo_status dpo_bench_prepacked(dpo_bench *bench, const dpo_bench_layer *layer, dpo_element compute)
{
    DPO_TRY(bench_direction(bench, layer, compute, false));
    return bench_direction(bench, layer, compute, true);
}
