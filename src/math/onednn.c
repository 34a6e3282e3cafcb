// SPDX-License-Identifier: Apache-2.0
/*
 * oneDNN behind one face. f32 products go through its BLAS-like entry point: on the shapes of
 * a language model it is as fast as matmul primitives with fixed, run-time or prepacked shapes (within
 * 1 %, both major versions, AVX2), needs no plan per number of tokens, and reaches nine tenths of the peak
 * on the small tiles of attention too. There is no such entry point for bf16: its products are matmul
 * primitives whose sizes and strides are given at run time, made once for the life of the program. Such a primitive
 * divides its work among as many threads as there were when it was made, so products inside of parallel regions
 * have others; and it must not use the library's memory on another thread than that which made it.
 */
#include "onednn.h"

#include <dnnl_debug.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dpo/base/status.h"
#include "onednn_versions.h"

static void scale_rows(dpo_product p, float beta, float *c)
{
    for (int64_t i = 0; i < p.m; i++)
        for (int64_t j = 0; j < p.n; j++)
            c[i * p.c_stride + j] = beta == 0.0f ? 0.0f : beta * c[i * p.c_stride + j];
}

static dnnl_status_t multiply_f32(dpo_product p, dpo_matrix a, dpo_matrix b, float beta, float *c)
{
    return dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', p.m, p.n, p.k, 1.0f,
                      a.data, a.stride, b.data, b.stride, beta, c, p.c_stride);
}

/* A bf16 product is one of these: A and B as stored or transposed, C assigned or added to, by one thread or all. */
enum { SUM = 4, ALONE = 8, N_PRODUCTS = 16 };

/* bf16 products; all NULL where the library has none. */
static struct {
    bool is_tried;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t product[N_PRODUCTS];
    int64_t work_bytes; /* the most that one thread's product needs */
} bf16;

/* A matrix whose rows are `stride` apart, or columns if it is transposed; the caller's sizes or run time's. */
typedef struct {
    int64_t rows, columns, stride;
    int transposed;
    dnnl_data_type_t type;
} matrix_layout;

static dnnl_status_t describe(const matrix_layout *layout, dnnl_memory_desc_t *descriptor)
{
    const dnnl_dims_t sizes = {layout->rows, layout->columns};
    const dnnl_dims_t strides = {layout->transposed ? 1 : layout->stride,
                                 layout->transposed ? layout->stride : 1};

    return descriptor_make_strided(sizes, layout->type, strides, descriptor);
}

static dnnl_status_t make_attributes(int index, dnnl_primitive_attr_t *attributes)
{
    dnnl_scratchpad_mode_t owner =
        index & ALONE ? dnnl_scratchpad_mode_user : dnnl_scratchpad_mode_library;
    dnnl_post_ops_t operations = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attributes);

    if (status == dnnl_success) status = dnnl_post_ops_create(&operations);
    if (status == dnnl_success && index & SUM) status = operations_add_sum(operations);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, owner);
    if (operations != NULL) dnnl_post_ops_destroy(operations);
    return status;
}

/* The implementation that oneDNN falls back to is hundreds of times slower than f32 products. */
static bool is_reference(const_dnnl_primitive_desc_t plan)
{
    const char *name = "";

    return dnnl_primitive_desc_query(plan, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
           strncmp(name, "ref", 3) == 0;
}

/* Where the library itself owns a product's memory, this is 0. */
static void need_work(const_dnnl_primitive_desc_t plan)
{
    int64_t bytes = (int64_t)dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(plan, dnnl_query_scratchpad_md, 0));

    if (bytes > bf16.work_bytes) bf16.work_bytes = bytes;
}

static dnnl_status_t make_product(int index)
{
    const int64_t later = DNNL_RUNTIME_DIM_VAL;
    const matrix_layout layout[3] = {{later, later, later, index & 1, dnnl_bf16},
                                     {later, later, later, (index >> 1) & 1, dnnl_bf16},
                                     {later, later, later, 0, dnnl_f32}};
    dnnl_memory_desc_t matrix[3];
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t plan = NULL;
    dnnl_status_t status = dnnl_success;
    int n = 0;

    memset(matrix, 0, sizeof matrix);
    for (; n < 3 && status == dnnl_success; n++)
        status = describe(&layout[n], &matrix[n]);
    if (status == dnnl_success) status = make_attributes(index, &attributes);
    if (status == dnnl_success)
        status = product_plan(bf16.engine, &matrix[0], &matrix[1], &matrix[2], attributes, &plan);
    if (status == dnnl_success && is_reference(plan)) status = dnnl_unimplemented;
    if (status == dnnl_success) need_work(plan);
    if (status == dnnl_success) status = dnnl_primitive_create(&bf16.product[index], plan);
    if (plan != NULL) dnnl_primitive_desc_destroy(plan);
    if (attributes != NULL) dnnl_primitive_attr_destroy(attributes);
    while (--n >= 0)
        descriptor_forget(&matrix[n]);
    return status;
}

static dnnl_status_t make_products(void)
{
    int n_threads = omp_get_max_threads();
    dnnl_status_t status = dnnl_engine_create(&bf16.engine, dnnl_cpu, 0);

    if (status == dnnl_success)
        status = dnnl_stream_create(&bf16.stream, bf16.engine, dnnl_stream_default_flags);
    for (int index = 0; index < N_PRODUCTS && status == dnnl_success; index++) {
        omp_set_num_threads(index & ALONE ? 1 : n_threads);
        status = make_product(index);
    }
    omp_set_num_threads(n_threads);
    return status;
}

bool dpo_onednn_multiplies_bf16(void)
{
    if (!bf16.is_tried) {
        bf16.is_tried = true;
        if (make_products() != dnnl_success) memset(bf16.product, 0, sizeof bf16.product);
    }
    return bf16.product[0] != NULL;
}

#ifdef DPO_KERNELS_X86

bool dpo_onednn_cpu_has_bf16(void)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned wanted = (unsigned)dnnl_cpu_isa_avx512_core_bf16;

    return (isa & wanted) == wanted;
}

#else

/* On other processors than x86 oneDNN 2.x answers with numbers that mean something else. */
bool dpo_onednn_cpu_has_bf16(void)
{
    return false;
}

#endif

static dnnl_status_t bind(const matrix_layout *layout, const void *data, dnnl_memory_t *memory)
{
    dnnl_memory_desc_t descriptor;
    dnnl_status_t status = describe(layout, &descriptor);
    union {
        const void *read;
        void *given;
    } pointer = {.read = data};

    if (status != dnnl_success) return status;
    status = dnnl_memory_create(memory, descriptor_view(&descriptor), bf16.engine, pointer.given);
    descriptor_forget(&descriptor);
    return status;
}

/* A, B, C and the work of one thread, or only the former. */
enum { N_ARGUMENTS = 4 };

static dnnl_status_t execute_product(int index, int n_arguments,
                                     const matrix_layout layout[N_ARGUMENTS],
                                     const void *const data[N_ARGUMENTS])
{
    static const int role[N_ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST,
                                          DNNL_ARG_SCRATCHPAD};
    dnnl_exec_arg_t argument[N_ARGUMENTS];
    dnnl_status_t status = dnnl_success;
    int n = 0;

    for (; n < n_arguments && status == dnnl_success; n++) {
        argument[n] = (dnnl_exec_arg_t){.arg = role[n]};
        status = bind(&layout[n], data[n], &argument[n].memory);
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(bf16.product[index], bf16.stream, n, argument);
    if (status == dnnl_success) status = dnnl_stream_wait(bf16.stream);
    while (--n >= 0)
        if (argument[n].memory != NULL) dnnl_memory_destroy(argument[n].memory);
    return status;
}

/* `place` is ALONE or 0. */
static dnnl_status_t multiply_bf16(dpo_product p, dpo_matrix a, dpo_matrix b, float beta, void *c,
                                   int place, void *work)
{
    const matrix_layout layout[N_ARGUMENTS] = {{p.m, p.k, a.stride, a.transposed, dnnl_bf16},
                                               {p.k, p.n, b.stride, b.transposed, dnnl_bf16},
                                               {p.m, p.n, p.c_stride, 0, dnnl_f32},
                                               {1, bf16.work_bytes, bf16.work_bytes, 0, dnnl_u8}};
    const void *const data[N_ARGUMENTS] = {a.data, b.data, c, work};
    int index = a.transposed | b.transposed << 1 | (beta == 1.0f ? SUM : 0) | place;
    bool has_work = place == ALONE && bf16.work_bytes > 0;

    DPO_ASSERT(dpo_onednn_multiplies_bf16() && (beta == 0.0f || beta == 1.0f));
    return execute_product(index, has_work ? N_ARGUMENTS : N_ARGUMENTS - 1, layout, data);
}

static void multiply(dpo_product product, dpo_matrix a, dpo_matrix b, float beta, float *c,
                     int place, void *work)
{
    if (product.m == 0 || product.n == 0) return;
    if (product.k == 0) {
        scale_rows(product, beta, c);
        return;
    }
    dnnl_status_t status = product.compute == DPO_F32
                               ? multiply_f32(product, a, b, beta, c)
                               : multiply_bf16(product, a, b, beta, c, place, work);

    DPO_ASSERT(status == dnnl_success);
}

void dpo_gemm(dpo_product product, dpo_matrix a, dpo_matrix b, float beta, float *c)
{
    multiply(product, a, b, beta, c, 0, NULL);
}

void dpo_gemm_alone(dpo_product product, dpo_matrix a, dpo_matrix b, float beta, float *c,
                    void *work)
{
    multiply(product, a, b, beta, c, ALONE, work);
}

int64_t dpo_gemm_work_bytes(dpo_element compute)
{
    return compute == DPO_BF16 && dpo_onednn_multiplies_bf16() ? bf16.work_bytes : 0;
}

const char *dpo_onednn_version(void)
{
    static char text[48];
    const dnnl_version_t *version = dnnl_version();

    (void)snprintf(text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
    return text;
}

const char *dpo_onednn_cpu(void)
{
    static const char prefix[] = "cpu_isa_";
    const char *name = dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa());

    return strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : name;
}
