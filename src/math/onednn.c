// SPDX-License-Identifier: Apache-2.0
/*
 * oneDNN 2.x and 3.x behind one face. f32 products go through its BLAS-like entry point: on the shapes of
 * a language model it is as fast as matmul primitives with fixed, run-time or prepacked shapes (within
 * 1 %, both major versions, AVX2), needs no plan per number of tokens, and reaches nine tenths of the peak
 * on the small tiles of attention too.
 */
#include "onednn.h"

#include <dnnl.h>
#include <dnnl_debug.h>
#include <stdio.h>
#include <string.h>

#include "dpo/base/status.h"

static void scale_rows(int64_t m, int64_t n, float beta, float *c, int64_t c_stride)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * c_stride + j] = beta == 0.0f ? 0.0f : beta * c[i * c_stride + j];
}

void dpo_gemm(int64_t m, int64_t n, int64_t k, dpo_matrix a, dpo_matrix b, float beta, float *c,
              int64_t c_stride)
{
    if (m == 0 || n == 0) return;
    if (k == 0) {
        scale_rows(m, n, beta, c, c_stride);
        return;
    }
    dnnl_status_t status = dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k,
                                      1.0f, a.data, a.stride, b.data, b.stride, beta, c, c_stride);

    DPO_ASSERT(status == dnnl_success);
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
