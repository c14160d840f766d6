/* gather_weights.c: the gradient of the weights of a gathered convolution.
 *
 *     dB[tap][c][f] = sum over result pixels of A[pixel][tap][c] * dy[pixel][f]
 *
 * The pixels are cut into parts, always the same ones, and the taps into bundles; a piece of work
 * is one bundle over one part, with a dB of its own; the parts are added in order, so the sum does
 * not depend on the threads. */
#include "simd.h"
#include "vec.h"

typedef struct gather_grad {
    gather g;
    const am_conv *conv;
    const void *dy;
    int parts, bundle, bundles; /* bundle: taps */
    int run;
    float *sum;                 /* dB of each part: [block][tap][c][columns] */
    size_t part_room, worker_room;
    float *room, *dw, beta;
} gather_grad;

static gather_grad gather_grad_make(const am_conv *k, int n)
{
    gather_grad s = {.g = gather_forward(k, n, 1), .conv = k};
    const gather *g = &s.g;
    int taps = g->taps_y * g->taps_x, pixels = n * g->grid_h * g->grid_w;
    s.bundle = am_simd_min(am_simd_max(64 / g->c, 1), taps);
    s.bundles = (taps + s.bundle - 1) / s.bundle;
    s.run = am_simd_min(96, pixels);
    s.part_room = (size_t)g->blocks * (size_t)taps * (size_t)g->c * (size_t)g->columns;
    s.parts = am_simd_min((int)am_simd_max((int)((4 << 20) / s.part_room), 2), 16);
    s.parts = am_simd_min(s.parts, (pixels + s.run - 1) / s.run);
    s.worker_room = (size_t)s.run * (size_t)(s.bundle * g->c + g->blocks * g->columns) + 32;
    return s;
}

static size_t gather_grad_room(const gather_grad *s, int threads)
{
    return s->part_room * (size_t)s->parts + s->worker_room * (size_t)threads;
}

/* dy of pixels first .. first+count-1 as a matrix of rows of blocks * columns; where it lies so already, there. */
static const float *gather_grad_rows(const gather_grad *s, int first, int count, float *to, size_t *stride)
{
    const pixels *d = &s->g.to;
    const gather *g = &s->g;
    if (sizeof(elem) == sizeof(float) && !d->one && d->pixel == g->blocks * g->columns && d->pixel >= 16) {
        *stride = (size_t)d->pixel;
        return (const float *)s->dy + (size_t)first * (size_t)d->pixel;
    }
    int plane = g->grid_h * g->grid_w, width = g->blocks * g->columns;
    *stride = (size_t)width;
    for (int r = 0; r < count; r++) {
        size_t at = (size_t)((first + r) / plane) * d->sample + (size_t)((first + r) % plane) * (size_t)d->pixel;
        for (int i = 0; i < width; i++) {
            float v = 0;
            if (i < d->channels) v = d->one ? ((const float *)s->dy)[at + (size_t)i] : get(((const elem *)s->dy)[at + (size_t)i]);
            to[(size_t)(r * width + i)] = v;
        }
    }
    return to;
}

/* A of the taps from `first_tap` on. */
static void gather_grad_bundle(const gather_grad *s, int first, int count, int block, int first_tap, int taps, float *a)
{
    const gather *g = &s->g;
    const pixels *f = &g->from;
    int plane = g->grid_h * g->grid_w, c = g->c, real = f->one ? am_simd_min(f->channels - block * c, c) : c;
    for (int r = 0; r < count; r++) {
        int sample = (first + r) / plane, pixel = (first + r) % plane;
        int y0 = g->step * (pixel / g->grid_w) + g->start_y, x0 = g->step * (pixel % g->grid_w) + g->start_x;
        for (int t = first_tap; t < first_tap + taps; t++, a += c) {
            int y = y0 + t / g->taps_x, x = x0 + t % g->taps_x;
            if (y < 0 || y >= f->h || x < 0 || x >= f->w) {
                memset(a, 0, (size_t)c * sizeof *a);
                continue;
            }
            gather_copy(g, (size_t)sample * f->sample + (size_t)(y * f->w + x) * (size_t)f->pixel + (size_t)(block * c), real, a);
            for (int i = real; i < c; i++) a[i] = 0;
        }
    }
}

static void gather_grad_item(const void *arg, int item, int worker)
{
    const gather_grad *s = arg;
    const gather *g = &s->g;
    int part = item / s->bundles, first_tap = item % s->bundles * s->bundle, taps = g->taps_y * g->taps_x;
    int bundle = am_simd_min(taps - first_tap, s->bundle), depth = bundle * g->c;
    int all_pixels = g->n * g->grid_h * g->grid_w, runs = (all_pixels + s->run - 1) / s->run;
    int from = (int)((long)runs * part / s->parts), to = (int)((long)runs * (part + 1) / s->parts);
    float *a = s->room + (size_t)worker * s->worker_room, *d = a + (size_t)(s->run * s->bundle * g->c);
    for (int r = from; r < to; r++) {
        int first = r * s->run, count = am_simd_min(all_pixels - first, s->run);
        size_t stride;
        const float *dy = gather_grad_rows(s, first, count, d, &stride);
        for (int b = 0; b < g->blocks; b++) {
            gather_grad_bundle(s, first, count, b, first_tap, bundle, a);
            matrices product = {.m = depth, .n = g->columns, .k = count, .a = a, .stride_i = 1, .stride_k = (size_t)depth,
                                .b = dy + b * g->columns, .stride_b = stride,
                                .c = s->sum + (size_t)part * s->part_room +
                                     (size_t)((b * taps + first_tap) * g->c) * (size_t)g->columns,
                                .stride_c = (size_t)g->columns, .add = r > from};
            gemm(&product);
        }
    }
}

/* dw = beta * dw + sum of the parts, for one filter. */
static void gather_grad_filter(const void *arg, int o, int worker)
{
    const gather_grad *s = arg;
    const gather *g = &s->g;
    const am_conv *k = s->conv;
    (void)worker;
    int cg = k->c / k->groups, group = o / (k->filters / k->groups), taps = g->taps_y * g->taps_x;
    int block = o / g->f;
    for (int i = 0; i < cg; i++)
        for (int t = 0; t < taps; t++) {
            int channel = group * cg + i - block * g->c;
            const float *from = s->sum + (size_t)((block * taps + t) * g->c + channel) * (size_t)g->columns + (size_t)(o % g->f);
            float v = 0;
            for (int part = 0; part < s->parts; part++) v += from[(size_t)part * s->part_room];
            float *dw = s->dw + ((size_t)o * (size_t)cg + (size_t)i) * (size_t)taps + (size_t)t;
            *dw = s->beta == 0 ? v : s->beta * *dw + v;
        }
}

static void gather_grad_go(am_team *team, gather_grad *s, float *room)
{
    s->sum = room;
    s->room = room + s->part_room * (size_t)s->parts;
    am_team_run(team, s->parts * s->bundles, gather_grad_item, s);
    am_team_run(team, s->conv->filters, gather_grad_filter, s);
}
