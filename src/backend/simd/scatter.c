/* scatter.c: the gradient of the input of a convolution that sees few channels: a network's first.
 *
 *     columns[pixel of dy][tap][c] = sum over f of dy[pixel][f] * B[f][tap][c]
 *     dx[y][x][c] = beta * dx[y][x][c] + sum over the taps under which (y, x) lies in a window of dy
 *
 * The other way round (gather.c) the product has c columns, up to 4 of a vector's 16, and A must be gathered.
 * Here taps and channels fill the columns without a gap, and dy is A as it lies.
 *
 * A piece of work is a sample.  A ring keeps the columns of those lines of dy that the next lines of dx
 * see, so that none is computed twice and they are added while in the second cache; every pixel of dx
 * adds its taps itself, always in the same order.
 *
 * As in gather.c the pixels x = stride * i + phase of a line see the same taps, k0 + stride * t, on the
 * neighbouring pixels i + (phase + pad - k0) / stride - t of dy.
 *
 * Where PAIRS is, dy and B are bf16, neighbouring filters being a pair (vec.h). */
#include "simd.h"
#include "vec.h"

enum {
    SCATTER_PIXEL = 4, /* channels of a pixel of dx */
    SCATTER_LINES = 4096, /* floats of columns that are computed at once, about */
    SCATTER_ABREAST = 4, /* pixels that are summed at once */
    SCATTER_SIZE = 31 /* layers/convolutional.c: size */
};

typedef float four __attribute__((vector_size(16)));
typedef float four_loose __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_int __attribute__((vector_size(16)));

typedef struct scatter {
    const am_conv *conv;
    int columns; /* taps * c rounded up to whole vectors */
    int pixel; /* numbers of a pixel of dy */
    int depth; /* floats of a row of A */
    int lines, ring; /* lines of dy computed at once, and kept */
    size_t dy_sample, dx_sample;
    const elem *dy;
    const float *weights; /* B, packed */
    elem *dx;
    float beta;
    float *room;
    size_t worker_room;
} scatter;

/* dy must be widened before it is multiplied */
enum { SCATTER_WIDENS = sizeof(elem) != sizeof(float) && !PAIRS };

static scatter scatter_make(const am_conv *k, int n)
{
    const conv_plan *p = conv_plan_of(k);
    scatter s = {.conv = k,
                 .columns = scatter_columns(k),
                 .pixel = p->f,
                 .depth = p->f / (1 + PAIRS),
                 .dy_sample = sample_elems(conv_out(k, n)),
                 .dx_sample = sample_elems(conv_in(k, n))};
    s.lines = am_simd_min(am_simd_max(SCATTER_LINES / (s.columns * k->ow), 1), k->oh);
    s.ring = am_simd_min(am_simd_up(scatter_reach(k) + s.lines - 1, s.lines), am_simd_up(k->oh, s.lines));
    s.worker_room = (size_t)(s.ring * k->ow) * (size_t)s.columns + SCATTER_PIXEL +
                    (size_t)(SCATTER_WIDENS ? s.lines * k->ow * s.depth : 0) +
                    (size_t)am_simd_up(k->w * SCATTER_PIXEL, 16);
    s.worker_room = (s.worker_room + 15) / 16 * 16;
    return s;
}

/* The columns of `count` lines of dy, from line `first` of a sample on. */
static void scatter_multiply(const scatter *s, const elem *dy, int first, int count, float *columns,
                             float *wide)
{
    const int ow = s->conv->ow;
    const size_t numbers = (size_t)(count * ow) * (size_t)s->pixel;
    dy += (size_t)(first * ow) * (size_t)s->pixel;
    matrices product = {.m = count * ow,
                        .n = s->columns,
                        .k = s->depth,
                        .pairs = PAIRS,
                        .a = (const float *)(const void *)dy,
                        .stride_i = (size_t)s->depth,
                        .stride_k = 1,
                        .b = s->weights,
                        .c = columns + (size_t)(first % s->ring * ow) * (size_t)s->columns,
                        .stride_c = (size_t)s->columns};
    if (SCATTER_WIDENS) {
        size_t i = 0;
        for (; i + W <= numbers; i += W) store(wide + i, load_elems(dy + i));
        for (; i < numbers; i++) wide[i] = get(dy[i]);
        product.a = wide;
    }
    gemm(&product);
}

/* The taps of a line of dx in one direction, or of the pixels of a phase: those at first, first + stride, ... */
typedef struct scatter_taps {
    int first, count, source; /* source: the line or pixel of dy under the first, less one for each further */
} scatter_taps;

static scatter_taps scatter_phase(const am_conv *k, int at)
{
    scatter_taps t = {.first = phase_first(k, at), .count = phase_taps(k, at)};
    t.source = (at + k->pad - t.first) / k->stride;
    return t;
}

/* Those on dy, which has `pixels` of them: taps fall off at both ends. */
INLINE scatter_taps scatter_clip(scatter_taps t, int stride, int pixels)
{
    const int off = am_simd_max(t.source - (pixels - 1), 0);
    t.count = am_simd_min(t.count, t.source + 1) - off;
    t.first += off * stride;
    t.source -= off;
    return t;
}

/* What `pixels` neighbours of a phase get; where[] are the first one's columns of each line of dy under it. */
INLINE void scatter_sum(const int pixels, const scatter *s, const scatter_taps *t,
                        const float *const *where, int lines, float *to, four_int real)
{
    const ptrdiff_t at = (ptrdiff_t)t->source * s->columns + t->first * s->conv->c,
                    next = (ptrdiff_t)s->conv->stride * s->conv->c - s->columns;
    four sum[SCATTER_ABREAST] = {{0}};
    for (int j = 0; j < lines; j++) {
        const float *from = where[j] + at;
        ROLLED for (int i = 0; i < t->count; i++, from += next)
            UNROLL for (int r = 0; r < pixels; r++) sum[r] += *(const four_loose *)(from + (ptrdiff_t)r * s->columns);
    }
    UNROLL for (int r = 0; r < pixels; r++)
        *(four_loose *)(to + r * s->conv->stride * SCATTER_PIXEL) = (four)((four_int)sum[r] & real);
}

/* Line y of a sample of dx, without what it held. */
static void scatter_line(const scatter *s, const float *columns, int y, float *to)
{
    const am_conv *k = s->conv;
    const four_int real = (four_int){0, 1, 2, 3} < k->c;
    const float *where[SCATTER_SIZE];
    const scatter_taps down = scatter_clip(scatter_phase(k, y), k->stride, k->oh);
    for (int j = 0; j < down.count; j++)
        where[j] = columns + (size_t)((down.source - j) % s->ring * k->ow) * (size_t)s->columns +
                   (down.first + j * k->stride) * k->size * k->c;
    for (int phase = 0; phase < k->stride; phase++) {
        scatter_taps t = scatter_phase(k, phase);
        for (int x = phase; x < k->w;) {
            int abreast = 1;
            if (t.source >= t.count - 1 && t.source + SCATTER_ABREAST <= k->ow &&
                x + (SCATTER_ABREAST - 1) * k->stride < k->w) {
                abreast = SCATTER_ABREAST;
                scatter_sum(SCATTER_ABREAST, s, &t, where, down.count, to + x * SCATTER_PIXEL, real);
            } else {
                const scatter_taps some = scatter_clip(t, k->stride, k->ow);
                scatter_sum(1, s, &some, where, down.count, to + x * SCATTER_PIXEL, real);
            }
            t.source += abreast;
            x += abreast * k->stride;
        }
    }
}

static void scatter_store(const scatter *s, const float *line, elem *dx)
{
    const int count = s->conv->w * SCATTER_PIXEL;
    int i = 0;
    for (; i + W <= count; i += W) {
        vec v = load(line + i);
        if (s->beta != 0) v += all(s->beta) * load_elems(dx + i);
        store_elems(dx + i, v);
    }
    for (; i < count; i++) dx[i] = put(line[i] + (s->beta != 0 ? s->beta * get(dx[i]) : 0));
}

static void scatter_item(const void *arg, int sample, int worker)
{
    const scatter *s = arg;
    const am_conv *k = s->conv;
    const elem *dy = s->dy + (size_t)sample * s->dy_sample;
    elem *dx = s->dx + (size_t)sample * s->dx_sample;
    float *line = s->room + (size_t)worker * s->worker_room,
          *wide = line + am_simd_up(k->w * SCATTER_PIXEL, 16),
          *columns = wide + (SCATTER_WIDENS ? s->lines * k->ow * s->depth : 0);
    for (int y = 0, made = 0; y < k->h; y++, dx += k->w * SCATTER_PIXEL) {
        for (; made < k->oh && made <= (y + k->pad) / k->stride; made += s->lines)
            scatter_multiply(s, dy, made, am_simd_min(s->lines, k->oh - made), columns, wide);
        scatter_line(s, columns, y, line);
        scatter_store(s, line, dx);
    }
}

static void scatter_go(am_team *team, const scatter *s, int n)
{
    am_team_run(team, n, scatter_item, s);
}

/* ---- weights ---- */

static size_t scatter_weights(const am_conv *k, const conv_plan *p)
{
    return (size_t)(p->f / (1 + PAIRS)) * (size_t)scatter_columns(k);
}

typedef struct scatter_prepare {
    const am_conv *conv;
    const float *w;
    float *to;
} scatter_prepare;

/* The column of B that belongs to one tap on one channel is a number of each filter. */
static void scatter_prepare_item(const void *arg, int filters, int worker)
{
    const scatter_prepare *s = arg;
    const am_conv *k = s->conv;
    const conv_plan *p = conv_plan_of(k);
    const int columns = scatter_columns(k), depth = p->f / (1 + PAIRS);
    const int end = am_simd_min((filters + 1) * TOGETHER_C, p->f);
    (void)worker;
    for (int f = filters * TOGETHER_C; f < end; f++)
        for (int i = 0; i < columns; i++) {
            const int first = i / PANEL * PANEL, width = am_simd_min(PANEL, columns - first);
            const float *w = i < p->taps * k->c ? conv_taps(k, p, s->w, f, i % k->c) : NULL;
            float *row = s->to + (size_t)first * (size_t)depth + (size_t)(f / (1 + PAIRS)) * (size_t)width;
            gather_put(row, i - first, w ? w[i / k->c] : 0, !PAIRS ? FLOATS : f % 2 ? UPPER : LOWER);
        }
}

static void scatter_prepare_back(am_team *team, const am_conv *k, const float *w, float *to)
{
    const scatter_prepare s = {k, w, to};
    am_team_run(team, gather_prepare_items(conv_plan_of(k)->f), scatter_prepare_item, &s);
}
