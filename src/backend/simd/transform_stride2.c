/* transform_stride2.c: 3x3 convolution of stride 2 by tiles of 4x4 outputs, and which transform a tiling has.
 *
 * In one dimension, with d the 9 inputs under four outputs y, the outer taps see only even places
 * and the middle tap only odd ones:
 *
 *     y[i] = (g0 d[2i] + g2 d[2i+2]) + g1 d[2i+1],    i = 0 .. 3
 *
 * The first part is a correlation with 2 taps, for which 5 points are enough (transform.c: +-a, +-b
 * and infinity); the second is four products.  So a tile is 9 points, the last four share the tap u[5] = g1,
 * and in two dimensions 81 multiplications stand for the definition's 144.  a = 0.4 and b = 1.3 give
 * the least rounding error on a grid of tenths, in floats and in bf16.
 *
 * The gradient of the input has the same points: of its 8 numbers d under 4 + 1 outputs y
 *
 *     d[2i] = g1 y[i],    d[2i+1] = g2 y[i] + g0 y[i+1]
 *
 * the even ones are products and the odd ones the correlation with the outer taps, turned. */
#include "vec.h"

enum { SPAN_2 = 9, OUTER = 5 };

#define QA 0.4f
#define QB 1.3f
#define QAA (QA * QA)
#define QBB (QB * QB)
#define HA (1 / (2 * QA * (QAA - QBB)))
#define HB (1 / (2 * QB * (QBB - QAA)))

/* p = B' d, 5 inputs to the 5 points of the outer taps */
INLINE void outer_to_points(const vec d[OUTER], vec p[OUTER])
{
    vec odd_a = d[3] - all(QBB) * d[1], even_a = d[2] - all(QBB) * d[0];
    vec odd_b = d[3] - all(QAA) * d[1], even_b = d[2] - all(QAA) * d[0];
    vec infinity = all(QAA * QBB) * d[0] + (d[4] - all(QAA + QBB) * d[2]);
    p[0] = odd_a + all(QA) * even_a;
    p[1] = odd_a - all(QA) * even_a;
    p[2] = odd_b + all(QB) * even_b;
    p[3] = odd_b - all(QB) * even_b;
    p[4] = infinity;
}

/* y = A' m, 5 points to 4 outputs */
INLINE void outer_from_points(const vec m[OUTER], vec y[TILE])
{
    vec sum_a = m[0] + m[1], diff_a = m[0] - m[1];
    vec sum_b = m[2] + m[3], diff_b = m[2] - m[3];
    y[0] = sum_a + sum_b;
    y[1] = all(QA) * diff_a + all(QB) * diff_b;
    y[2] = all(QAA) * sum_a + all(QBB) * sum_b;
    y[3] = all(QAA * QA) * diff_a + (all(QBB * QB) * diff_b + m[4]);
}

/* d = B' d */
INLINE void stride2_to_points(vec d[SPAN_2])
{
    vec outer[OUTER] = {d[0], d[2], d[4], d[6], d[8]};
    d[8] = d[7], d[7] = d[5], d[6] = d[3], d[5] = d[1];
    outer_to_points(outer, d);
}

/* m[0..3] = A' m */
INLINE void stride2_from_points(vec m[SPAN_2])
{
    vec y[TILE];
    outer_from_points(m, y);
    UNROLL for (int i = 0; i < TILE; i++) m[i] = y[i] + m[OUTER + i];
}

/* m = A m[0..3] */
INLINE void stride2_from_points_adjoint(vec m[SPAN_2])
{
    vec even_a = m[0] + all(QAA) * m[2], odd_a = m[1] + all(QAA) * m[3];
    vec even_b = m[0] + all(QBB) * m[2], odd_b = m[1] + all(QBB) * m[3];
    UNROLL for (int i = 0; i < TILE; i++) m[OUTER + i] = m[i];
    m[4] = m[3];
    m[0] = even_a + all(QA) * odd_a;
    m[1] = even_a - all(QA) * odd_a;
    m[2] = even_b + all(QB) * odd_b;
    m[3] = even_b - all(QB) * odd_b;
}

/* The gradient of the input: d[0..4] to the points. */
INLINE void stride2_back_to_points(vec d[SPAN_2])
{
    vec y[OUTER] = {d[0], d[1], d[2], d[3], d[4]};
    outer_to_points(y, d);
    UNROLL for (int i = 0; i < TILE; i++) d[OUTER + i] = y[i];
}

/* And m[0..7] from the points. */
INLINE void stride2_back_from_points(vec m[SPAN_2])
{
    vec odd[TILE];
    outer_from_points(m, odd);
    UNROLL for (int i = 0; i < TILE; i++)
    {
        m[2 * i] = m[OUTER + i];
        m[2 * i + 1] = odd[i];
    }
}

/* u = G g */
INLINE void stride2_taps_to_points(const vec g[3], vec u[SPAN])
{
    u[0] = all(HA) * g[0] + all(HA * QA) * g[2];
    u[1] = all(HA * QA) * g[2] - all(HA) * g[0];
    u[2] = all(HB) * g[0] + all(HB * QB) * g[2];
    u[3] = all(HB * QB) * g[2] - all(HB) * g[0];
    u[4] = g[2];
    u[5] = g[1];
}

/* g = G' u */
INLINE void stride2_taps_to_points_adjoint(const vec u[SPAN], vec g[3])
{
    g[0] = all(HA) * (u[0] - u[1]) + all(HB) * (u[2] - u[3]);
    g[1] = u[5];
    g[2] = all(HA * QA) * (u[0] + u[1]) + (all(HB * QB) * (u[2] + u[3]) + u[4]);
}

/* ---- tilings ---- */

/* How the maps on both sides of a product over tiles compare: stride 1 either way; stride 2, forward
 * and back.  Per tile and direction: numbers read, places from tile to tile, points, numbers written. */
typedef enum tiling { SAME, HALVING, DOUBLING } tiling;

enum { MOST_SPAN = SPAN_2 };

INLINE int tiling_reads(const tiling as) { return as == SAME ? SPAN : as == HALVING ? SPAN_2 : OUTER; }
INLINE int tiling_step(const tiling as) { return as == HALVING ? 2 * TILE : TILE; }
INLINE int tiling_span(const tiling as) { return as == SAME ? SPAN : SPAN_2; }
INLINE int tiling_writes(const tiling as) { return as == DOUBLING ? 2 * TILE : TILE; }

/* Which of the 36 matrices U a point is multiplied with. */
INLINE int tiling_matrix(const tiling as, int point)
{
    if (as == SAME) return point;
    int i = point / SPAN_2, j = point % SPAN_2;
    return (i < OUTER ? i : OUTER) * SPAN + (j < OUTER ? j : OUTER);
}

INLINE void lift(const tiling as, vec *d)
{
    if (as == SAME) to_points(d);
    else if (as == HALVING) stride2_to_points(d);
    else stride2_back_to_points(d);
}

INLINE void lower(const tiling as, vec *m)
{
    if (as == SAME) from_points(m);
    else if (as == HALVING) stride2_from_points(m);
    else stride2_back_from_points(m);
}

INLINE void lower_adjoint(const tiling as, vec *m)
{
    if (as == SAME) from_points_adjoint(m);
    else stride2_from_points_adjoint(m);
}
