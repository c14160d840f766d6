/* gather_weights.c: the gradient of the weights of a gathered convolution.
 *
 *     dB[tap][c][f] = sum over result pixels of A[pixel][tap][c] * dy[pixel][f]
 *
 * Where PAIRS is, A and dy are pairs of pixels: an even pixel is their lower half, the next one their
 * upper, and a last one without a neighbour has zeros there.
 *
 * The pixels are cut into parts, always the same ones, and the taps into bundles; a piece of work
 * is one bundle over one part, with a dB of its own; the parts are added in order, so the sum does
 * not depend on the threads. */
#include "simd.h"
#include "vec.h"

enum { GRAD_SPOTS = 192 };

typedef struct gather_grad {
    gather g;
    const am_conv *conv;
    const void *dy;
    int parts, bundle, bundles; /* bundle: taps */
    int run;
    float *sum; /* dB of each part: [block][tap][c][columns] */
    size_t part_room, worker_room;
    float *room, *dw, beta;
} gather_grad;

static gather_grad gather_grad_make(const am_conv *k, int n)
{
    gather_grad s = {.g = gather_forward(k, n, 1), .conv = k};
    const gather *g = &s.g;
    int taps = g->taps_y * g->taps_x, pixels = n * g->grid_h * g->grid_w;
    s.bundle = am_simd_min(am_simd_max(256 / g->c / g->taps_x, 1) * g->taps_x,
                           taps); /* whole lines of the window */
    s.bundles = (taps + s.bundle - 1) / s.bundle;
    s.run = am_simd_min(GRAD_SPOTS, pixels);
    s.part_room = (size_t)g->blocks * (size_t)taps * (size_t)g->c * (size_t)g->columns;
    s.parts = am_simd_min((int)am_simd_max((int)((4 << 20) / s.part_room), 2), 16);
    s.parts = am_simd_min(s.parts, (pixels + s.run - 1) / s.run);
    s.worker_room =
        (size_t)((s.run + PAIRS) / (1 + PAIRS)) *
            (size_t)(apart(s.bundle * g->c) + apart(g->blocks * g->columns)) + 32;
    return s;
}

static size_t gather_grad_room(const gather_grad *s, int threads)
{
    return s->part_room * (size_t)s->parts + s->worker_room * (size_t)threads;
}

/* One pixel of dy as a row of blocks * columns numbers. */
INLINE void gather_grad_row(const gather_grad *s, const spot *p, int whole, float *row,
                            const form as)
{
    const gather *g = &s->g;
    const pixels *d = &g->to;
    const int width = g->blocks * g->columns;
    const elem *dy = (const elem *)s->dy + p->to;
    if (whole)
        for (int i = 0; i < width; i += W) put_as(row + i, load_elems(dy + i), as);
    for (int i = 0; i < width && !whole; i++) {
        float v = i >= d->channels ? 0
                  : d->one         ? ((const float *)s->dy)[p->to + (size_t)i]
                                   : get(dy[i]);
        gather_put(row, i, v, as);
    }
}

/* dy of some pixels as a matrix of rows of blocks * columns; where it lies so already, there. */
static const float *gather_grad_rows(const gather_grad *s, const spot *p, int count, float *to,
                                     size_t *stride)
{
    const pixels *d = &s->g.to;
    const int width = s->g.blocks * s->g.columns;
    const int whole = !d->one && d->pixel == width && width % W == 0;
    if (sizeof(elem) == sizeof(float) && whole && width >= 16 && apart(width) == width) {
        *stride = (size_t)width;
        return (const float *)s->dy + p->to;
    }
    *stride = (size_t)apart(width);
    for (int r = 0; r < count; r++) {
        float *row = to + (size_t)(r / (1 + PAIRS)) * *stride;
        if (!PAIRS) gather_grad_row(s, p + r, whole, row, FLOATS);
        else if (r % 2 == 0) gather_grad_row(s, p + r, whole, row, LOWER);
        else gather_grad_row(s, p + r, whole, row, UPPER);
    }
    return to;
}

/* One row of A: `taps` taps from `first` on. */
INLINE void gather_grad_taps(const gather_grad *s, const spot *p, int block, int first, int taps,
                             float *row, const form as)
{
    const gather *g = &s->g;
    int left = taps, ty = first / g->taps_x, tx = first % g->taps_x, i = 0;
    if (taps == g->taps_y * g->taps_x) {
        gather_window(g, p, block, row, as);
        return;
    }
    while (left > 0) {
        int here = am_simd_min(g->taps_x - tx, left);
        i = gather_line(g, p, p->y + ty, tx, tx + here, block, row, i, as);
        left -= here;
        tx = 0;
        ty++;
    }
}

/* A of `taps` taps from `first` on. */
static void gather_grad_bundle(const gather_grad *s, const spot *p, int count, int block, int first,
                               int taps, float *a)
{
    const size_t stride = (size_t)apart(taps * s->g.c);
    for (int r = 0; r < count; r++) {
        float *row = a + (size_t)(r / (1 + PAIRS)) * stride;
        if (!PAIRS) gather_grad_taps(s, p + r, block, first, taps, row, FLOATS);
        else if (r % 2 == 0) gather_grad_taps(s, p + r, block, first, taps, row, LOWER);
        else gather_grad_taps(s, p + r, block, first, taps, row, UPPER);
    }
}

static void gather_grad_item(const void *arg, int item, int worker)
{
    const gather_grad *s = arg;
    const gather *g = &s->g;
    int part = item / s->bundles, first_tap = item % s->bundles * s->bundle,
        taps = g->taps_y * g->taps_x;
    int bundle = am_simd_min(taps - first_tap, s->bundle), depth = bundle * g->c;
    int all_pixels = g->n * g->grid_h * g->grid_w, runs = (all_pixels + s->run - 1) / s->run;
    int from = (int)((long)runs * part / s->parts), to = (int)((long)runs * (part + 1) / s->parts);
    float *a = s->room + (size_t)worker * s->worker_room,
          *d = a + (size_t)((s->run + PAIRS) / (1 + PAIRS)) * (size_t)apart(s->bundle * g->c);
    spot spots[GRAD_SPOTS];
    for (int r = from; r < to; r++) {
        int first = r * s->run, count = am_simd_min(all_pixels - first, s->run);
        size_t stride;
        gather_spots(g, first, count, spots);
        const float *dy = gather_grad_rows(s, spots, count, d, &stride);
        for (int b = 0; b < g->blocks; b++) {
            matrices product = {.m = depth,
                                .n = g->columns,
                                .k = (count + PAIRS) / (1 + PAIRS),
                                .pairs = PAIRS,
                                .a = a,
                                .stride_i = 1,
                                .stride_k = (size_t)apart(depth),
                                .b = dy + b * g->columns,
                                .stride_b = stride,
                                .c = s->sum + (size_t)part * s->part_room +
                                     (size_t)((b * taps + first_tap) * g->c) * (size_t)g->columns,
                                .stride_c = (size_t)g->columns,
                                .add = r > from};
            if (!PAIRS && gather_in_place(g) && apart(g->from.pixel) == g->from.pixel) {
                product.a = (const float *)g->x + (size_t)first * (size_t)g->from.pixel + b * g->c;
                product.stride_k = (size_t)g->from.pixel;
            } else {
                gather_grad_bundle(s, spots, count, b, first_tap, bundle, a);
            }
            gemm(&product);
        }
    }
}

/* dw = beta * dw + sum of the parts, for TOGETHER_C input channels and W filters, both counted
 * through the blocks. */
INLINE void gather_grad_add(const gather_grad *s, int channel, int filter, int tap,
                            float sum[TOGETHER_C][W])
{
    const am_conv *k = s->conv;
    const gather *g = &s->g;
    const int cg = k->c / k->groups, fg = k->filters / k->groups, taps = g->taps_y * g->taps_x;
    const int real = am_simd_min(k->c - channel, TOGETHER_C);
    for (int l = 0; l < W && filter + l < k->filters; l++) {
        const int o = filter + l, before = channel - (k->groups == 1 ? 0 : o / fg * cg);
        const int first = am_simd_max(0, -before), end = am_simd_min(real, cg - before);
        float *dw = s->dw + ((ptrdiff_t)o * cg + before) * taps + tap;
        if (s->beta == 0)
            for (int r = first; r < end; r++) dw[(ptrdiff_t)r * taps] = sum[r][l];
        else
            for (int r = first; r < end; r++)
                dw[(ptrdiff_t)r * taps] = s->beta * dw[(ptrdiff_t)r * taps] + sum[r][l];
    }
}

static void gather_grad_channels(const void *arg, int item, int worker)
{
    const gather_grad *s = arg;
    const gather *g = &s->g;
    const int channel = item * TOGETHER_C, block = channel / g->c, inside = channel % g->c;
    const int count = am_simd_min(TOGETHER_C, g->c - inside), taps = g->taps_y * g->taps_x;
    (void)worker;
    for (int f = 0; f < g->columns; f += W)
        for (int t = 0; t < taps; t++) {
            float sum[TOGETHER_C][W];
            const float *from = s->sum + (size_t)((block * taps + t) * g->c + inside) *
                                             (size_t)g->columns + (size_t)f;
            for (int r = 0; r < count; r++, from += g->columns) {
                vec v = load(from);
                for (int part = 1; part < s->parts; part++)
                    v += load(from + (size_t)part * s->part_room);
                store(sum[r], v);
            }
            gather_grad_add(s, channel, block * g->f + f, t, sum);
        }
}

static void gather_grad_go(am_team *team, gather_grad *s, float *room)
{
    s->sum = room;
    s->room = room + s->part_room * (size_t)s->parts;
    am_team_run(team, s->parts * s->bundles, gather_grad_item, s);
    am_team_run(team, (s->conv->c + TOGETHER_C - 1) / TOGETHER_C, gather_grad_channels, s);
}
