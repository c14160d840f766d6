/* winograd.c: 3x3 convolution by tiles of 4x4, forward and for the gradient of the input.
 *
 * A tile is lifted to 36 points (transform.c), at each point the channels are a plain matrix
 * product over all tiles at hand, and the products are lowered to 16 outputs:
 *
 *     V[point][tile][c] = B' d B        M[point][tile][f] = V[point] U[point]        y = A' M A
 *
 * The gradient of the input is the same routine on dy, with the taps turned by half a turn, the
 * roles of c and f exchanged, and 2 - pad for pad.  With stride 2 and padding 1 a tile has 81 points
 * for its 16 outputs, or, of the gradient, 64 (transform_stride2.c).
 *
 * Narrow layers run block by block: a piece of work is a few dozen tiles, and its V and M stay in
 * the second cache.  Where U itself is too large for that (512 x 512 x 36 numbers), each point's
 * product runs over many tiles, so that U is read seldom: V and M then get half the room of U.
 *
 * With `pairs` V and U are bf16, neighbouring channels being a pair (vec.h); M is float always.
 *
 * Maps that do not divide into tiles have some that stick out; what lies outside is zero on the way in
 * and is not stored on the way out. */
#include "simd.h"
#include "vec.h"

typedef struct winograd {
    tiling as;
    int points;
    int blocks, c, f; /* groups; channels of a group: in, out */
    int h, w, oh, ow, pad;
    int x_pixel, y_pixel; /* channels of a pixel with padding */
    int lifts; /* channels of x that are lifted: all, or a slab of them */
    size_t x_sample, y_sample; /* elements from sample to sample */
    int down, across, tiles; /* tiles of a sample in each direction, in all */
    int n, groups; /* samples; equal batches whose sums are kept apart */
    const elem *x, *zeros; /* zeros: MOST_SPAN pixels */
    const float *u; /* U of each matrix and block, packed for gemm */
    size_t u_point; /* floats from matrix to matrix */
    elem *y;
    finish finish;
    int run, runs; /* tiles of a piece of work; pieces in a group */
    int pairs;
    int v_tile; /* floats of V, or pairs, from tile to tile */
    size_t v_point, m_point; /* floats from point to point */
    float *room; /* V and M of each worker, or of everybody */
    size_t worker_room;
    int first, count; /* wide: the tiles of this round */
} winograd;

enum { NARROW = 128 * 128, LEAST_WIDE = 1 << 20, MOST_WIDE = 4 << 20 };

/* Floats of U in one direction: of a point, which must not meet the others in one cache set; in all. */
static size_t winograd_point(const conv_plan *p, int turned)
{
    return (size_t)p->blocks * (size_t)p->c * (size_t)p->f / (size_t)(1 + p->pairs[turned]) + 16;
}
static size_t winograd_points(const conv_plan *p, int turned)
{
    return (size_t)POINTS * winograd_point(p, turned);
}

static int winograd_is_wide(const winograd *k)
{
    return k->c * k->f > NARROW;
}

/* Tiles of a piece of work: whole rows of the gemm's tile, V and M within half the second cache,
 * but not so few that U is fetched more often than it is used. */
static int winograd_run(int points, int v_tile, int m_tile)
{
    int fit = 65536 / (points * (v_tile + m_tile));
    return am_simd_up(am_simd_min(am_simd_max(fit, 24), 96), ROWS);
}

/* The largest of equal shares of `all`, none above `most`. */
static int winograd_share(int all, int most)
{
    int shares = (all + most - 1) / most;
    return (all + shares - 1) / shares;
}

static winograd winograd_make(const am_conv *k, int n, int groups, int back)
{
    const conv_plan *p = conv_plan_of(k);
    am_shape in = conv_in(k, n), out = conv_out(k, n);
    winograd g = {.as = k->stride == 1 ? SAME : back ? DOUBLING : HALVING,
                  .points = k->stride == 1 ? POINTS : SPAN_2 * SPAN_2,
                  .blocks = p->blocks,
                  .c = p->c,
                  .f = p->f,
                  .h = k->h,
                  .w = k->w,
                  .oh = k->oh,
                  .ow = k->ow,
                  .pad = k->pad,
                  .x_pixel = am_simd_stride(in),
                  .y_pixel = am_simd_stride(out),
                  .x_sample = sample_elems(in),
                  .y_sample = sample_elems(out),
                  .pairs = p->pairs[back],
                  .u_point = winograd_point(p, back),
                  .n = n,
                  .groups = groups};
    if (back) {
        winograd t = g;
        g.c = t.f, g.f = t.c, g.h = t.oh, g.w = t.ow, g.oh = t.h, g.ow = t.w;
        g.pad = k->stride == 1 ? 2 - t.pad : 0;
        g.x_pixel = t.y_pixel, g.y_pixel = t.x_pixel, g.x_sample = t.y_sample,
        g.y_sample = t.x_sample;
    }
    const int writes = tiling_writes(g.as);
    g.down = (g.oh + writes - 1) / writes;
    g.across = (g.ow + writes - 1) / writes;
    g.tiles = g.down * g.across;
    g.lifts = g.x_pixel;
    g.v_tile = g.x_pixel / (1 + g.pairs);
    int per_group = n / groups * g.tiles;
    g.run = winograd_is_wide(&g)
                ? ROWS
                : am_simd_min(winograd_run(g.points, g.v_tile, g.y_pixel), am_simd_up(per_group, ROWS));
    g.runs = (per_group + g.run - 1) / g.run;
    int tiles = g.run;
    if (winograd_is_wide(&g)) {
        int u = (int)(winograd_points(p, back) / 2);
        int wide = am_simd_min(am_simd_max(u, LEAST_WIDE), MOST_WIDE);
        int most = am_simd_max(wide / (g.points * (g.v_tile + g.y_pixel)) / g.run, 1);
        tiles = winograd_share((n * g.tiles + g.run - 1) / g.run, most) * g.run;
    }
    g.count = tiles;
    g.v_point =
        (size_t)tiles * (size_t)g.v_tile + 16; /* 16: points must not meet in one cache set */
    g.m_point = (size_t)tiles * (size_t)g.y_pixel + 16;
    g.worker_room = (size_t)g.points * (g.v_point + g.m_point);
    return g;
}

/* ---- the way in ---- */

/* Three of the six rows of V's points, W channels of a tile: a half at a time stays in the registers. */
INLINE void lift_half(const elem *const row[SPAN], int pixel, const int left, const int right,
                      const int half, float *v, size_t v_point, const form how)
{
    vec t[SPAN / 2][SPAN];
    UNROLL for (int j = 0; j < SPAN; j++)
    {
        vec d[SPAN];
        UNROLL for (int i = 0; i < SPAN; i++) d[i] =
            (left && j == 0) || (right && j == SPAN - 1) ? all(0) : load_elems(row[i] + j * pixel);
        to_points(d);
        UNROLL for (int i = 0; i < SPAN / 2; i++) t[i][j] = d[half * (SPAN / 2) + i];
    }
    v += (size_t)(half * (POINTS / 2)) * v_point;
    UNROLL for (int i = 0; i < SPAN / 2; i++)
    {
        to_points(t[i]);
        UNROLL for (int j = 0; j < SPAN; j++, v += v_point) put_as(v, t[i][j], how);
    }
}

/* V of a tile whose columns lie inside the map, but for the first or the last where left or right say so. */
INLINE void lift_whole(const winograd *g, const elem *const line[SPAN], const elem *ahead,
                       const int left, const int right, float *v, const form how)
{
    const elem *row[SPAN];
    UNROLL for (int i = 0; i < SPAN; i++) row[i] = line[i];
    for (int c = 0; c < g->lifts; c += W) {
        if (ahead) prefetch(ahead + c * TILE * TILE, W * TILE * TILE * (int)sizeof(elem));
        lift_half(row, g->x_pixel, left, right, 0, v, g->v_point, how);
        lift_half(row, g->x_pixel, left, right, 1, v, g->v_point, how);
        UNROLL for (int i = 0; i < SPAN; i++) row[i] += W;
        v += how == HALVES ? W / 2 : W;
    }
}

/* V of one tile of one sample; v points at the tile's channels of the first point.  What lies outside the map is zero.
 * Both passes stay loops: 36 values do not fit into the registers, nor do 36 addresses. */
INLINE void lift_tile(const winograd *g, const tiling as, const elem *x, int ty, int tx, float *v,
                      const form how)
{
    const int reads = tiling_reads(as), span = tiling_span(as), step = tiling_step(as);
    const elem *row[MOST_SPAN];
    const size_t v_point = g->v_point;
    const int y0 = ty * step - g->pad, x0 = tx * step - g->pad, from = -x0, to = g->w - x0,
              pixel = g->x_pixel;
    /* A tile's share of the rows that the tiles below will need first, in the order of memory; the
     * processor does not see through the strides of the reads themselves. */
    const elem *ahead = g->lifts == pixel
                            ? x + ((ptrdiff_t)(y0 + reads) * g->w + tx * step * step) * pixel
                            : NULL;
    for (int i = 0; i < reads; i++) {
        int y = y0 + i;
        row[i] = y < 0 || y >= g->h ? g->zeros : x + ((ptrdiff_t)y * g->w + x0) * pixel;
    }
    if (as == SAME && from <= 1 && to >= SPAN - 1) {
        if (from <= 0 && to >= SPAN) lift_whole(g, row, ahead, 0, 0, v, how);
        else if (from <= 0) lift_whole(g, row, ahead, 0, 1, v, how);
        else if (to >= SPAN) lift_whole(g, row, ahead, 1, 0, v, how);
        else lift_whole(g, row, ahead, 1, 1, v, how);
        return;
    }
    for (int c = 0; c < g->lifts; c += W) {
        vec t[MOST_SPAN][MOST_SPAN];
        float *point = v + (how == HALVES ? c / 2 : c);
        if (ahead) prefetch(ahead + c * step * step, W * step * step * (int)sizeof(elem));
        ROLLED for (int j = 0; j < reads; j++)
        {
            vec d[MOST_SPAN];
            if (j < from || j >= to) {
                UNROLL for (int i = 0; i < span; i++) t[i][j] = all(0);
                continue;
            }
            UNROLL for (int i = 0; i < reads; i++) d[i] = load_elems(row[i] + j * pixel + c);
            lift(as, d);
            UNROLL for (int i = 0; i < span; i++) t[i][j] = d[i];
        }
        ROLLED for (int i = 0; i < span; i++, point += (size_t)span * v_point)
        {
            vec d[MOST_SPAN];
            UNROLL for (int j = 0; j < reads; j++) d[j] = t[i][j];
            lift(as, d);
            UNROLL for (int j = 0; j < span; j++) put_as(point + (size_t)j * v_point, d[j], how);
        }
    }
}

INLINE void lift_place(const winograd *g, const elem *x, int ty, int tx, float *v, const form how)
{
    if (g->as == SAME) lift_tile(g, SAME, x, ty, tx, v, how);
    else if (g->as == HALVING) lift_tile(g, HALVING, x, ty, tx, v, how);
    else lift_tile(g, DOUBLING, x, ty, tx, v, how);
}

static void winograd_lift(const winograd *g, const elem *x, int ty, int tx, float *v, form how)
{
    if (!PAIRS || how == FLOATS) lift_place(g, x, ty, tx, v, FLOATS);
    else if (how == HALVES) lift_place(g, x, ty, tx, v, HALVES);
    else if (how == LOWER) lift_place(g, x, ty, tx, v, LOWER);
    else lift_place(g, x, ty, tx, v, UPPER);
}

/* ---- the way out ---- */

/* rows x columns of the tile lie inside the map; as, columns and plain are constants where this is called. */
INLINE void lower_tile(const winograd *g, const tiling as, const float *m, size_t at, int rows,
                       const int columns, const int plain, float *sums)
{
    const int span = tiling_span(as), writes = tiling_writes(as);
    const finish *e = &g->finish;
    const size_t line = (size_t)g->ow * (size_t)g->y_pixel, m_point = g->m_point;
    const int pixel = g->y_pixel;
    elem *y = g->y;
    for (int c = 0; c < pixel; c += W) {
        vec t[2 * TILE][MOST_SPAN], sum = all(0), square = all(0);
        const float *point = m + c;
        ROLLED for (int j = 0; j < span; j++, point += m_point)
        {
            vec d[MOST_SPAN];
            UNROLL for (int i = 0; i < span; i++) d[i] = load(point + (size_t)(i * span) * m_point);
            lower(as, d);
            UNROLL for (int i = 0; i < writes; i++) t[i][j] = d[i];
        }
        size_t o = at + (size_t)c;
        const finish_line l = finish_at(e, c);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                __builtin_prefetch(y + o + line * (size_t)i + (size_t)((j + writes) * pixel), 1, 3);
        ROLLED for (int i = 0; i < rows; i++, o += line)
        {
            vec d[MOST_SPAN];
            UNROLL for (int j = 0; j < span; j++) d[j] = t[i][j];
            lower(as, d);
            UNROLL for (int j = 0; j < writes; j++)
            {
                if (j >= columns) continue;
                size_t here = o + (size_t)(j * pixel);
                vec v = plain ? d[j]
                              : finish_vector(e, &l, d[j], e->residual ? e->residual + here : NULL);
                store_elems(y + here, v);
                sum += v;
                square += v * v;
            }
        }
        if (!sums) continue;
        store(sums + c, load(sums + c) + sum);
        store(sums + pixel + c, load(sums + pixel + c) + square);
    }
}

INLINE void lower_place(const winograd *g, const tiling as, int sample, int ty, int tx,
                        const float *m, float *sums)
{
    const int writes = tiling_writes(as), plain = finish_is_plain(&g->finish);
    int rows = am_simd_min(g->oh - ty * writes, writes),
        columns = am_simd_min(g->ow - tx * writes, writes);
    size_t at =
        (size_t)sample * g->y_sample + (size_t)((ty * g->ow + tx) * writes) * (size_t)g->y_pixel;
    if (columns == writes && plain)
        lower_tile(g, as, m, at, rows, writes, 1, sums);
    else if (columns == writes)
        lower_tile(g, as, m, at, rows, writes, 0, sums);
    else
        lower_tile(g, as, m, at, rows, columns, plain, sums);
}

static void winograd_lower(const winograd *g, int sample, int ty, int tx, const float *m,
                           float *sums)
{
    if (g->as == SAME) lower_place(g, SAME, sample, ty, tx, m, sums);
    else if (g->as == HALVING) lower_place(g, HALVING, sample, ty, tx, m, sums);
    else lower_place(g, DOUBLING, sample, ty, tx, m, sums);
}

/* ---- pieces of work ---- */

/* The tiles of a piece: `count` of them from `first`, counted through all samples. */
typedef struct tile_range {
    int first, count;
} tile_range;

static tile_range winograd_piece(const winograd *g, int item)
{
    int per_group = g->n / g->groups * g->tiles, group = item / g->runs, run = item % g->runs;
    return (tile_range){group * per_group + run * g->run,
                        am_simd_min(per_group - run * g->run, g->run)};
}

/* A tile's place, and the way to the next one without dividing. */
typedef struct tile_place {
    int sample, ty, tx;
} tile_place;

static tile_place winograd_place(const winograd *g, int tile)
{
    int inside = tile % g->tiles;
    return (tile_place){tile / g->tiles, inside / g->across, inside % g->across};
}
INLINE void winograd_next(const winograd *g, tile_place *p)
{
    if (++p->tx < g->across) return;
    p->tx = 0;
    if (++p->ty < g->down) return;
    p->ty = 0;
    p->sample++;
}

static void winograd_lift_range(const winograd *g, tile_range r, float *v)
{
    tile_place p = winograd_place(g, r.first);
    for (int t = 0; t < r.count; t++, v += g->v_tile, winograd_next(g, &p))
        winograd_lift(g, g->x + (size_t)p.sample * g->x_sample, p.ty, p.tx, v,
                      g->pairs ? HALVES : FLOATS);
}

static void winograd_multiply(const winograd *g, int point, int tiles, const float *v, float *m)
{
    const int depth = g->c / (1 + g->pairs), matrix = tiling_matrix(g->as, point);
    for (int b = 0; b < g->blocks; b++) {
        matrices product = {.m = tiles,
                            .n = g->f,
                            .k = depth,
                            .pairs = g->pairs,
                            .a = v + (size_t)point * g->v_point + b * depth,
                            .stride_i = (size_t)g->v_tile,
                            .stride_k = 1,
                            .b = g->u + (size_t)matrix * g->u_point +
                                 (size_t)b * (size_t)depth * (size_t)g->f,
                            .c = m + (size_t)point * g->m_point + b * g->f,
                            .stride_c = (size_t)g->y_pixel};
        gemm(&product);
    }
}

static void winograd_lower_range(const winograd *g, tile_range r, const float *m, float *sums)
{
    if (sums) memset(sums, 0, 2 * (size_t)g->y_pixel * sizeof(float));
    tile_place p = winograd_place(g, r.first);
    for (int t = 0; t < r.count; t++, m += g->y_pixel, winograd_next(g, &p))
        winograd_lower(g, p.sample, p.ty, p.tx, m, sums);
}

static float *winograd_sums(const winograd *g, int item)
{
    return g->finish.sums ? g->finish.sums + (size_t)item * 2 * (size_t)g->y_pixel : NULL;
}

static void winograd_narrow_item(const void *arg, int item, int worker)
{
    const winograd *g = arg;
    float *v = g->room + (size_t)worker * g->worker_room, *m = v + (size_t)g->points * g->v_point;
    tile_range r = winograd_piece(g, item);
    winograd_lift_range(g, r, v);
    for (int point = 0; point < g->points; point++) winograd_multiply(g, point, r.count, v, m);
    winograd_lower_range(g, r, m, winograd_sums(g, item));
}

/* Wide: three kinds of work on shared V and M.  Pieces of this round start at piece `first`, each
 * at a place of `run` tiles, so a group's last piece may leave a gap that is computed and not used. */
static void winograd_lift_item(const void *arg, int item, int worker)
{
    const winograd *g = arg;
    (void)worker;
    winograd_lift_range(g, winograd_piece(g, g->first + item),
                        g->room + (size_t)(item * g->run) * (size_t)g->v_tile);
}
static void winograd_multiply_item(const void *arg, int item, int worker)
{
    const winograd *g = arg;
    (void)worker;
    winograd_multiply(g, item, g->count, g->room, g->room + (size_t)g->points * g->v_point);
}
static void winograd_lower_item(const void *arg, int item, int worker)
{
    const winograd *g = arg;
    (void)worker;
    winograd_lower_range(g, winograd_piece(g, g->first + item),
                         g->room + (size_t)g->points * g->v_point +
                             (size_t)(item * g->run) * (size_t)g->y_pixel,
                         winograd_sums(g, g->first + item));
}

static size_t winograd_room(const winograd *g, int threads)
{
    return winograd_is_wide(g) ? g->worker_room : g->worker_room * (size_t)threads;
}

static void winograd_go(am_team *team, winograd *g)
{
    int pieces = g->runs * g->groups;
    if (!winograd_is_wide(g)) {
        am_team_run(team, pieces, winograd_narrow_item, g);
        return;
    }
    int at_once = g->count / g->run;
    for (g->first = 0; g->first < pieces; g->first += at_once) {
        int now = am_simd_min(pieces - g->first, at_once);
        am_team_run(team, now, winograd_lift_item, g);
        g->count = now == 1 ? winograd_piece(g, g->first).count : now * g->run;
        am_team_run(team, g->points, winograd_multiply_item, g);
        am_team_run(team, now, winograd_lower_item, g);
    }
}
