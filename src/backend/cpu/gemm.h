/* gemm.h: the two inner products everything heavy is made of.
 *
 *   block   C tiles += A panel * B panels.  A panel: [k][AM_MR], B panels: each [k][AM_NR], C
 *           tiles: each [AM_MR][AM_NR], one per B panel.  The number of B panels is even.  Used
 *           where one side is packed so that outputs lie side by side (convolution, its adjoint).
 *   dots    C[3][4] += A rows * B rows, over n numbers that lie side by side in both; n is a
 *           multiple of AM_NR.  Used where the sum runs along memory (weight gradients, dense).
 *
 * Each is compiled for several instruction sets from gemm_isa.h, and am_kernels_find picks.  All
 * results of one process come from one set, so nothing depends on how the work was shared out. */
#ifndef AM_GEMM_H
#define AM_GEMM_H
#include <stddef.h>

enum { AM_MR = 6, AM_NR = 16, AM_DOT_M = 3, AM_DOT_N = 4 };

typedef struct am_kernels {
    const char *name;
    void (*block)(int k, int panels, const float *a, const float *b, float *c);
    void (*dots)(int n, const float *a, size_t a_row, const float *b, size_t b_row, float *c,
                 size_t c_row);
} am_kernels;

extern const am_kernels am_kernels_exact;           /* gemm_exact.c */

/* isa: exact, generic, avx2, avx512 (also with a suffix), or NULL for the best there is here.  Returns
 * the best set that this processor has and that does not exceed isa. */
const am_kernels *am_kernels_find(const char *isa);

/* C[m][n] = beta * C + A B' with rows along the sum: A [m][k], B [n][k], any sizes.  Writes rows
 * first <= row < last of C only, so that callers can share out rows. */
void am_rows_product(const am_kernels *, int first, int last, int n, int k, const float *a,
                     size_t a_row, const float *b, size_t b_row, float beta, float *c,
                     size_t c_row);

/* C[m][n] = A B with B's rows along the output: A(i, l) = a[i * a_row + l * a_col], B [k][n]. */
void am_columns_product(int m, int n, int k, const float *a, size_t a_row, size_t a_col,
                        const float *b, size_t b_row, float *c, size_t c_row);
#endif
