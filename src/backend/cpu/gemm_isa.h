/* gemm_isa.h: the kernels of gemm.h, included by gemm.c once per instruction set, so no guard.
 * The includer defines WIDTH (floats in a vector register), TARGET and NAME(kernel).
 *
 * Both keep twelve vectors of sums: enough to hide the latency of two multiply-adds a cycle, few
 * enough that with operands they fit in sixteen registers. */

typedef float NAME(vec) __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

/* Six rows times two vectors: c += sum over k of a[k][row] * b[k][column]. */
TARGET static inline void NAME(tile)(int k, const float *a, const float *b0, const float *b1,
                                     float *c0, float *c1)
{
    CONTRACT
    NAME(vec) s[AM_MR][2];
    for (int r = 0; r < AM_MR; r++) {
        s[r][0] = *(const NAME(vec) *)(c0 + r * AM_NR);
        s[r][1] = *(const NAME(vec) *)(c1 + r * AM_NR);
    }
    for (int i = 0; i < k; i++) {
        NAME(vec) x = *(const NAME(vec) *)b0, y = *(const NAME(vec) *)b1;
        for (int r = 0; r < AM_MR; r++) {
            s[r][0] += a[r] * x;
            s[r][1] += a[r] * y;
        }
        a += AM_MR;
        b0 += AM_NR;
        b1 += AM_NR;
    }
    for (int r = 0; r < AM_MR; r++) {
        *(NAME(vec) *)(c0 + r * AM_NR) = s[r][0];
        *(NAME(vec) *)(c1 + r * AM_NR) = s[r][1];
    }
}

TARGET static void NAME(block)(int k, int panels, const float *a, const float *b, float *c)
{
    const size_t next = (size_t)k * AM_NR;
#if WIDTH == AM_NR_WIDTH
    for (int p = 0; p < panels; p += 2, b += 2 * next, c += 2 * AM_MR * AM_NR)
        NAME(tile)(k, a, b, b + next, c, c + AM_MR * AM_NR);
#else
    for (int p = 0; p < panels; p++, b += next, c += AM_MR * AM_NR)
        for (int j = 0; j < AM_NR; j += 2 * WIDTH)
            NAME(tile)(k, a, b + j, b + j + WIDTH, c + j, c + j + WIDTH);
#endif
}

TARGET static inline float NAME(total)(NAME(vec) v)
{
    float lane[WIDTH];
    *(NAME(vec) *)lane = v;
    for (int half = WIDTH / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

TARGET static void NAME(dots)(int n, const float *a, size_t a_row, const float *b, size_t b_row,
                              float *c, size_t c_row)
{
    CONTRACT
    NAME(vec) s[AM_DOT_M][AM_DOT_N];
    for (int r = 0; r < AM_DOT_M; r++)
        for (int j = 0; j < AM_DOT_N; j++) s[r][j] = (NAME(vec)){0};
    for (int i = 0; i < n; i += WIDTH) {
        NAME(vec) x[AM_DOT_M];
        for (int r = 0; r < AM_DOT_M; r++) x[r] = *(const NAME(vec) *)(a + (size_t)r * a_row + i);
        for (int j = 0; j < AM_DOT_N; j++) {
            NAME(vec) y = *(const NAME(vec) *)(b + (size_t)j * b_row + i);
            for (int r = 0; r < AM_DOT_M; r++) s[r][j] += x[r] * y;
        }
    }
    for (int r = 0; r < AM_DOT_M; r++)
        for (int j = 0; j < AM_DOT_N; j++) c[(size_t)r * c_row + j] += NAME(total)(s[r][j]);
}
