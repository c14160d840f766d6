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

/* Rows of U that are made together, input channels of dw likewise: divides every number of channels
 * here, and BAND * 9 taps are whole vectors. */
enum { BAND = 16 };

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
    if (as == STREAMED) {
        if (turned) points_of_taps(tap, stride, 1, u, u_point, STREAMED);
        else points_of_taps(tap, stride, 0, u, u_point, STREAMED);
    } else if (!PAIRS || as == FLOATS) {
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

/* The taps of BAND rows in W columns, counted through the blocks: a column is a filter and a row an
 * input channel, or, turned, the other way around.  In memory a filter's taps are neighbours, channel
 * after channel; what has no taps gets zeros. */
static void taps_of_rows(const winograd_prepare *s, int row, int column, float (*tap)[9][W])
{
    const am_conv *k = s->conv;
    const int filter = s->turned ? row : column, filters = s->turned ? BAND : W,
              channel = s->turned ? column : row, channels = s->turned ? W : BAND;
    const int whole = k->groups == 1 && channel + channels <= k->c;
    float line[BAND][9 * BAND + W];
    vec v[W];
    for (int i = 0; i < filters; i++)
        for (int c = 0; c < channels; c++) {
            const float *w = conv_taps(k, s->plan, s->w, filter + i, channel + c);
            if (w && whole) {
                memcpy(line[i], w, (size_t)(channels * 9) * sizeof *w);
                break;
            }
            if (w) memcpy(line[i] + c * 9, w, 9 * sizeof *w);
            else memset(line[i] + c * 9, 0, 9 * sizeof *w);
        }
    if (!s->turned) {
        for (int n = 0; n < BAND * 9; n += W) {
            UNROLL for (int i = 0; i < W; i++) v[i] = load(line[i] + n);
            transpose(v);
            UNROLL for (int i = 0; i < W; i++) store(tap[0][0] + (n + i) * W, v[i]);
        }
        return;
    }
    for (int r = 0; r < BAND; r++) {
        memset(line[r] + 9 * W, 0, W * sizeof **line); /* the last channel's row ends there */
        for (int t = 0; t < 9; t += W) {
            UNROLL for (int i = 0; i < W; i++) v[i] = load(line[r] + i * 9 + t);
            transpose(v);
            UNROLL for (int i = 0; i < W; i++) if (t + i < 9) store(tap[r][t + i], v[i]);
        }
    }
}

/* A band of rows of every U[point], counted through the blocks. */
static void winograd_prepare_item(const void *arg, int item, int worker)
{
    const winograd_prepare *s = arg;
    const conv_plan *p = s->plan;
    const int rows = s->turned ? p->f : p->c, columns = s->turned ? p->c : p->f;
    const int block = item * BAND / rows, top = item * BAND % rows, join = 1 + p->pairs[s->turned];
    const size_t matrix = (size_t)(rows / join) * (size_t)columns,
                 u_point = winograd_point(p, s->turned);
    const form whole = p->late && (uintptr_t)s->to % 64 == 0 ? STREAMED : FLOATS;
    (void)worker;
    for (int first = 0; first < columns; first += PANEL) {
        const int width = am_simd_min(PANEL, columns - first);
        float *u = s->to + (size_t)block * matrix + (size_t)first * (size_t)(rows / join) +
                   (size_t)(top / join * width);
        for (int column = 0; column < width; column += W) {
            float tap[BAND][9][W];
            taps_of_rows(s, block * rows + top, block * columns + first + column, tap);
            for (int r = 0; r < BAND; r++)
                points_of_row(tap[r], s->conv->stride, s->turned, u + r / join * width + column,
                              u_point, join == 1 ? whole : r % 2 ? UPPER : LOWER);
        }
    }
    stream_end();
}

/* Points of the weights in one direction: forward, or turned for the gradient of the input. */
static void winograd_prepare_go(am_team *team, const am_conv *k, const float *w, int turned,
                                float *to)
{
    const conv_plan *p = conv_plan_of(k);
    winograd_prepare s = {k, p, w, to, turned};
    am_team_run(team, p->blocks * (turned ? p->f : p->c) / BAND, winograd_prepare_item, &s);
}
