/* gather.c: every other convolution, as a matrix product over gathered pixels, forward and for the
 * gradient of the input.
 *
 * For a few dozen result pixels the source pixels under the taps are copied side by side into a
 * matrix A[pixel][tap][c] that stays in the second cache (in NHWC a copy is a long straight one),
 * and multiplied with the weights B[tap][c][f].  The whole column matrix never exists.
 *
 * Where PAIRS is, A and B are bf16, neighbouring channels of a tap being a pair (vec.h).  A block's
 * channels are a multiple of 4, so a pair never straddles two taps.
 *
 * The gradient of the input of a convolution with stride s falls into s * s phases: the input
 * pixels y = s * j + p see just the taps k = k0 + s * t with k0 = (p + pad) mod s, on the output
 * rows j + (p + pad - k0) / s - t; counted backwards these rise like the forward ones.  So a phase is a gather of its own with fewer taps, every input
 * pixel is written once, and nothing is scattered. */
#include "simd.h"
#include "vec.h"

enum { SPOTS = 96 }; /* result pixels of a piece of work, at most */

/* A set of pixels: an activation as the gather sees it. */
typedef struct pixels {
    int h, w, channels, pixel; /* pixel: numbers from one to the next */
    int one; /* one pixel: rows of float without padding */
    size_t sample; /* numbers from sample to sample */
} pixels;

typedef struct gather {
    int blocks, c, f; /* merged groups; channels of a block: source, result */
    int columns; /* f rounded up to whole vectors */
    pixels from, to;
    int n, groups;
    int grid_h, grid_w; /* result pixels of a sample */
    int step; /* source row = step * j + start_y + tap */
    int start_y, start_x, taps_y, taps_x;
    int to_step, to_y, to_x; /* result row = to_step * j + to_y */
    const void *x;
    void *y;
    const float *weights; /* B of each block, packed */
    finish finish;
    int run, runs;
    float *room;
    size_t worker_room;
} gather;

static pixels pixels_of(am_shape s)
{
    return (pixels){s.h, s.w, s.c, am_simd_stride(s), am_simd_one_pixel(s), sample_elems(s)};
}

/* Numbers of a row of A; floats that the row takes. */
static int gather_depth(const gather *g)
{
    return g->taps_y * g->taps_x * g->c;
}
static int gather_row(const gather *g)
{
    return gather_depth(g) / (1 + PAIRS);
}

/* Pixels of a piece of work: A within half the second cache. */
static int gather_run(int row)
{
    return am_simd_max(am_simd_min(49152 / am_simd_max(row, 1), SPOTS), 24) / ROWS * ROWS;
}

static void gather_share(gather *g)
{
    int per_group = g->n / g->groups * g->grid_h * g->grid_w;
    g->run = gather_run(gather_row(g));
    g->runs = (per_group + g->run - 1) / g->run;
    g->worker_room = (size_t)g->run * (size_t)(gather_row(g) + g->blocks * g->columns) + 32;
}

static gather gather_forward(const am_conv *k, int n, int groups)
{
    const conv_plan *p = conv_plan_of(k);
    gather g = {.blocks = p->blocks,
                .c = p->c,
                .f = p->f,
                .columns = am_simd_up(p->f, W),
                .from = pixels_of(conv_in(k, n)),
                .to = pixels_of(conv_out(k, n)),
                .n = n,
                .groups = groups,
                .grid_h = k->oh,
                .grid_w = k->ow,
                .step = k->stride,
                .start_y = -k->pad,
                .start_x = -k->pad,
                .taps_y = k->size,
                .taps_x = k->size,
                .to_step = 1};
    gather_share(&g);
    return g;
}

static int phase_first(const am_conv *k, int phase)
{
    return (phase + k->pad) % k->stride;
}
static int phase_taps(const am_conv *k, int phase)
{
    int first = phase_first(k, phase);
    return first < k->size ? (k->size - first + k->stride - 1) / k->stride : 0;
}

static gather gather_back(const am_conv *k, int n, int py, int px)
{
    const conv_plan *p = conv_plan_of(k);
    gather g = {.blocks = p->blocks,
                .c = p->f,
                .f = p->c,
                .columns = am_simd_up(p->c, W),
                .from = pixels_of(conv_out(k, n)),
                .to = pixels_of(conv_in(k, n)),
                .n = n,
                .groups = 1,
                .grid_h = (k->h - py + k->stride - 1) / k->stride,
                .grid_w = (k->w - px + k->stride - 1) / k->stride,
                .step = 1,
                .taps_y = phase_taps(k, py),
                .taps_x = phase_taps(k, px),
                .to_step = k->stride,
                .to_y = py,
                .to_x = px};
    g.start_y = (py + k->pad) / k->stride - (g.taps_y - 1);
    g.start_x = (px + k->pad) / k->stride - (g.taps_x - 1);
    gather_share(&g);
    return g;
}

/* ---- the result pixels of a piece of work ---- */

typedef struct spot {
    int y, x; /* the source pixel under the first tap */
    size_t source, to; /* where the sample begins in the source; where the result goes */
} spot;

/* `count` result pixels from `first`, counted through all samples. */
static void gather_spots(const gather *g, int first, int count, spot *to)
{
    int plane = g->grid_h * g->grid_w, sample = first / plane, j = first % plane / g->grid_w,
        i = first % g->grid_w;
    for (int r = 0; r < count; r++, to++) {
        int y = j * g->to_step + g->to_y, x = i * g->to_step + g->to_x;
        to->y = g->step * j + g->start_y;
        to->x = g->step * i + g->start_x;
        to->source = (size_t)sample * g->from.sample;
        to->to = (size_t)sample * g->to.sample + (size_t)(y * g->to.w + x) * (size_t)g->to.pixel;
        if (++i < g->grid_w) continue;
        i = 0;
        if (++j < g->grid_h) continue;
        j = 0;
        sample++;
    }
}

/* ---- A ---- */

/* One number at place i of a row of A.  A row of pairs is addressed by the number too. */
INLINE void gather_put(float *row, int i, float v, const form as)
{
    uint16_t *half = (uint16_t *)row;
    switch (as) {
    case FLOATS:
    case STREAMED: row[i] = v; break;
    case HALVES: half[i] = bf16_of(v); break;
    case LOWER: half[2 * i] = bf16_of(v), half[2 * i + 1] = 0; break;
    case UPPER: half[2 * i + 1] = bf16_of(v); break;
    }
}

INLINE void gather_put_all(float *row, int i, vec v, const form as)
{
    put_as(as == HALVES ? (float *)((uint16_t *)row + i) : row + i, v, as);
}

/* `count` numbers of the source from `at` on, to places i, i+1, ... of a row. */
INLINE void gather_copy(const gather *g, size_t at, int count, float *row, int i, const form as)
{
    const int end = i + count;
    if (g->from.one) {
        for (const float *from = (const float *)g->x + at; i < end; i++, from++)
            gather_put(row, i, *from, as);
        return;
    }
    const elem *from = (const elem *)g->x + at;
    if (as == HALVES) {
        memcpy((uint16_t *)row + i, from, (size_t)count * sizeof *from);
        return;
    }
    for (; i + W <= end; i += W, from += W) gather_put_all(row, i, load_elems(from), as);
    for (; i + 4 <= end; i += 4, from += 4)
        UNROLL for (int l = 0; l < 4; l++) gather_put(row, i + l, get(from[l]), as);
    for (; i < end; i++, from++) gather_put(row, i, get(*from), as);
}

INLINE void gather_clear(float *row, int i, int count, const form as)
{
    for (int end = i + count; i < end; i++) gather_put(row, i, 0, as);
}

/* One line of the window: taps first .. last-1 of row y of the source, c channels each, from place i
 * of a row of A on; returns the place behind them. */
INLINE int gather_line(const gather *g, const spot *p, int y, int first, int last, int block,
                       float *row, int i, const form as)
{
    const pixels *s = &g->from;
    const int c = g->c, real = s->one ? am_simd_min(s->channels - block * c, c) : c;
    const int end = i + (last - first) * c;
    if (y < 0 || y >= s->h) {
        gather_clear(row, i, end - i, as);
        return end;
    }
    size_t line = p->source + (size_t)y * (size_t)s->w * (size_t)s->pixel + (size_t)(block * c);
    if (s->pixel == c && real == c && p->x + first >= 0 && p->x + last <= s->w) {
        gather_copy(g, line + (size_t)((p->x + first) * c), end - i, row, i, as);
        return end;
    }
    for (int tap = first; tap < last; tap++, i += c) {
        int x = p->x + tap;
        if (x < 0 || x >= s->w) {
            gather_clear(row, i, c, as);
            continue;
        }
        gather_copy(g, line + (size_t)(x * s->pixel), real, row, i, as);
        gather_clear(row, i + real, c - real, as);
    }
    return end;
}

/* A row of A: all taps of one block.  Where the window lies inside the map and a pixel is the block,
 * a line of it is one straight copy. */
INLINE void gather_window(const gather *g, const spot *p, int block, float *row, const form as)
{
    const pixels *s = &g->from;
    const int straight = s->pixel == g->c && !s->one, line = g->taps_x * g->c;
    const size_t down = (size_t)(s->w * s->pixel);
    int i = 0;
    if (straight && p->y >= 0 && p->x >= 0 && p->y + g->taps_y <= s->h &&
        p->x + g->taps_x <= s->w) {
        size_t at = p->source + (size_t)(p->y * s->w + p->x) * (size_t)s->pixel;
        for (int ty = 0; ty < g->taps_y; ty++, at += down, i += line)
            gather_copy(g, at, line, row, i, as);
        return;
    }
    for (int ty = 0; ty < g->taps_y; ty++)
        i = gather_line(g, p, p->y + ty, 0, g->taps_x, block, row, i, as);
}

/* Rows of A, `stride` floats apart, pairs along the row. */
static void gather_rows(const gather *g, const spot *p, int count, int block, float *to, int stride)
{
    for (int r = 0; r < count; r++, p++, to += stride)
        gather_window(g, p, block, to, PAIRS ? HALVES : FLOATS);
}

/* ---- results ---- */

/* A pixel whose channels are not whole vectors, or one that is a row. */
static void gather_store_slowly(const gather *g, const float *c, size_t at)
{
    const finish *e = &g->finish;
    for (int i = 0; i < g->to.pixel; i++) {
        float v = i < g->to.channels ? c[i] : 0;
        if (e->scale) v *= e->scale[i];
        if (e->shift) v += e->shift[i];
        if (e->residual) {
            size_t o = at + (size_t)i;
            v += e->keep *
                 (g->to.one ? ((const float *)(const void *)e->residual)[o] : get(e->residual[o]));
        }
        if (e->act != AM_LINEAR) am_cpu_act(e->act, 1, &v);
        if (g->to.one)
            ((float *)g->y)[at + (size_t)i] = v;
        else
            ((elem *)g->y)[at + (size_t)i] = put(v);
    }
}

static void gather_store(const gather *g, const spot *p, int count, const float *c, float *sums)
{
    const finish *e = &g->finish;
    int width = g->blocks * g->columns;
    if (g->to.pixel == 4 && !g->to.one && finish_is_plain(e) && !sums) {
        for (int r = 0; r < count; r++)
            for (int i = 0; i < 4; i++) ((elem *)g->y)[p[r].to + (size_t)i] = put(c[r * width + i]);
        return;
    }
    if (g->to.one || g->to.pixel % W) {
        for (int r = 0; r < count; r++) gather_store_slowly(g, c + r * width, p[r].to);
        return;
    }
    for (int i = 0; i < g->to.pixel; i += W) {
        const finish_line l = finish_at(e, i);
        vec sum = all(0), square = all(0);
        for (int r = 0; r < count; r++) {
            size_t o = p[r].to + (size_t)i;
            vec v = finish_vector(e, &l, load(c + r * width + i),
                                  e->residual ? e->residual + o : NULL);
            store_elems((elem *)g->y + o, v);
            sum += v;
            square += v * v;
        }
        if (!sums) continue;
        store(sums + i, sum);
        store(sums + g->to.pixel + i, square);
    }
}

/* A pixel under one tap is a row of A as it lies. */
static int gather_in_place(const gather *g)
{
    return (PAIRS || sizeof(elem) == sizeof(float)) && g->taps_y * g->taps_x == 1 && g->step == 1 &&
           !g->start_y && !g->start_x && g->grid_h == g->from.h && g->grid_w == g->from.w &&
           g->from.pixel >= 16 && !g->from.one;
}

static void gather_item(const void *arg, int item, int worker)
{
    const gather *g = arg;
    int per_group = g->n / g->groups * g->grid_h * g->grid_w, group = item / g->runs,
        run = item % g->runs;
    int first = group * per_group + run * g->run,
        count = am_simd_min(per_group - run * g->run, g->run);
    int depth = gather_row(g), width = g->blocks * g->columns, in_place = gather_in_place(g);
    float *c = g->room + (size_t)worker * g->worker_room, *a = c + (size_t)(g->run * width);
    spot spots[SPOTS];
    gather_spots(g, first, count, spots);
    for (int b = 0; b < g->blocks && depth; b++) {
        matrices product = {.m = count,
                            .n = g->columns,
                            .k = depth,
                            .pairs = PAIRS,
                            .a = a,
                            .stride_i = (size_t)depth,
                            .stride_k = 1,
                            .b = g->weights + (size_t)b * (size_t)depth * (size_t)g->columns,
                            .c = c + b * g->columns,
                            .stride_c = (size_t)width};
        if (in_place) {
            const elem *from =
                (const elem *)g->x + (size_t)first * (size_t)g->from.pixel + b * g->c;
            product.a = (const float *)(const void *)from;
            product.stride_i = (size_t)g->from.pixel / (1 + PAIRS);
        } else {
            gather_rows(g, spots, count, b, a, depth);
        }
        gemm(&product);
    }
    if (!depth) memset(c, 0, (size_t)(count * width) * sizeof *c);
    gather_store(g, spots, count, c,
                 g->finish.sums ? g->finish.sums + (size_t)item * 2 * (size_t)g->to.pixel : NULL);
}

static void gather_go(am_team *team, const gather *g)
{
    am_team_run(team, g->runs * g->groups, gather_item, g);
}

/* ---- weights ---- */

/* Floats of B forward, and of B of all phases together. */
static size_t gather_weights_forward(const conv_plan *p)
{
    return (size_t)(p->blocks * p->taps) * (size_t)p->c * (size_t)am_simd_up(p->f, W) / (1 + PAIRS);
}
static size_t gather_weights_back(const conv_plan *p)
{
    return (size_t)(p->blocks * p->taps) * (size_t)p->f * (size_t)am_simd_up(p->c, W) / (1 + PAIRS);
}

/* Channels whose weights are moved together, so that lines of memory are used whole. */
enum { TOGETHER_C = 16 };

enum { MOST_TAPS = 31 * 31 }; /* layers/convolutional.c: size */

typedef struct gather_prepare {
    const am_conv *conv;
    const float *w;
    float *to;
    int back, py, px, taps_y, taps_x;
    int tap[MOST_TAPS]; /* where in a filter's window each tap of B comes from */
} gather_prepare;

static void gather_prepare_taps(gather_prepare *s)
{
    const am_conv *k = s->conv;
    for (int ty = 0; ty < s->taps_y; ty++)
        for (int tx = 0; tx < s->taps_x; tx++) {
            int y = s->back ? phase_first(k, s->py) + k->stride * (s->taps_y - 1 - ty) : ty;
            int x = s->back ? phase_first(k, s->px) + k->stride * (s->taps_x - 1 - tx) : tx;
            s->tap[ty * s->taps_x + tx] = y * k->size + x;
        }
}

/* The weights of one tap between TOGETHER_C source channels and W result channels, both counted
 * through the blocks. */
INLINE void gather_prepare_tile(const gather_prepare *s, int source, int result, int tap,
                                float tile[TOGETHER_C][W])
{
    const am_conv *k = s->conv;
    const conv_plan *p = conv_plan_of(k);
    const size_t filter = (size_t)(k->c * p->taps), channel = (size_t)p->taps;
    const size_t down = s->back ? filter : channel, along = s->back ? channel : filter;
    const int sources = s->back ? k->filters : k->c, results = s->back ? k->c : k->filters;
    if (k->groups > 1 || source + TOGETHER_C > sources || result + W > results) {
        for (int r = 0; r < TOGETHER_C; r++)
            for (int l = 0; l < W; l++) {
                const float *w = s->back ? conv_taps(k, p, s->w, source + r, result + l)
                                         : conv_taps(k, p, s->w, result + l, source + r);
                tile[r][l] = w ? w[tap] : 0;
            }
        return;
    }
    const float *w = s->w + (size_t)source * down + (size_t)result * along + tap;
    if (along == 1) {
        for (int r = 0; r < TOGETHER_C; r++) store(tile[r], load(w + (size_t)r * down));
        return;
    }
    for (int l = 0; l < W; l++, w += along) {
        prefetch(w + W * along, TOGETHER_C * (int)sizeof *w);
        for (int r = 0; r < TOGETHER_C; r++) tile[r][l] = w[(size_t)r * down];
    }
}

/* The rows of B of TOGETHER_C source channels.  A block's channels are a multiple of that, or it is
 * the only one. */
static void gather_prepare_item(const void *arg, int item, int worker)
{
    const gather_prepare *s = arg;
    const conv_plan *p = conv_plan_of(s->conv);
    const int c = s->back ? p->f : p->c, f = s->back ? p->c : p->f, columns = am_simd_up(f, W);
    const int from = item * TOGETHER_C, block = from / c, inside = from % c;
    const int count = am_simd_min(TOGETHER_C, c - inside), taps = s->taps_y * s->taps_x;
    const size_t row_c = (size_t)(c / (1 + PAIRS)), depth = (size_t)taps * row_c;
    float *to = s->to + (size_t)block * depth * (size_t)columns;
    (void)worker;
    for (int i = 0; i < columns; i += W) {
        const int first = i / PANEL * PANEL, width = am_simd_min(PANEL, columns - first);
        for (int t = 0; t < taps; t++) {
            float tile[TOGETHER_C][W];
            float *at = to + (size_t)first * depth + (i - first) +
                        ((size_t)t * row_c + (size_t)(inside / (1 + PAIRS))) * (size_t)width;
            gather_prepare_tile(s, from, block * f + i, s->tap[t], tile);
            for (int r = 0; r < count; r += 1 + PAIRS, at += width) {
                put_as(at, load(tile[r]), PAIRS ? LOWER : FLOATS);
                if (PAIRS) put_as(at, load(tile[r + 1]), UPPER);
            }
        }
    }
}

static int gather_prepare_items(int channels)
{
    return (channels + TOGETHER_C - 1) / TOGETHER_C;
}

static void gather_prepare_forward(am_team *team, const am_conv *k, const float *w, float *to)
{
    const conv_plan *p = conv_plan_of(k);
    gather_prepare s = {.conv = k, .w = w, .to = to, .taps_y = k->size, .taps_x = k->size};
    gather_prepare_taps(&s);
    am_team_run(team, gather_prepare_items(p->blocks * p->c), gather_prepare_item, &s);
}

static void gather_prepare_back(am_team *team, const am_conv *k, const float *w, float *to)
{
    const conv_plan *p = conv_plan_of(k);
    gather_prepare s = {.conv = k, .w = w, .to = to, .back = 1};
    for (s.py = 0; s.py < k->stride; s.py++)
        for (s.px = 0; s.px < k->stride; s.px++) {
            s.taps_y = phase_taps(k, s.py);
            s.taps_x = phase_taps(k, s.px);
            gather_prepare_taps(&s);
            int rows = p->blocks * s.taps_y * s.taps_x * p->f;
            if (rows)
                am_team_run(team, gather_prepare_items(p->blocks * p->f), gather_prepare_item, &s);
            s.to += (size_t)rows * (size_t)am_simd_up(p->c, W) / (1 + PAIRS);
        }
}
