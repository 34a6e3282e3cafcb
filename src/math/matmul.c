// SPDX-License-Identifier: Apache-2.0
/* y = x W^T; dx = dy W; dW += dy^T x.   N tokens, I d_in, O d_out; x [N, I], W [O, I], y [N, O]. */
#include "dpo/math/matmul.h"

#include "dpo/base/memory.h"
#include "onednn.h"

struct dpo_matmul {
    int64_t d_in, d_out, max_tokens;
};

dpo_status dpo_matmul_create(int64_t d_in, int64_t d_out, int64_t max_tokens, dpo_matmul **matmul)
{
    DPO_ASSERT(d_in > 0 && d_out > 0 && max_tokens > 0);
    DPO_TRY(DPO_NEW(*matmul, 1));
    **matmul = (dpo_matmul){.d_in = d_in, .d_out = d_out, .max_tokens = max_tokens};
    return DPO_OK;
}

void dpo_matmul_destroy(dpo_matmul **matmul)
{
    dpo_free(*matmul);
    *matmul = NULL;
}

static float beta_of(dpo_output output)
{
    return output == DPO_ADD ? 1.0f : 0.0f;
}

void dpo_matmul_forward(dpo_matmul *matmul, int64_t n_tokens, const float *x, const float *weight,
                        dpo_output output, float *y)
{
    int64_t d_in = matmul->d_in, d_out = matmul->d_out;

    DPO_ASSERT(n_tokens >= 0 && n_tokens <= matmul->max_tokens);
    dpo_gemm(n_tokens, d_out, d_in, (dpo_matrix){x, d_in, 0}, (dpo_matrix){weight, d_in, 1},
             beta_of(output), y, d_out);
}

void dpo_matmul_backward_data(dpo_matmul *matmul, int64_t n_tokens, const float *dy,
                              const float *weight, dpo_output output, float *dx)
{
    int64_t d_in = matmul->d_in, d_out = matmul->d_out;

    DPO_ASSERT(n_tokens >= 0 && n_tokens <= matmul->max_tokens);
    dpo_gemm(n_tokens, d_in, d_out, (dpo_matrix){dy, d_out, 0}, (dpo_matrix){weight, d_in, 0},
             beta_of(output), dx, d_in);
}

void dpo_matmul_backward_weight(dpo_matmul *matmul, int64_t n_tokens, const float *x,
                                const float *dy, float *dweight)
{
    int64_t d_in = matmul->d_in, d_out = matmul->d_out;

    DPO_ASSERT(n_tokens >= 0 && n_tokens <= matmul->max_tokens);
    dpo_gemm(d_out, d_in, n_tokens, (dpo_matrix){dy, d_out, 1}, (dpo_matrix){x, d_in, 0}, 1.0f,
             dweight, d_in);
}
