/* winograd_weights.c: weights to points before the products.
 *
 * U lies in the panels that gemm reads: forward, a panel's rows are c and its columns f; for the
 * gradient of the input, with the taps turned by half a turn, rows are f and columns c.  Narrow
 * layers keep both, written once per change of the weights.  In wide ones U would be most of a
 * step's memory, 8 times the weights for each net, and its making is little beside the products
 * with a training batch: each trip makes it anew in its scratch (conv_plan.late).  At rest the way
 * back is not prepared, and the way forward is kept, however wide.
 *
 * With pairs of channels (conv_plan.pairs) two rows of U are one row of pairs. */
#include "simd.h"
#include "vec.h"

typedef struct winograd_prepare {
    const am_conv *conv;
    const conv_plan *plan;
    const float *w;
    float *to;
    int turned;
} winograd_prepare;

/* Rows of U that are written together, input channels of dw likewise; divides every number of
 * channels here.  A filter's taps for this many channels are a few whole lines of memory. */
enum { BAND = 8 };

/* Floats of U in one direction. */
static size_t winograd_points(const conv_plan *p, int turned)
{
    return (size_t)POINTS * (size_t)p->blocks * (size_t)p->c * (size_t)p->f /
           (size_t)(1 + p->pairs[turned]);
}

/* The place of (row, column) in a matrix of `depth` rows and n columns packed for gemm. */
INLINE size_t packed_at(int depth, int n, int row, int column)
{
    int first = column / PANEL * PANEL, width = am_simd_min(PANEL, n - first);
    return (size_t)first * (size_t)depth + (size_t)row * (size_t)width + (size_t)(column - first);
}

INLINE void lift_taps(const int stride, const vec g[3], vec u[SPAN])
{
    if (stride == 1) taps_to_points(g, u);
    else stride2_taps_to_points(g, u);
}

/* U of W columns of one row, from nine vectors of taps. */
INLINE void points_of_taps(float (*tap)[W], const int stride, const int turned, float *u,
                           size_t u_point, const form as)
{
    vec t[SPAN][3];
    UNROLL for (int x = 0; x < 3; x++)
    {
        vec g[3], column[SPAN];
        UNROLL for (int y = 0; y < 3; y++) g[y] = load(tap[turned ? 8 - (y * 3 + x) : y * 3 + x]);
        lift_taps(stride, g, column);
        UNROLL for (int i = 0; i < SPAN; i++) t[i][x] = column[i];
    }
    UNROLL for (int i = 0; i < SPAN; i++)
    {
        vec row[SPAN];
        lift_taps(stride, t[i], row);
        UNROLL for (int j = 0; j < SPAN; j++)
            put_as(u + (size_t)(i * SPAN + j) * u_point, row[j], as);
    }
}

INLINE void points_with(float (*tap)[W], const int stride, int turned, float *u, size_t u_point,
                        form as)
{
    if (!PAIRS || as == FLOATS) {
        if (turned) points_of_taps(tap, stride, 1, u, u_point, FLOATS);
        else points_of_taps(tap, stride, 0, u, u_point, FLOATS);
    } else if (as == LOWER) {
        points_of_taps(tap, stride, turned, u, u_point, LOWER);
    } else {
        points_of_taps(tap, stride, turned, u, u_point, UPPER);
    }
}

static void points_of_row(float (*tap)[W], int stride, int turned, float *u, size_t u_point,
                          form as)
{
    if (stride == 1) points_with(tap, 1, turned, u, u_point, as);
    else points_with(tap, 2, turned, u, u_point, as);
}

/* A band of rows of every U[point], counted through the blocks, one panel at a time.  The band is put together on the
 * stack: points lie a large power of two apart, and written number by number they would meet in a few cache sets. */
static void winograd_prepare_item(const void *arg, int item, int worker)
{
    const winograd_prepare *s = arg;
    const conv_plan *p = s->plan;
    const int rows = s->turned ? p->f : p->c, columns = s->turned ? p->c : p->f;
    const int block = item * BAND / rows, top = item * BAND % rows, join = 1 + p->pairs[s->turned];
    const size_t matrix = (size_t)(rows / join) * (size_t)columns,
                 u_point = matrix * (size_t)p->blocks;
    float band[POINTS][BAND * PANEL];
    (void)worker;
    for (int first = 0; first < columns; first += PANEL) {
        const int width = am_simd_min(PANEL, columns - first);
        for (int column = 0; column < width; column += W) {
            float tap[BAND][9][W];
            for (int lane = 0; lane < W; lane++)
                for (int r = 0; r < BAND; r++) {
                    int row = block * rows + top + r,
                        other = block * columns + first + column + lane;
                    const float *w = s->turned ? conv_taps(s->conv, p, s->w, row, other)
                                               : conv_taps(s->conv, p, s->w, other, row);
                    for (int t = 0; t < 9; t++) tap[r][t][lane] = w ? w[t] : 0;
                }
            for (int r = 0; r < BAND; r++)
                points_of_row(tap[r], s->conv->stride, s->turned, band[0] + r / join * width + column,
                              BAND * PANEL, join == 1 ? FLOATS : r % 2 ? UPPER : LOWER);
        }
        float *u = s->to + (size_t)block * matrix + (size_t)first * (size_t)(rows / join) +
                   (size_t)(top / join * width);
        for (int point = 0; point < POINTS; point++, u += u_point)
            memcpy(u, band[point], (size_t)(BAND / join * width) * sizeof *u);
    }
}

/* Points of the weights in one direction: forward, or turned for the gradient of the input. */
static void winograd_prepare_go(am_team *team, const am_conv *k, const float *w, int turned,
                                float *to)
{
    const conv_plan *p = conv_plan_of(k);
    winograd_prepare s = {k, p, w, to, turned};
    am_team_run(team, p->blocks * (turned ? p->f : p->c) / BAND, winograd_prepare_item, &s);
}
