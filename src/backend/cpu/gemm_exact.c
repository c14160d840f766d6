/* gemm_exact.c: gemm.h's kernels with sums in double: the judge of the judges.
 *
 * A product of two floats is exact in double, so what a convolution hands on is its true value
 * rounded once.  That matters where a number falls within a rounding error of zero in front of a
 * ReLU: the sign decides a whole gradient, and only the exact sum finds it.  Replay runs on these. */
#include "gemm.h"

static void block_exact(int k, int panels, const float *a, const float *b, float *c)
{
    for (int p = 0; p < panels; p++, b += (size_t)k * AM_NR)
        for (int r = 0; r < AM_MR; r++, c += AM_NR) {
            double sum[AM_NR];
            for (int j = 0; j < AM_NR; j++) sum[j] = c[j];
            for (int i = 0; i < k; i++)
                for (int j = 0; j < AM_NR; j++)
                    sum[j] += (double)a[i * AM_MR + r] * b[i * AM_NR + j];
            for (int j = 0; j < AM_NR; j++) c[j] = (float)sum[j];
        }
}

static void dots_exact(int n, const float *a, size_t a_row, const float *b, size_t b_row, float *c,
                       size_t c_row)
{
    for (int r = 0; r < AM_DOT_M; r++)
        for (int s = 0; s < AM_DOT_N; s++) {
            const float *x = a + (size_t)r * a_row, *y = b + (size_t)s * b_row;
            double sum = c[(size_t)r * c_row + (size_t)s];
            for (int i = 0; i < n; i++) sum += (double)x[i] * y[i];
            c[(size_t)r * c_row + (size_t)s] = (float)sum;
        }
}

const am_kernels am_kernels_exact = {"exact", block_exact, dots_exact};
