/* winograd_grad.c: the gradient of the weights, the transposed formula summed over all tiles:
 *
 *     dU[point] = sum over tiles of V[point][tile]' D[point][tile],    D = A dy A',    dw = G' dU G
 *
 * Where PAIRS is, V and D are pairs of tiles: an even tile is their lower half, the next one their
 * upper, and a last one without a neighbour has zeros there.
 *
 * The sum must not depend on the threads.  Narrow layers: the tiles are cut into PARTS, always the
 * same ones, each is summed by one thread into its own dU, and the dU are added in order.  Wide
 * layers, whose dU would be most of the step's traffic: D of some tiles is made first, for all; then
 * the threads share out slabs of input channels.  A slab's V and dU stay with its thread: dU goes
 * through these tiles in order and is turned into dw while it is in the cache. */
#include "simd.h"
#include "vec.h"

enum { PARTS = 16, NARROW_RUN = 64 };

/* Most floats: of the parts' dU; of D; of a slab's V; of its dU. */
enum { PART_ROOM = 5 << 20, GRAD_ROOM = 1 << 20, SLAB_ROOM = 144 << 10, SUMS_ROOM = 600 << 10 };

typedef struct winograd_grad {
    winograd g; /* the forward geometry: x, tiles */
    const am_conv *conv;
    const elem *dy;
    float *v, *d, *du;
    int d_tile; /* floats of D from tile to tile, or from pair to pair */
    size_t d_point, v_room, d_room, worker_room, du_room; /* du_room: of a part, or of a worker's slab */
    int parts, run; /* narrow: parts; tiles that are lifted at a time */
    int slab, slabs; /* wide: input channels of a slab; slabs of a block */
    int first, count; /* wide: the tiles of this round */
    float *dw, beta;
} winograd_grad;

static int winograd_grad_is_wide(const winograd_grad *s)
{
    return winograd_is_wide(&s->g);
}

static size_t winograd_grad_point(const winograd *g)
{
    return (size_t)g->blocks * (size_t)g->c * (size_t)g->f;
}

/* D of one tile; rows x columns of it lie inside the map, constants where it is whole. */
INLINE void spread_tile(const tiling as, const elem *dy, const elem *ahead, int line, int pixel,
                        const int rows, const int columns, float *d, size_t d_point, const form how)
{
    const int span = tiling_span(as);
    for (int c = 0; c < pixel; c += W) {
        vec t[MOST_SPAN][TILE];
        float *point = d + c;
        prefetch(ahead + c * TILE * TILE, W * TILE * TILE * (int)sizeof(elem));
        ROLLED for (int j = 0; j < TILE; j++)
        {
            vec m[MOST_SPAN];
            UNROLL for (int i = 0; i < TILE; i++) m[i] =
                i < rows && j < columns ? load_elems(dy + (ptrdiff_t)i * line + j * pixel + c)
                                        : all(0);
            lower_adjoint(as, m);
            UNROLL for (int i = 0; i < span; i++) t[i][j] = m[i];
        }
        ROLLED for (int i = 0; i < span; i++, point += (size_t)span * d_point)
        {
            vec m[MOST_SPAN];
            UNROLL for (int j = 0; j < TILE; j++) m[j] = t[i][j];
            lower_adjoint(as, m);
            UNROLL for (int j = 0; j < span; j++) put_as(point + (size_t)j * d_point, m[j], how);
        }
    }
}

INLINE void spread_place(const winograd_grad *s, const tiling as, tile_place p, float *d,
                         const form how)
{
    const winograd *g = &s->g;
    const int line = g->ow * g->y_pixel, rows = am_simd_min(g->oh - p.ty * TILE, TILE),
              columns = am_simd_min(g->ow - p.tx * TILE, TILE);
    const elem *sample = s->dy + (size_t)p.sample * g->y_sample;
    const elem *dy = sample + (size_t)((p.ty * g->ow + p.tx) * TILE) * (size_t)g->y_pixel;
    /* as in winograd.c: lift_tile */
    const elem *ahead =
        sample + (size_t)(((p.ty + 1) * g->ow + p.tx * TILE) * TILE) * (size_t)g->y_pixel;
    if (rows == TILE && columns == TILE)
        spread_tile(as, dy, ahead, line, g->y_pixel, TILE, TILE, d, s->d_point, how);
    else
        spread_tile(as, dy, ahead, line, g->y_pixel, rows, columns, d, s->d_point, how);
}

INLINE void spread_as(const winograd_grad *s, tile_place p, float *d, const form how)
{
    if (s->g.as == SAME) spread_place(s, SAME, p, d, how);
    else spread_place(s, HALVING, p, d, how);
}

static void winograd_spread(const winograd_grad *s, tile_place p, float *d, form how)
{
    if (!PAIRS) spread_as(s, p, d, FLOATS);
    else if (how == LOWER) spread_as(s, p, d, LOWER);
    else spread_as(s, p, d, UPPER);
}

/* How tile t of a run is put into its row, t / (1 + PAIRS). */
INLINE form winograd_grad_form(int t)
{
    return !PAIRS ? FLOATS : t % 2 ? UPPER : LOWER;
}

/* V of `count` tiles from `first` on. */
static void winograd_grad_lift(const winograd *g, int first, int count, float *v)
{
    tile_place p = winograd_place(g, first);
    for (int t = 0; t < count; t++, winograd_next(g, &p))
        winograd_lift(g, g->x + (size_t)p.sample * g->x_sample, p.ty, p.tx,
                      v + (size_t)(t / (1 + PAIRS)) * (size_t)g->v_tile, winograd_grad_form(t));
}

/* And D. */
static void winograd_grad_spread(const winograd_grad *s, int first, int count, float *d)
{
    tile_place p = winograd_place(&s->g, first);
    for (int t = 0; t < count; t++, winograd_next(&s->g, &p))
        winograd_spread(s, p, d + (size_t)(t / (1 + PAIRS)) * (size_t)s->d_tile,
                        winograd_grad_form(t));
}

/* Whether an earlier point has the same matrix. */
static int winograd_shares(const winograd *g, int point)
{
    return g->as != SAME && (point / SPAN_2 > OUTER || point % SPAN_2 > OUTER);
}

/* dU (+)= V[point]' D[point] for m input channels of a block; v is the first one's. */
static void winograd_grad_multiply(const winograd_grad *s, int point, int block, int m, int tiles,
                                   const float *v, const float *d, float *du, int add)
{
    const winograd *g = &s->g;
    matrices product = {.m = m,
                        .n = g->f,
                        .k = (tiles + PAIRS) / (1 + PAIRS),
                        .pairs = PAIRS,
                        .a = v + (size_t)point * g->v_point,
                        .stride_i = 1,
                        .stride_k = (size_t)g->v_tile,
                        .b = d + (size_t)point * s->d_point + block * g->f,
                        .stride_b = (size_t)s->d_tile,
                        .next = d + (size_t)(point + 1) * s->d_point + block * g->f,
                        .c = du,
                        .stride_c = (size_t)g->f,
                        .add = add || winograd_shares(g, point)};
    gemm(&product);
}

/* ---- dU to taps ---- */

/* dU of some input channels of a block: rows of f numbers, the same for each point and part. */
typedef struct point_sums {
    const float *du;
    size_t point, part; /* floats from point to point, from part to part */
    int parts;
} point_sums;

INLINE void lift_taps_adjoint(const int stride, const vec u[SPAN], vec g[3])
{
    if (stride == 1) taps_to_points_adjoint(u, g);
    else stride2_taps_to_points_adjoint(u, g);
}

/* The nine taps of W filters of one input channel, G' (sum of dU) G; du points at the first of them. */
INLINE void taps_of_points(const point_sums *p, const int stride, const float *du, float (*tap)[W])
{
    vec t[3][SPAN];
    UNROLL for (int j = 0; j < SPAN; j++)
    {
        vec u[SPAN], column[3];
        UNROLL for (int i = 0; i < SPAN; i++)
        {
            const float *at = du + (size_t)(i * SPAN + j) * p->point;
            u[i] = load(at);
            for (int part = 1; part < p->parts; part++) u[i] += load(at + (size_t)part * p->part);
        }
        lift_taps_adjoint(stride, u, column);
        UNROLL for (int y = 0; y < 3; y++) t[y][j] = column[y];
    }
    UNROLL for (int y = 0; y < 3; y++)
    {
        vec x[3];
        lift_taps_adjoint(stride, t[y], x);
        UNROLL for (int i = 0; i < 3; i++) store(tap[y * 3 + i], x[i]);
    }
}

/* Ask for what the next call of taps_of_points reads, and for the lines of dw that the taps go to. */
INLINE void ask_points(const point_sums *p, const float *du)
{
    for (int i = 0; i < POINTS; i++) prefetch(du + (size_t)i * p->point, W * 4);
}
static void ask_taps(const float *dw, int filters, size_t filter)
{
    for (int i = 0; i < filters; i++) prefetch(dw + (size_t)i * filter, BAND * 9 * 4);
}

/* dw = beta * dw + taps for BAND input channels from c on of a block; p->du is their first row. */
static void winograd_grad_band(const winograd_grad *s, const point_sums *p, int block, int c,
                               float beta)
{
    const winograd *g = &s->g;
    const am_conv *k = s->conv;
    const int cg = k->c / k->groups, fg = k->filters / k->groups;
    const size_t filter = (size_t)cg * 9;
    for (int f = 0; f < g->f; f += W) {
        float tap[BAND][9][W];
        const int o = block * g->f + f, filters = am_simd_min(k->filters - o, W);
        const int whole = k->groups == 1 && c + BAND <= cg && filters == W;
        float *corner = whole ? s->dw + (size_t)o * filter + (size_t)c * 9 : NULL;
        if (whole) ask_taps(corner, W, filter);
        for (int r = 0; r < BAND; r++) {
            const float *du = p->du + (size_t)r * (size_t)g->f + f;
            ask_points(p, du + W);
            if (k->stride == 1) taps_of_points(p, 1, du, tap[r]);
            else taps_of_points(p, 2, du, tap[r]);
        }
        for (int n = 0; whole && n < BAND * 9; n += W) {
            vec v[W];
            UNROLL for (int i = 0; i < W; i++) v[i] = load(tap[0][0] + (n + i) * W);
            transpose(v);
            UNROLL for (int i = 0; i < W; i++)
            {
                float *dw = corner + (size_t)i * filter + n;
                store(dw, beta == 0 ? v[i] : all(beta) * load(dw) + v[i]);
            }
        }
        for (int lane = 0; !whole && lane < filters; lane++)
            for (int r = 0; r < BAND; r++) {
                const int i = block * g->c + c + r - (o + lane) / fg * cg;
                if (i < 0 || i >= cg) continue;
                float *dw = s->dw + (size_t)(o + lane) * filter + (size_t)i * 9;
                for (int t = 0; t < 9; t++)
                    dw[t] = beta == 0 ? tap[r][t][lane] : beta * dw[t] + tap[r][t][lane];
            }
    }
}

/* ---- narrow ---- */

static void winograd_grad_part(const void *arg, int part, int worker)
{
    const winograd_grad *s = arg;
    const winograd *g = &s->g;
    int tiles = g->n * g->tiles, runs = (tiles + s->run - 1) / s->run;
    int from = (int)((long)runs * part / s->parts), to = (int)((long)runs * (part + 1) / s->parts);
    float *v = s->v + (size_t)worker * s->worker_room, *d = v + s->v_room;
    for (int r = from; r < to; r++) {
        int count = am_simd_min(tiles - r * s->run, s->run);
        winograd_grad_lift(g, r * s->run, count, v);
        winograd_grad_spread(s, r * s->run, count, d);
        for (int point = 0; point < g->points; point++)
            for (int b = 0; b < g->blocks; b++)
                winograd_grad_multiply(s, point, b, g->c, count, v + b * g->c, d,
                                       s->du + (size_t)part * s->du_room +
                                           (size_t)(tiling_matrix(g->as, point) * g->blocks + b) *
                                               (size_t)(g->c * g->f),
                                       r > from);
    }
}

static void winograd_grad_finish_item(const void *arg, int item, int worker)
{
    const winograd_grad *s = arg;
    const int c = item * BAND;
    point_sums p = {s->du + (size_t)c * (size_t)s->g.f, winograd_grad_point(&s->g), s->du_room,
                    s->parts};
    (void)worker;
    winograd_grad_band(s, &p, c / s->g.c, c % s->g.c, s->beta);
}

/* ---- wide ---- */

static void winograd_grad_spread_item(const void *arg, int item, int worker)
{
    const winograd_grad *s = arg;
    (void)worker;
    int at = item * s->run, row = at / (1 + PAIRS);
    winograd_grad_spread(s, s->first + at, am_simd_min(s->count - at, s->run),
                         s->d + (size_t)row * (size_t)s->d_tile);
}

static void winograd_grad_slab(const void *arg, int item, int worker)
{
    const winograd_grad *s = arg;
    winograd g = s->g;
    const int block = item / s->slabs, c = item % s->slabs * s->slab,
              rows = am_simd_min(g.c - c, s->slab);
    float *du = s->du + (size_t)worker * s->worker_room, *v = du + s->du_room;
    point_sums p = {du, s->du_room / POINTS, 0, 1};
    g.x += block * g.c + c;
    g.lifts = rows;
    winograd_grad_lift(&g, s->first, s->count, v);
    for (int point = 0; point < g.points; point++)
        winograd_grad_multiply(s, point, block, rows, s->count, v, s->d,
                               du + (size_t)tiling_matrix(g.as, point) * p.point, 0);
    for (int r = 0; r < rows; r += BAND, p.du += BAND * g.f)
        winograd_grad_band(s, &p, block, c + r, s->first ? 1 : s->beta);
}

/* ---- both ---- */

static winograd_grad winograd_grad_make(const am_conv *k, int n)
{
    winograd_grad s = {.g = winograd_make(k, n, 1, 0), .conv = k};
    const winograd *g = &s.g;
    int tiles = n * g->tiles, lifts = g->x_pixel;
    if (winograd_grad_is_wide(&s)) {
        s.run = ROWS;
        int most = GRAD_ROOM / (g->points * g->y_pixel) * (1 + PAIRS);
        s.count = winograd_share(tiles, am_simd_max(most, ROWS));
        int slab = am_simd_min(SLAB_ROOM * (1 + PAIRS) / (g->points * s.count),
                               SUMS_ROOM / (POINTS * g->f));
        s.slab = lifts = am_simd_min(am_simd_max(slab / BAND, 1) * BAND, g->c);
        s.slabs = (g->c + s.slab - 1) / s.slab;
        s.du_room = POINTS * ((size_t)s.slab * (size_t)g->f + 16);
    } else {
        s.run = am_simd_min(NARROW_RUN, tiles);
        s.count = s.run;
        s.du_room = POINTS * winograd_grad_point(g);
        for (s.parts = PARTS; s.parts > 2 && s.du_room * (size_t)s.parts > PART_ROOM;) s.parts /= 2;
        s.parts = am_simd_min(s.parts, (tiles + s.run - 1) / s.run);
    }
    s.g.v_tile = apart(lifts);
    s.d_tile = apart(g->y_pixel);
    size_t rows = (size_t)(s.count + PAIRS) / (1 + PAIRS);
    s.g.v_point = rows * (size_t)g->v_tile + 16;
    s.d_point = rows * (size_t)s.d_tile + 16;
    s.v_room = (size_t)g->points * g->v_point;
    s.d_room = (size_t)g->points * s.d_point;
    s.worker_room = s.v_room + (winograd_grad_is_wide(&s) ? s.du_room : s.d_room);
    return s;
}

static size_t winograd_grad_room(const winograd_grad *s, int threads)
{
    size_t shared = winograd_grad_is_wide(s) ? s->d_room : s->du_room * (size_t)s->parts;
    return shared + s->worker_room * (size_t)threads;
}

static void winograd_grad_go(am_team *team, winograd_grad *s, float *room)
{
    const winograd *g = &s->g;
    if (!winograd_grad_is_wide(s)) {
        s->du = room;
        s->v = room + s->du_room * (size_t)s->parts;
        am_team_run(team, s->parts, winograd_grad_part, s);
        am_team_run(team, g->blocks * g->c / BAND, winograd_grad_finish_item, s);
        return;
    }
    int tiles = g->n * g->tiles, at_once = s->count;
    s->d = room;
    s->du = room + s->d_room;
    for (s->first = 0; s->first < tiles; s->first += at_once) {
        s->count = am_simd_min(tiles - s->first, at_once);
        am_team_run(team, (s->count + s->run - 1) / s->run, winograd_grad_spread_item, s);
        am_team_run(team, g->blocks * s->slabs, winograd_grad_slab, s);
    }
}
