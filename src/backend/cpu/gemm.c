/* gemm.c: choosing kernels, and two matrix products of any size made of them. */
#include "gemm.h"
#include <string.h>

/* A product and the sum that follows become one instruction wherever the set has one: in every
 * kernel alike, so a tile's place never shows in its numbers. */
#if defined __clang__
#define CONTRACT _Pragma("clang fp contract(fast)")
#elif defined __GNUC__
#pragma GCC optimize("fp-contract=fast")
#define CONTRACT
#endif

#define AM_NR_WIDTH 16

#define WIDTH 4
#define TARGET
#define NAME(x) x##_generic
#include "gemm_isa.h"
#undef WIDTH
#undef TARGET
#undef NAME
static const am_kernels generic = {"generic", block_generic, dots_generic};

#if defined __x86_64__
#define WIDTH 8
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_avx2
#include "gemm_isa.h"
#undef WIDTH
#undef TARGET
#undef NAME
static const am_kernels avx2 = {"avx2", block_avx2, dots_avx2};

#define WIDTH 16
#define TARGET __attribute__((target("avx512f,fma")))
#define NAME(x) x##_avx512
#include "gemm_isa.h"
static const am_kernels avx512 = {"avx512", block_avx512, dots_avx512};
#endif

const am_kernels *am_kernels_find(const char *isa)
{
    if (isa && !strcmp(isa, "exact")) return &am_kernels_exact;
#if defined __x86_64__
    int most = !isa || !strncmp(isa, "avx512", 6) ? 2 : !strcmp(isa, "avx2");
    __builtin_cpu_init();
    if (most > 1 && __builtin_cpu_supports("avx512f")) return &avx512;
    if (most > 0 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2;
#else
    (void)isa;
#endif
    return &generic;
}

static float dot(int k, const float *a, const float *b)
{
    float s = 0;
    for (int i = 0; i < k; i++) s += a[i] * b[i];
    return s;
}

/* Whole 3 x 4 tiles by the kernel; where rows or columns run out, the kernel again, number by
 * number: so a number does not depend on which rows the caller asked for. */
void am_rows_product(const am_kernels *kernels, int first, int last, int n, int k, const float *a,
                     size_t a_row, const float *b, size_t b_row, float beta, float *c, size_t c_row)
{
    const int whole = k / AM_NR * AM_NR;
    for (int i = first; i < last; i += AM_DOT_M)
        for (int j = 0; j < n; j += AM_DOT_N) {
            int rows = last - i < AM_DOT_M ? last - i : AM_DOT_M,
                columns = n - j < AM_DOT_N ? n - j : AM_DOT_N;
            const float *at = a + (size_t)i * a_row, *bt = b + (size_t)j * b_row;
            float tile[AM_DOT_M * AM_DOT_N] = {0};
            if (rows == AM_DOT_M && columns == AM_DOT_N)
                kernels->dots(whole, at, a_row, bt, b_row, tile, AM_DOT_N);
            else
                for (int r = 0; r < rows; r++)      /* stride 0: the same row in each place */
                    for (int s = 0; s < columns; s++) {
                        float same[AM_DOT_M * AM_DOT_N] = {0};
                        kernels->dots(whole, at + (size_t)r * a_row, 0, bt + (size_t)s * b_row, 0,
                                      same, AM_DOT_N);
                        tile[r * AM_DOT_N + s] = same[0];
                    }
            for (int r = 0; r < rows; r++)
                for (int s = 0; s < columns; s++) {
                    float *to = c + (size_t)(i + r) * c_row + j + s;
                    float rest = dot(k - whole, at + (size_t)r * a_row + whole,
                                     bt + (size_t)s * b_row + whole);
                    float sum = tile[r * AM_DOT_N + s] + rest;
                    *to = beta == 0 ? sum : beta * *to + sum;
                }
        }
}

enum { ROWS = 4, COLUMNS = 16 };

void am_columns_product(int m, int n, int k, const float *a, size_t a_row, size_t a_col,
                        const float *b, size_t b_row, float *c, size_t c_row)
{
    for (int i = 0; i < m; i += ROWS)
        for (int j = 0; j < n; j += COLUMNS) {
            int rows = m - i < ROWS ? m - i : ROWS, columns = n - j < COLUMNS ? n - j : COLUMNS;
            float tile[ROWS][COLUMNS] = {{0}};
            const float *at = a + (size_t)i * a_row, *bt = b + j;
            if (rows == ROWS && columns == COLUMNS)
                for (int l = 0; l < k; l++, at += a_col, bt += b_row)
                    for (int r = 0; r < ROWS; r++)
                        for (int s = 0; s < COLUMNS; s++)
                            tile[r][s] += at[(size_t)r * a_row] * bt[s];
            else
                for (int l = 0; l < k; l++, at += a_col, bt += b_row)
                    for (int r = 0; r < rows; r++)
                        for (int s = 0; s < columns; s++)
                            tile[r][s] += at[(size_t)r * a_row] * bt[s];
            for (int r = 0; r < rows; r++)
                memcpy(c + (size_t)(i + r) * c_row + j, tile[r], (size_t)columns * sizeof(float));
        }
}
