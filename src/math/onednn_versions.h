// SPDX-License-Identifier: Apache-2.0
#ifndef DPO_MATH_ONEDNN_VERSIONS_H
#define DPO_MATH_ONEDNN_VERSIONS_H

/*
 * What oneDNN 2.x and 3.x spell differently of matrices and their products: a descriptor is a plain value in
 * 2.x and a handle in 3.x, and 3.x plans a product without describing it first.
 */

#include <dnnl.h>
#include <stddef.h>

#if DNNL_VERSION_MAJOR < 3

/* What functions of the library take for a descriptor. */
typedef const dnnl_memory_desc_t *dnnl_descriptor_view;

static inline dnnl_descriptor_view descriptor_view(const dnnl_memory_desc_t *descriptor)
{
    return descriptor;
}

/* A matrix [rows, columns] with the layout of a tag; for descriptor_forget(), also if it failed. */
static inline dnnl_status_t descriptor_make(int64_t rows, int64_t columns, dnnl_data_type_t type,
                                            dnnl_format_tag_t tag, dnnl_memory_desc_t *descriptor)
{
    const dnnl_dims_t sizes = {rows, columns};

    return dnnl_memory_desc_init_by_tag(descriptor, 2, sizes, type, tag);
}

/* The same with given distances between elements of different rows and of different columns. */
static inline dnnl_status_t descriptor_make_strided(const dnnl_dims_t sizes, dnnl_data_type_t type,
                                                    const dnnl_dims_t strides,
                                                    dnnl_memory_desc_t *descriptor)
{
    return dnnl_memory_desc_init_by_strides(descriptor, 2, sizes, type, strides);
}

static inline void descriptor_forget(dnnl_memory_desc_t *descriptor)
{
    (void)descriptor;
}

/* What follows a product: its result is added to what was there. */
static inline dnnl_status_t operations_add_sum(dnnl_post_ops_t operations)
{
    return dnnl_post_ops_append_sum(operations, 1.0f);
}

/* c = a b; attributes may be NULL */
static inline dnnl_status_t product_plan(dnnl_engine_t engine, const dnnl_memory_desc_t *a,
                                         const dnnl_memory_desc_t *b, const dnnl_memory_desc_t *c,
                                         dnnl_primitive_attr_t attributes,
                                         dnnl_primitive_desc_t *plan)
{
    dnnl_matmul_desc_t product;
    dnnl_status_t status = dnnl_matmul_desc_init(&product, a, b, NULL, c);

    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(plan, &product, attributes, engine, NULL);
}

#else

typedef const_dnnl_memory_desc_t dnnl_descriptor_view;

static inline dnnl_descriptor_view descriptor_view(const dnnl_memory_desc_t *descriptor)
{
    return *descriptor;
}

static inline dnnl_status_t descriptor_make(int64_t rows, int64_t columns, dnnl_data_type_t type,
                                            dnnl_format_tag_t tag, dnnl_memory_desc_t *descriptor)
{
    const dnnl_dims_t sizes = {rows, columns};

    *descriptor = NULL;
    return dnnl_memory_desc_create_with_tag(descriptor, 2, sizes, type, tag);
}

static inline dnnl_status_t descriptor_make_strided(const dnnl_dims_t sizes, dnnl_data_type_t type,
                                                    const dnnl_dims_t strides,
                                                    dnnl_memory_desc_t *descriptor)
{
    *descriptor = NULL;
    return dnnl_memory_desc_create_with_strides(descriptor, 2, sizes, type, strides);
}

static inline void descriptor_forget(dnnl_memory_desc_t *descriptor)
{
    if (*descriptor != NULL) dnnl_memory_desc_destroy(*descriptor);
}

static inline dnnl_status_t operations_add_sum(dnnl_post_ops_t operations)
{
    return dnnl_post_ops_append_sum(operations, 1.0f, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t product_plan(dnnl_engine_t engine, const dnnl_memory_desc_t *a,
                                         const dnnl_memory_desc_t *b, const dnnl_memory_desc_t *c,
                                         dnnl_primitive_attr_t attributes,
                                         dnnl_primitive_desc_t *plan)
{
    return dnnl_matmul_primitive_desc_create(plan, engine, *a, *b, NULL, *c, attributes);
}

#endif
#endif
