// SPDX-License-Identifier: Apache-2.0
/* y = x W^T; dx = dy W; dW += dy^T x.   N tokens, I d_in, O d_out; x [N, I], W [O, I], y [N, O]. */
#include "dpo/math/matmul.h"

#include <stdio.h>

#include "dpo/base/memory.h"
#include "dpo/base/phase.h"
#include "onednn.h"

struct dpo_matmul {
    int64_t d_in, d_out, max_tokens;
    int forward_phase, backward_phase; /* base/phase.h */
};

static int find_phase(const char *name, const char *direction)
{
    char text[DPO_PHASE_NAME_BYTES];

    (void)snprintf(text, sizeof text, "linear %s %s", name, direction);
    return dpo_phase_named(text);
}

dpo_status dpo_matmul_create(const char *name, int64_t d_in, int64_t d_out, int64_t max_tokens,
                             dpo_matmul **matmul)
{
    DPO_ASSERT(d_in > 0 && d_out > 0 && max_tokens > 0);
    DPO_TRY(DPO_NEW(*matmul, 1));
    **matmul = (dpo_matmul){.d_in = d_in,
                            .d_out = d_out,
                            .max_tokens = max_tokens,
                            .forward_phase = find_phase(name, "forward"),
                            .backward_phase = find_phase(name, "backward")};
    return DPO_OK;
}

void dpo_matmul_destroy(dpo_matmul **matmul)
{
    dpo_free(*matmul);
    *matmul = NULL;
}

static void begin(const dpo_matmul *matmul, int phase, int64_t n_tokens)
{
    DPO_ASSERT(n_tokens >= 0 && n_tokens <= matmul->max_tokens);
    dpo_phase_begin(phase);
    dpo_phase_add_flops(phase,
                        2.0 * (double)n_tokens * (double)matmul->d_in * (double)matmul->d_out);
}

static float beta_of(dpo_output output)
{
    return output == DPO_ADD ? 1.0f : 0.0f;
}

void dpo_matmul_forward(dpo_matmul *matmul, int64_t n_tokens, const float *x, const float *weight,
                        dpo_output output, float *y)
{
    int64_t d_in = matmul->d_in, d_out = matmul->d_out;

    begin(matmul, matmul->forward_phase, n_tokens);
    dpo_gemm(n_tokens, d_out, d_in, (dpo_matrix){x, d_in, 0}, (dpo_matrix){weight, d_in, 1},
             beta_of(output), y, d_out);
    dpo_phase_end(matmul->forward_phase);
}

void dpo_matmul_backward_data(dpo_matmul *matmul, int64_t n_tokens, const float *dy,
                              const float *weight, dpo_output output, float *dx)
{
    int64_t d_in = matmul->d_in, d_out = matmul->d_out;

    begin(matmul, matmul->backward_phase, n_tokens);
    dpo_gemm(n_tokens, d_in, d_out, (dpo_matrix){dy, d_out, 0}, (dpo_matrix){weight, d_in, 0},
             beta_of(output), dx, d_in);
    dpo_phase_end(matmul->backward_phase);
}

void dpo_matmul_backward_weight(dpo_matmul *matmul, int64_t n_tokens, const float *x,
                                const float *dy, float *dweight)
{
    int64_t d_in = matmul->d_in, d_out = matmul->d_out;

    begin(matmul, matmul->backward_phase, n_tokens);
    dpo_gemm(d_out, d_in, n_tokens, (dpo_matrix){dy, d_out, 1}, (dpo_matrix){x, d_in, 0}, 1.0f,
             dweight, d_in);
    dpo_phase_end(matmul->backward_phase);
}
