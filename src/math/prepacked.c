// SPDX-License-Identifier: Apache-2.0
/*
 * C = A B with B's layout left to oneDNN.   A [N, K] x or y, B [K, M] W^T or W, C [N, M] y or x.
 */
#include "dpo/math/prepacked.h"

#include "dpo/base/memory.h"
#include "onednn_versions.h"

struct dpo_prepacked {
    dnnl_engine_t engine; /* owned, as all that follows */
    dnnl_stream_t stream;
    dnnl_primitive_t pack, multiply;
    dnnl_memory_t weight, packed, a, c; /* all but packed are given their data when they run */
    unsigned char *packed_data;
    int64_t packed_bytes;
};

/* Descriptors of the operands; b of the weight as the product wants it, weight as it is given. */
typedef struct {
    dnnl_memory_desc_t a, b, c, weight;
} descriptors;

static dnnl_status_t describe(const dpo_prepacked_shape *shape, descriptors *d)
{
    dnnl_data_type_t type = shape->compute == DPO_BF16 ? dnnl_bf16 : dnnl_f32;
    int64_t n = shape->n_tokens;
    int64_t k = shape->is_backward ? shape->d_out : shape->d_in;
    int64_t m = shape->is_backward ? shape->d_in : shape->d_out;
    dnnl_format_tag_t stored = shape->is_backward ? dnnl_ab : dnnl_ba;
    const struct {
        int64_t rows, columns;
        dnnl_data_type_t type;
        dnnl_format_tag_t tag;
        dnnl_memory_desc_t *descriptor;
    } table[] = {{n, k, type, dnnl_ab, &d->a},
                 {k, m, type, dnnl_format_tag_any, &d->b},
                 {n, m, dnnl_f32, dnnl_ab, &d->c},
                 {k, m, dnnl_f32, stored, &d->weight}};
    dnnl_status_t worst = dnnl_success;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        dnnl_status_t status = descriptor_make(table[i].rows, table[i].columns, table[i].type,
                                               table[i].tag, table[i].descriptor);

        if (status != dnnl_success) worst = status;
    }
    return worst;
}

static void forget(descriptors *d)
{
    descriptor_forget(&d->a);
    descriptor_forget(&d->b);
    descriptor_forget(&d->c);
    descriptor_forget(&d->weight);
}

static dnnl_status_t make_pack(dpo_prepacked *p, const descriptors *d, dnnl_descriptor_view packed)
{
    dnnl_primitive_desc_t plan;
    dnnl_status_t status = dnnl_reorder_primitive_desc_create(&plan, descriptor_view(&d->weight),
                                                              p->engine, packed, p->engine, NULL);

    if (status != dnnl_success) return status;
    status = dnnl_primitive_create(&p->pack, plan);
    dnnl_primitive_desc_destroy(plan);
    return status;
}

static dnnl_status_t make_memories(dpo_prepacked *p, const descriptors *d,
                                   dnnl_descriptor_view packed)
{
    const struct {
        dnnl_descriptor_view descriptor;
        dnnl_memory_t *memory;
    } table[] = {{descriptor_view(&d->weight), &p->weight},
                 {packed, &p->packed},
                 {descriptor_view(&d->a), &p->a},
                 {descriptor_view(&d->c), &p->c}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        dnnl_status_t status =
            dnnl_memory_create(table[i].memory, table[i].descriptor, p->engine, DNNL_MEMORY_NONE);

        if (status != dnnl_success) return status;
    }
    p->packed_bytes = (int64_t)dnnl_memory_desc_get_size(packed);
    return dnnl_success;
}

static dnnl_status_t plan_all(dpo_prepacked *p, const descriptors *d)
{
    dnnl_primitive_desc_t plan;
    dnnl_status_t status = dnnl_engine_create(&p->engine, dnnl_cpu, 0);

    if (status == dnnl_success)
        status = dnnl_stream_create(&p->stream, p->engine, dnnl_stream_default_flags);
    if (status == dnnl_success) status = product_plan(p->engine, &d->a, &d->b, &d->c, NULL, &plan);
    if (status != dnnl_success) return status;
    dnnl_descriptor_view packed = dnnl_primitive_desc_query_md(plan, dnnl_query_weights_md, 0);

    status = dnnl_primitive_create(&p->multiply, plan);
    if (status == dnnl_success) status = make_pack(p, d, packed);
    if (status == dnnl_success) status = make_memories(p, d, packed);
    dnnl_primitive_desc_destroy(plan);
    return status;
}

static dpo_status refused(const dpo_prepacked_shape *shape, dnnl_status_t status)
{
    if (status == dnnl_out_of_memory) return DPO_FAIL(DPO_ENOMEM, "oneDNN: out of memory");
    return DPO_FAIL(DPO_EINTERNAL, "oneDNN: no product of %lld rows with a %s weight [%lld, %lld]",
                    (long long)shape->n_tokens, shape->compute == DPO_BF16 ? "bf16" : "f32",
                    (long long)shape->d_out, (long long)shape->d_in);
}

static dpo_status plan(dpo_prepacked *p, const dpo_prepacked_shape *shape)
{
    descriptors d;
    dnnl_status_t status = describe(shape, &d);

    if (status == dnnl_success) status = plan_all(p, &d);
    forget(&d);
    if (status != dnnl_success) return refused(shape, status);
    DPO_TRY(DPO_NEW(p->packed_data, p->packed_bytes));
    status = dnnl_memory_set_data_handle(p->packed, p->packed_data);
    return status == dnnl_success ? DPO_OK : refused(shape, status);
}

dpo_status dpo_prepacked_create(const dpo_prepacked_shape *shape, dpo_prepacked **product)
{
    DPO_ASSERT(shape->n_tokens > 0 && shape->d_in > 0 && shape->d_out > 0);
    DPO_TRY(DPO_NEW(*product, 1));
    dpo_status status = plan(*product, shape);

    if (status != DPO_OK) dpo_prepacked_destroy(product);
    return status;
}

void dpo_prepacked_destroy(dpo_prepacked **product)
{
    dpo_prepacked *p = *product;

    if (p == NULL) return;
    dnnl_memory_t memories[] = {p->weight, p->packed, p->a, p->c};

    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        if (memories[i] != NULL) dnnl_memory_destroy(memories[i]);
    if (p->multiply != NULL) dnnl_primitive_destroy(p->multiply);
    if (p->pack != NULL) dnnl_primitive_destroy(p->pack);
    if (p->stream != NULL) dnnl_stream_destroy(p->stream);
    if (p->engine != NULL) dnnl_engine_destroy(p->engine);
    dpo_free(p->packed_data);
    dpo_free(p);
    *product = NULL;
}

int64_t dpo_prepacked_bytes(const dpo_prepacked *product)
{
    return product->packed_bytes;
}

/* Data that the library only reads, for its functions that do not say so. */
static void give(dnnl_memory_t memory, const void *data)
{
    union {
        const void *read;
        void *given;
    } pointer = {.read = data};
    dnnl_status_t status = dnnl_memory_set_data_handle(memory, pointer.given);

    DPO_ASSERT(status == dnnl_success);
}

static void execute(const dpo_prepacked *p, dnnl_primitive_t primitive, int n_arguments,
                    const dnnl_exec_arg_t *arguments)
{
    dnnl_status_t status = dnnl_primitive_execute(primitive, p->stream, n_arguments, arguments);

    if (status == dnnl_success) status = dnnl_stream_wait(p->stream);
    DPO_ASSERT(status == dnnl_success);
}

void dpo_prepacked_pack(dpo_prepacked *product, const float *weight)
{
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, product->weight},
                                         {DNNL_ARG_TO, product->packed}};

    give(product->weight, weight);
    execute(product, product->pack, 2, arguments);
}

void dpo_prepacked_run(dpo_prepacked *product, const void *operand, float *result)
{
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, product->a},
                                         {DNNL_ARG_WEIGHTS, product->packed},
                                         {DNNL_ARG_DST, product->c}};

    give(product->a, operand);
    give(product->c, result);
    execute(product, product->multiply, 3, arguments);
}
