/* winograd_weights.c: weights to points before the products, gradients of weights from points after them.
 *
 * U lies in the panels that gemm reads: forward, a panel's rows are c and its columns f; for the
 * gradient of the input, with the taps turned by half a turn, rows are f and columns c.  Narrow
 * layers keep both, written once per change of the weights.  In wide ones U would be most of a
 * step's memory, 8 times the weights for each net, and its making is little beside the products
 * with a training batch: each trip makes it anew in its scratch (conv_plan.late).
 *
 * With pairs of channels (conv_plan.pairs) two rows of U are one row of pairs.
 *
 * The gradient is the transposed formula, summed over all tiles:
 *
 *     dU[point] = sum over tiles of V[point][tile]' D[point][tile],    D = A dy A',    dw = G' dU G
 *
 * Where PAIRS is, V and D are pairs of tiles: an even tile is their lower half, the next one their
 * upper, and a last one without a neighbour has zeros there.
 *
 * The sum must not depend on the threads.  Narrow layers: the tiles are cut into PARTS, always the
 * same ones, each is summed by one thread into its own dU, and the dU are added in order.  Wide
 * layers: dU is too large for that; the threads share out the points, and each of them goes
 * through all tiles in order. */
#include "simd.h"
#include "vec.h"

/* ---- weights to points ---- */

typedef struct winograd_prepare {
    const am_conv *conv;
    const conv_plan *plan;
    const float *w;
    float *to;
    int turned;
} winograd_prepare;

enum {
    BAND = 128 / PANEL
}; /* rows of U that are written together; divides every number of channels here */

/* Floats of U in one direction. */
static size_t winograd_points(const conv_plan *p)
{
    return (size_t)POINTS * (size_t)p->blocks * (size_t)p->c * (size_t)p->f / (size_t)(1 + p->pairs);
}

/* The place of (row, column) in a matrix of `depth` rows and n columns packed for gemm. */
INLINE size_t packed_at(int depth, int n, int row, int column)
{
    int first = column / PANEL * PANEL, width = am_simd_min(PANEL, n - first);
    return (size_t)first * (size_t)depth + (size_t)row * (size_t)width + (size_t)(column - first);
}

/* U of W columns of one row, from nine vectors of taps. */
INLINE void points_of_taps(float (*tap)[W], const int turned, float *u, size_t u_point,
                           const form as)
{
    vec t[SPAN][3];
    UNROLL for (int x = 0; x < 3; x++)
    {
        vec g[3], column[SPAN];
        UNROLL for (int y = 0; y < 3; y++) g[y] = load(tap[turned ? 8 - (y * 3 + x) : y * 3 + x]);
        taps_to_points(g, column);
        UNROLL for (int i = 0; i < SPAN; i++) t[i][x] = column[i];
    }
    UNROLL for (int i = 0; i < SPAN; i++)
    {
        vec row[SPAN];
        taps_to_points(t[i], row);
        UNROLL for (int j = 0; j < SPAN; j++) put_as(u + (size_t)(i * SPAN + j) * u_point, row[j], as);
    }
}

static void points_of_row(float (*tap)[W], int turned, float *u, size_t u_point, form as)
{
    if (!PAIRS || as == FLOATS) {
        if (turned) points_of_taps(tap, 1, u, u_point, FLOATS);
        else points_of_taps(tap, 0, u, u_point, FLOATS);
    } else if (as == LOWER) {
        points_of_taps(tap, turned, u, u_point, LOWER);
    } else {
        points_of_taps(tap, turned, u, u_point, UPPER);
    }
}

/* A band of rows of every U[point], counted through the blocks, one panel at a time.  The band is put together on the
 * stack: points lie a large power of two apart, and written number by number they would meet in a few cache sets. */
static void winograd_prepare_item(const void *arg, int item, int worker)
{
    const winograd_prepare *s = arg;
    const conv_plan *p = s->plan;
    const int rows = s->turned ? p->f : p->c, columns = s->turned ? p->c : p->f;
    const int block = item * BAND / rows, top = item * BAND % rows, join = 1 + p->pairs;
    const size_t matrix = (size_t)(rows / join) * (size_t)columns, u_point = matrix * (size_t)p->blocks;
    float band[POINTS][BAND * PANEL];
    (void)worker;
    for (int first = 0; first < columns; first += PANEL) {
        const int width = am_simd_min(PANEL, columns - first);
        for (int r = 0; r < BAND; r++)
            for (int column = 0; column < width; column += W) {
                float tap[9][W];
                for (int lane = 0; lane < W; lane++) {
                    int row = block * rows + top + r,
                        other = block * columns + first + column + lane;
                    const float *w = s->turned ? conv_taps(s->conv, p, s->w, row, other)
                                               : conv_taps(s->conv, p, s->w, other, row);
                    for (int t = 0; t < 9; t++) tap[t][lane] = w ? w[t] : 0;
                }
                points_of_row(tap, s->turned, band[0] + r / join * width + column, BAND * PANEL,
                              join == 1 ? FLOATS : r % 2 ? UPPER : LOWER);
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

/* ---- the gradient ---- */

enum { PARTS = 16, PART_ROOM = 8 << 20 };

typedef struct winograd_grad {
    winograd g; /* the forward geometry: x, tiles */
    const am_conv *conv;
    const elem *dy;
    float *v, *d, *du;
    int d_tile; /* floats of D from tile to tile, or from pair to pair */
    size_t d_point, part_room, worker_room;
    int parts, run, first, count;
    float *dw, beta;
} winograd_grad;

/* D of one tile; rows x columns of it lie inside the map, constants where it is whole. */
INLINE void spread_tile(const elem *dy, int line, int pixel, const int rows, const int columns,
                        float *d, size_t d_point, const form as)
{
    for (int c = 0; c < pixel; c += W) {
        vec t[SPAN][SPAN];
        float *point = d + c;
        ROLLED for (int j = 0; j < TILE; j++)
        {
            vec m[SPAN];
            UNROLL for (int i = 0; i < TILE; i++) m[i] =
                i < rows && j < columns ? load_elems(dy + (ptrdiff_t)i * line + j * pixel + c)
                                        : all(0);
            from_points_adjoint(m);
            UNROLL for (int i = 0; i < SPAN; i++) t[i][j] = m[i];
        }
        ROLLED for (int i = 0; i < SPAN; i++, point += SPAN * d_point)
        {
            vec m[SPAN];
            UNROLL for (int j = 0; j < TILE; j++) m[j] = t[i][j];
            from_points_adjoint(m);
            UNROLL for (int j = 0; j < SPAN; j++) put_as(point + (size_t)j * d_point, m[j], as);
        }
    }
}

static void winograd_spread(const winograd_grad *s, const elem *dy, int rows, int columns, float *d,
                            form as)
{
    const winograd *g = &s->g;
    const int line = g->ow * g->y_pixel, whole = rows == TILE && columns == TILE;
    if (PAIRS && as == LOWER && whole)
        spread_tile(dy, line, g->y_pixel, TILE, TILE, d, s->d_point, LOWER);
    else if (PAIRS && as == LOWER)
        spread_tile(dy, line, g->y_pixel, rows, columns, d, s->d_point, LOWER);
    else if (PAIRS && whole)
        spread_tile(dy, line, g->y_pixel, TILE, TILE, d, s->d_point, UPPER);
    else if (PAIRS)
        spread_tile(dy, line, g->y_pixel, rows, columns, d, s->d_point, UPPER);
    else if (whole)
        spread_tile(dy, line, g->y_pixel, TILE, TILE, d, s->d_point, FLOATS);
    else
        spread_tile(dy, line, g->y_pixel, rows, columns, d, s->d_point, FLOATS);
}

/* V and D of `count` tiles from `first` on. */
static void winograd_grad_lift(const winograd_grad *s, int first, int count, float *v, float *d)
{
    const winograd *g = &s->g;
    for (int t = 0; t < count; t++) {
        int sample = (first + t) / g->tiles, tile = (first + t) % g->tiles;
        int ty = tile / g->across, tx = tile % g->across, row = t / (1 + PAIRS);
        form as = !PAIRS ? FLOATS : t % 2 ? UPPER : LOWER;
        winograd_lift(g, g->x + (size_t)sample * g->x_sample, ty, tx,
                      v + (size_t)row * (size_t)g->v_tile, as);
        const elem *dy = s->dy + (size_t)sample * g->y_sample +
                         (size_t)((ty * g->ow + tx) * TILE) * (size_t)g->y_pixel;
        winograd_spread(s, dy, am_simd_min(g->oh - ty * TILE, TILE),
                        am_simd_min(g->ow - tx * TILE, TILE), d + (size_t)row * (size_t)s->d_tile,
                        as);
    }
}

static void winograd_grad_multiply(const winograd_grad *s, int point, int tiles, const float *v,
                                   const float *d, float *du, int add)
{
    const winograd *g = &s->g;
    for (int b = 0; b < g->blocks; b++) {
        matrices product = {.m = g->c,
                            .n = g->f,
                            .k = (tiles + PAIRS) / (1 + PAIRS),
                            .pairs = PAIRS,
                            .a = v + (size_t)point * g->v_point + b * g->c,
                            .stride_i = 1,
                            .stride_k = (size_t)g->v_tile,
                            .b = d + (size_t)point * s->d_point + b * g->f,
                            .stride_b = (size_t)s->d_tile,
                            .c = du + (size_t)(point * g->blocks + b) * (size_t)g->c * (size_t)g->f,
                            .stride_c = (size_t)g->f,
                            .add = add};
        gemm(&product);
    }
}

static void winograd_grad_part(const void *arg, int part, int worker)
{
    const winograd_grad *s = arg;
    int tiles = s->g.n * s->g.tiles, runs = (tiles + s->run - 1) / s->run;
    int from = (int)((long)runs * part / s->parts), to = (int)((long)runs * (part + 1) / s->parts);
    float *v = s->v + (size_t)worker * s->worker_room, *d = v + POINTS * s->g.v_point;
    float *du = s->du + (size_t)part * s->part_room;
    for (int r = from; r < to; r++) {
        int count = am_simd_min(tiles - r * s->run, s->run);
        winograd_grad_lift(s, r * s->run, count, v, d);
        for (int point = 0; point < POINTS; point++)
            winograd_grad_multiply(s, point, count, v, d, du, r > from);
    }
}

static void winograd_grad_lift_item(const void *arg, int item, int worker)
{
    const winograd_grad *s = arg;
    (void)worker;
    int at = item * s->run, row = at / (1 + PAIRS);
    winograd_grad_lift(s, s->first + at, am_simd_min(s->count - at, s->run),
                       s->v + (size_t)row * (size_t)s->g.v_tile,
                       s->d + (size_t)row * (size_t)s->d_tile);
}
static void winograd_grad_multiply_item(const void *arg, int item, int worker)
{
    const winograd_grad *s = arg;
    (void)worker;
    winograd_grad_multiply(s, item, s->count, s->v, s->d, s->du, s->first > 0);
}

/* dw = beta * dw + G' (sum of dU) G for one input channel. */
static void winograd_grad_row(const void *arg, int row, int worker)
{
    const winograd_grad *s = arg;
    const winograd *g = &s->g;
    const am_conv *k = s->conv;
    (void)worker;
    int block = row / g->c, cg = k->c / k->groups, fg = k->filters / k->groups;
    if (row >= k->c) return;
    size_t u_point = (size_t)g->blocks * (size_t)g->c * (size_t)g->f;
    for (int f = 0; f < g->f; f += W) {
        const float *du = s->du +
                          ((size_t)block * (size_t)g->c + (size_t)(row % g->c)) * (size_t)g->f +
                          (size_t)f;
        vec t[3][SPAN], tap[3][3];
        UNROLL for (int j = 0; j < SPAN; j++)
        {
            vec u[SPAN], column[3];
            UNROLL for (int i = 0; i < SPAN; i++)
            {
                const float *at = du + (size_t)(i * SPAN + j) * u_point;
                u[i] = load(at);
                for (int part = 1; part < s->parts; part++)
                    u[i] += load(at + (size_t)part * s->part_room);
            }
            taps_to_points_adjoint(u, column);
            UNROLL for (int y = 0; y < 3; y++) t[y][j] = column[y];
        }
        UNROLL for (int y = 0; y < 3; y++) taps_to_points_adjoint(t[y], tap[y]);
        float lanes[9][W];
        UNROLL for (int i = 0; i < 9; i++) store(lanes[i], tap[i / 3][i % 3]);
        for (int lane = 0; lane < W; lane++) {
            int o = block * g->f + f + lane, group = o / fg;
            if (o >= k->filters || row < group * cg || row >= (group + 1) * cg) continue;
            float *dw = s->dw + ((size_t)o * (size_t)cg + (size_t)(row - group * cg)) * 9;
            for (int i = 0; i < 9; i++)
                dw[i] = s->beta == 0 ? lanes[i][lane] : s->beta * dw[i] + lanes[i][lane];
        }
    }
}

static winograd_grad winograd_grad_make(const am_conv *k, int n)
{
    winograd_grad s = {.g = winograd_make(k, n, 1, 0), .conv = k};
    const winograd *g = &s.g;
    int tiles = n * g->tiles;
    s.part_room = (size_t)POINTS * (size_t)g->blocks * (size_t)g->c * (size_t)g->f;
    if (winograd_is_wide(g)) {
        s.parts = 1;
        s.run = ROWS;
        s.count =
            am_simd_min(am_simd_max(WIDE_ROOM / (POINTS * (g->x_pixel + g->y_pixel)), ROWS), tiles);
    } else {
        s.run = am_simd_min(96, tiles);
        s.count = s.run;
        s.parts = am_simd_min(am_simd_max((int)(PART_ROOM / s.part_room), 2), PARTS);
        s.parts = am_simd_min(s.parts, (tiles + s.run - 1) / s.run);
    }
    s.g.v_tile = apart(g->x_pixel);
    s.d_tile = apart(g->y_pixel);
    size_t rows = (size_t)(s.count + PAIRS) / (1 + PAIRS);
    s.g.v_point = rows * (size_t)g->v_tile + 16;
    s.d_point = rows * (size_t)s.d_tile + 16;
    s.worker_room = POINTS * (g->v_point + s.d_point);
    return s;
}

static size_t winograd_grad_room(const winograd_grad *s, int threads)
{
    return s->part_room * (size_t)s->parts +
           s->worker_room * (size_t)(winograd_is_wide(&s->g) ? 1 : threads);
}

static void winograd_grad_go(am_team *team, winograd_grad *s, float *room)
{
    s->du = room;
    s->v = room + s->part_room * (size_t)s->parts;
    s->d = s->v + POINTS * s->g.v_point;
    if (winograd_is_wide(&s->g)) {
        int tiles = s->g.n * s->g.tiles, at_once = s->count;
        for (s->first = 0; s->first < tiles; s->first += at_once) {
            s->count = am_simd_min(tiles - s->first, at_once);
            am_team_run(team, (s->count + s->run - 1) / s->run, winograd_grad_lift_item, s);
            am_team_run(team, POINTS, winograd_grad_multiply_item, s);
        }
    } else {
        am_team_run(team, s->parts, winograd_grad_part, s);
    }
    am_team_run(team, s->g.blocks * s->g.c, winograd_grad_row, s);
}
