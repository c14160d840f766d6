/* gemm.c: the matrix product under everything:  C[m][n] (+)= sum_k A(i, k) * B[k][n].
 *
 * A tile of C, ROWS x COLUMNS vectors, or TALL rows of half as many, stays in registers while k
 * runs; each step takes one row of B as vectors and one number of A per row of C, repeated over a
 * vector.  A is reached through two strides, so the same kernel computes A*B (stride_k 1:
 * convolutions) and A'*B (stride_i 1: gradients of weights).
 *
 * B is a plain matrix with stride_b floats from row to row, or, stride_b 0, packed in panels: a
 * panel holds PANEL columns of each row, rows one after the other; the last panel may be narrower,
 * and the panel that starts at column n starts at n * depth floats.  n is a multiple of W.
 *
 * With `pairs` the numbers of A and B are pairs (vec.h): the same walk, each step two steps of k.
 *
 * k is cut into blocks so that a panel's block (64 KiB) stays in the second cache, from which it is
 * read in order and in time; a shorter block would stay in the first, and cost more in loads and
 * stores of C.
 *
 * What comes next is asked for, since processors foresee straight reading only.  A's rows are read a
 * line (LINE floats) at a time, a line of each abreast: the rows of the next tile.  B: the block that
 * follows, each tile of C its share of it, at most a line in each step.  Panels follow each other in
 * memory, and so do the products of a row of them; a plain B's block is a short piece of each row.
 *
 * A number of C is the same chain of operations whatever tile it falls in, so results do not depend
 * on m or on the cut of the work among threads. */
#include "simd.h"
#include "vec.h"

enum { PANEL = COLUMNS * W, DEPTH = 16384 / PANEL, LINE = 16, TALL = 2 * ROWS };

typedef struct matrices {
    int m, n, k;
    const float *a;
    size_t stride_i, stride_k;
    const float *b;
    size_t stride_b;
    const float *next; /* B of the product that follows, as plain; or NULL */
    float *c;
    size_t stride_c;
    int add;
    int pairs; /* k, a, b and their strides count pairs */
} matrices;

/* W times the float, or pair, at p; pairs are moved as bits, since some are no floats. */
INLINE vec repeated(const float *p)
{
    return (vec)((vec_bits){0} + *(const bits_alias *)p);
}

typedef vec gemm_sums[TALL][COLUMNS];

/* Lines that a tile asks for: in each of the first `count` steps of a run of steps, one. */
typedef struct asking {
    const float *line;
    size_t stride;
    int count;
} asking;

INLINE void gemm_steps(const int rows, const int columns, const int pairs, int steps,
                       const float *a, size_t stride_i, size_t stride_k, const float *b,
                       size_t stride_b, asking *ask, gemm_sums sum)
{
    const int asks = ask->count;
    for (int k = 0; k < steps; k++, a += stride_k, b += stride_b) {
        vec row[COLUMNS];
        if (k < asks) {
            __builtin_prefetch(ask->line, 0, 2);
            ask->line += ask->stride;
        }
        UNROLL for (int j = 0; j < columns; j++) row[j] = load(b + j * W);
        UNROLL for (int i = 0; i < rows; i++)
        {
            vec one = repeated(a + (size_t)i * stride_i);
            UNROLL for (int j = 0; j < columns; j++) sum[i][j] =
                pairs ? multiply_pairs(sum[i][j], one, row[j]) : sum[i][j] + one * row[j];
        }
    }
}

INLINE void gemm_tile(const int rows, const int columns, const int pairs, const matrices *x,
                      int depth, const float *a, const float *b, size_t stride_b, asking ask,
                      float *c, int add)
{
    gemm_sums sum;
    const size_t stride_i = x->stride_i, stride_k = x->stride_k, stride_c = x->stride_c;
    int k = 0;
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < columns; j++) sum[i][j] =
        add ? load(c + (size_t)i * stride_c + j * W) : all(0);
    for (; stride_k == 1 && k + LINE <= depth; k += LINE) {
        UNROLL for (int i = 0; i < rows; i++)
            prefetch(a + (size_t)(rows + i) * stride_i + k, LINE * (int)sizeof *a);
        gemm_steps(rows, columns, pairs, LINE, a + k, stride_i, 1, b + (size_t)k * stride_b,
                   stride_b, &ask, sum);
    }
    gemm_steps(rows, columns, pairs, depth - k, a + (size_t)k * stride_k, stride_i, stride_k,
               b + (size_t)k * stride_b, stride_b, &ask, sum);
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < columns; j++)
        store(c + (size_t)i * stride_c + j * W, sum[i][j]);
}

/* A'*B walks down columns of both: rows that are a large power of two apart would all fall into a
 * few sets of the first cache.  So its callers lay rows of n floats this far apart. */
INLINE int apart(int n)
{
    return n >= 64 ? n + 16 : n;
}

/* What tile `tile` of a strip asks for of the block `next`.  Packed: its share, from there on; LINE
 * rows of a panel are PANEL lines.  Plain: one line of each row, as long as there are any. */
INLINE asking gemm_asks(const matrices *x, int depth, size_t stride_b, const float *next, int tile)
{
    const int tiles = x->m / ROWS;
    if (!next) return (asking){0};
    if (x->stride_b) return (asking){next + tile * LINE, stride_b, tile * LINE < PANEL ? depth : 0};
    int share = am_simd_min((PANEL + tiles - 1) / tiles, LINE);
    return (asking){next + (size_t)(tile * share) * (size_t)(depth / LINE * LINE), LINE, share};
}

/* A strip: all rows of C for one panel and one block of k. */
typedef struct strip {
    int depth;
    const float *a, *b;
    size_t stride_b;
    const float *next; /* the block of B that comes after it, or NULL */
    float *c;
    int add;
} strip;

/* Tiles of `rows` rows from row i on, as many as there are; the row after them. */
INLINE int gemm_rows(const int rows, const int columns, const int pairs, const matrices *x,
                     const strip *s, int i)
{
    const float *a = s->a + (size_t)i * x->stride_i;
    float *c = s->c + (size_t)i * x->stride_c;
    for (int tile = 0; i + rows <= x->m; i += rows, tile++) {
        asking ask = {0};
        if (rows == ROWS && columns == COLUMNS)
            ask = gemm_asks(x, s->depth, s->stride_b, s->next, tile);
        if (s->add && rows >= ROWS)
            UNROLL for (int r = rows; r < 2 * rows; r++)
                prefetch(c + (size_t)r * x->stride_c, columns * W * (int)sizeof *c);
        gemm_tile(rows, columns, pairs, x, s->depth, a, s->b, s->stride_b, ask, c, s->add);
        a += (size_t)rows * x->stride_i;
        c += (size_t)rows * x->stride_c;
    }
    return i;
}

INLINE void gemm_strip(const int columns, const int pairs, const matrices *x, const strip *s)
{
    int i = 0;
    if (2 * columns <= COLUMNS) i = gemm_rows(TALL, columns, pairs, x, s, i);
    i = gemm_rows(ROWS, columns, pairs, x, s, i);
    switch (x->m - i) {
    case 5: gemm_rows(5, columns, pairs, x, s, i); break;
    case 4: gemm_rows(4, columns, pairs, x, s, i); break;
    case 3: gemm_rows(3, columns, pairs, x, s, i); break;
    case 2: gemm_rows(2, columns, pairs, x, s, i); break;
    case 1: gemm_rows(1, columns, pairs, x, s, i); break;
    }
}

INLINE void gemm_panels(const matrices *x, const int pairs)
{
    for (int j = 0; j < x->n; j += PANEL) {
        int width = x->n - j < PANEL ? x->n - j : PANEL;
        const float *panel = x->stride_b ? x->b + j : x->b + (size_t)j * (size_t)x->k;
        size_t stride_b = x->stride_b ? x->stride_b : (size_t)width;
        for (int k = 0; k < x->k; k += DEPTH) {
            int depth = x->k - k < DEPTH ? x->k - k : DEPTH;
            strip s = {.depth = depth,
                       .a = x->a + (size_t)k * x->stride_k,
                       .b = panel + (size_t)k * stride_b,
                       .stride_b = stride_b,
                       .c = x->c + j,
                       .add = x->add || k > 0};
            if (!x->stride_b) s.next = s.b + (size_t)depth * (size_t)width;
            else if (k + DEPTH < x->k) s.next = s.b + DEPTH * stride_b;
            else s.next = j + PANEL < x->n ? x->b + j + PANEL : x->next;
            switch (width / W) {
            case 1: gemm_strip(1, pairs, x, &s); break;
            case 2: gemm_strip(2, pairs, x, &s); break;
#ifdef PANEL_OF_FOUR
            case 3: gemm_strip(3, pairs, x, &s); break;
            case 4: gemm_strip(4, pairs, x, &s); break;
#endif
            }
        }
    }
}

static void gemm(const matrices *x)
{
    if (PAIRS && x->pairs) gemm_panels(x, 1);
    else gemm_panels(x, 0);
}
