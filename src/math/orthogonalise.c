// SPDX-License-Identifier: Apache-2.0
/* X = a X + (b A + c A^2) X with A = X X^T.   X [R, C], R <= C: A [R, R]; R > C: X (b A + c A^2), A = X^T X [C, C]. */
#include "dpo/math/orthogonalise.h"

#include <math.h>

#include "onednn.h"

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t dpo_orthogonalise_work(int64_t n_rows, int64_t n_columns)
{
    int64_t side = smaller(n_rows, n_columns);

    return 2 * side * side + n_rows * n_columns;
}

static void normalise(int64_t n, float *x)
{
    const double smallest = 1e-7;
    double squares = 0.0;

    for (int64_t i = 0; i < n; i++)
        squares += (double)x[i] * (double)x[i];
    float factor = (float)(1.0 / fmax(sqrt(squares), smallest));

    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* y = a x + b y */
static void combine(int64_t n, float a, const float *x, float b, float *y)
{
#pragma omp parallel for
    for (int64_t i = 0; i < n; i++)
        y[i] = a * x[i] + b * y[i];
}

void dpo_orthogonalise_run(int64_t n_rows, int64_t n_columns, int64_t n_steps, float *matrix,
                           float *work)
{
    const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    int64_t n = n_rows * n_columns;
    int64_t side = smaller(n_rows, n_columns);
    int is_tall = n_rows > n_columns;
    float *gram = work;
    float *polynomial = gram + side * side;
    float *product = polynomial + side * side;
    dpo_matrix x = {matrix, n_columns, 0};
    dpo_matrix x_transposed = {matrix, n_columns, 1};
    dpo_matrix a_matrix = {gram, side, 0};
    dpo_matrix p_matrix = {polynomial, side, 0};

    normalise(n, matrix);
    for (int64_t step = 0; step < n_steps; step++) {
        dpo_gemm((dpo_product){DPO_F32, side, side, is_tall ? n_rows : n_columns, side},
                 is_tall ? x_transposed : x, is_tall ? x : x_transposed, 0.0f, gram);
        dpo_gemm((dpo_product){DPO_F32, side, side, side, side}, a_matrix, a_matrix, 0.0f,
                 polynomial);
        combine(side * side, b, gram, c, polynomial);
        dpo_gemm((dpo_product){DPO_F32, n_rows, n_columns, side, n_columns}, is_tall ? x : p_matrix,
                 is_tall ? p_matrix : x, 0.0f, product);
        combine(n, 1.0f, product, a, matrix);
    }
}
