/* transform.c: Winograd's F(4x4, 3x3), the three small matrices.
 *
 * Four outputs of a 3-tap correlation are the middle coefficients of a product of polynomials;
 * evaluate both factors at the points 0, +-a, +-b and infinity, multiply, interpolate:
 *
 *     y = A' [ (G g) . (B' d) ],     d: 6 inputs, g: 3 taps, y: 4 outputs, . number by number
 *
 * and in two dimensions the same along rows and columns: 36 multiplications for the 144 of the
 * definition.  The points are free.  Cook and Toom's 1 and 2 need only integers, but the matrices
 * run in floating point anyway, and a = 0.7, b = 1.5 halve the rounding error.
 *
 * The gradient of the weights is the transposed formula,  dg = G' [ (B' d) . (A dy) ].
 *
 * Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016. */
#include "vec.h"

enum { TILE = 4, SPAN = 6, POINTS = SPAN * SPAN };

#define PA 0.7f
#define PB 1.5f
#define AA (PA * PA)
#define BB (PB * PB)
#define GA (1 / (2 * AA * (AA - BB)))
#define GB (1 / (2 * BB * (BB - AA)))

/* d = B' d */
INLINE void to_points(vec d[SPAN])
{
    vec even_a = d[4] - all(BB) * d[2], odd_a = d[3] - all(BB) * d[1];
    vec even_b = d[4] - all(AA) * d[2], odd_b = d[3] - all(AA) * d[1];
    vec zero = all(AA * BB) * d[0] + (d[4] - all(AA + BB) * d[2]);
    vec infinity = all(AA * BB) * d[1] + (d[5] - all(AA + BB) * d[3]);
    d[0] = zero;
    d[1] = even_a + all(PA) * odd_a;
    d[2] = even_a - all(PA) * odd_a;
    d[3] = even_b + all(PB) * odd_b;
    d[4] = even_b - all(PB) * odd_b;
    d[5] = infinity;
}

/* m[0..3] = A' m */
INLINE void from_points(vec m[SPAN])
{
    vec sum_a = m[1] + m[2], diff_a = m[1] - m[2];
    vec sum_b = m[3] + m[4], diff_b = m[3] - m[4];
    m[0] = m[0] + sum_a + sum_b;
    m[1] = all(PA) * diff_a + all(PB) * diff_b;
    m[2] = all(AA) * sum_a + all(BB) * sum_b;
    m[3] = all(AA * PA) * diff_a + (all(BB * PB) * diff_b + m[5]);
}

/* m = A m[0..3] */
INLINE void from_points_adjoint(vec m[SPAN])
{
    vec even_a = m[0] + all(AA) * m[2], odd_a = m[1] + all(AA) * m[3];
    vec even_b = m[0] + all(BB) * m[2], odd_b = m[1] + all(BB) * m[3];
    m[5] = m[3];
    m[1] = even_a + all(PA) * odd_a;
    m[2] = even_a - all(PA) * odd_a;
    m[3] = even_b + all(PB) * odd_b;
    m[4] = even_b - all(PB) * odd_b;
}

/* u = G g */
INLINE void taps_to_points(const vec g[3], vec u[SPAN])
{
    vec even_a = all(GA) * (g[0] + all(AA) * g[2]), odd_a = all(GA * PA) * g[1];
    vec even_b = all(GB) * (g[0] + all(BB) * g[2]), odd_b = all(GB * PB) * g[1];
    u[0] = all(1 / (AA * BB)) * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
}

/* g = G' u */
INLINE void taps_to_points_adjoint(const vec u[SPAN], vec g[3])
{
    vec sum_a = all(GA) * (u[1] + u[2]), diff_a = all(GA * PA) * (u[1] - u[2]);
    vec sum_b = all(GB) * (u[3] + u[4]), diff_b = all(GB * PB) * (u[3] - u[4]);
    g[0] = all(1 / (AA * BB)) * u[0] + (sum_a + sum_b);
    g[1] = diff_a + diff_b;
    g[2] = all(AA) * sum_a + (all(BB) * sum_b + u[5]);
}
