/* pool.c: pooling, upsampling, routes: a sample is a piece of work, a pixel's channels the inner loop.
 *
 * maxpool's index keeps, for each result, which tap of the window won (the first of equals), -1 for
 * a window that lies outside; 16 bits, so it fits where the values fit. */
#include "simd.h"
#include "vec.h"

typedef struct pool_job {
    am_shape x, y;
    am_pool pool;
    const void *from;
    void *to;
    int16_t *index;
    float beta, scale;
    int stride, first;
} pool_job;

/* Numbers of an activation that may be rows of one pixel. */
INLINE float cell_get(am_shape s, const void *p, size_t i)
{
    return am_simd_one_pixel(s) ? ((const float *)p)[i] : get(((const elem *)p)[i]);
}
INLINE void cell_put(am_shape s, void *p, size_t i, float v)
{
    if (am_simd_one_pixel(s))
        ((float *)p)[i] = v;
    else
        ((elem *)p)[i] = put(v);
}

enum { LANES = 16 };

/* `width` channels of one window; x: the first of them in the sample's first pixel. */
INLINE void maxpool_window(const pool_job *k, size_t x, int top, int left, const int width,
                           float *best, int *won)
{
    const size_t pixel = (size_t)am_simd_stride(k->x);
    for (int c = 0; c < width; c++) best[c] = -INFINITY, won[c] = -1;
    for (int a = 0; a < k->pool.size; a++)
        for (int b = 0; b < k->pool.size; b++) {
            int row = top + a, column = left + b, tap = a * k->pool.size + b;
            if (row < 0 || row >= k->x.h || column < 0 || column >= k->x.w) continue;
            size_t at = x + (size_t)(row * k->x.w + column) * pixel;
            for (int c = 0; c < width; c++) {
                float v = cell_get(k->x, k->from, at + (size_t)c);
                int better = (won[c] < 0) | (v > best[c]);
                best[c] = better ? v : best[c];
                won[c] = better ? tap : won[c];
            }
        }
}

static void maxpool_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int y_pixel = am_simd_stride(k->y), begin = -(k->pool.pad / 2), real = k->x.c;
    (void)worker;
    for (int v = 0; v < k->y.h; v++)
        for (int u = 0; u < k->y.w; u++)
            for (int c = 0; c < y_pixel; c += LANES) {
                float best[LANES];
                int won[LANES], width = am_simd_min(real - c, LANES),
                                stored = am_simd_min(y_pixel - c, LANES);
                size_t x = (size_t)sample * sample_elems(k->x) + (size_t)c;
                size_t y =
                    (size_t)sample * sample_elems(k->y) + (size_t)((v * k->y.w + u) * y_pixel + c);
                int top = begin + v * k->pool.stride, left = begin + u * k->pool.stride;
                if (width == LANES)
                    maxpool_window(k, x, top, left, LANES, best, won);
                else
                    maxpool_window(k, x, top, left, width, best, won);
                for (int l = 0; l < stored; l++) {
                    cell_put(k->y, k->to, y + (size_t)l, l < width ? best[l] : 0);
                    if (k->index) k->index[y + (size_t)l] = (int16_t)(l < width ? won[l] : -1);
                }
            }
}

static void maxpool(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev x, am_dev y,
                    am_dev index)
{
    if (am_cpu_stopped(be)) return;
    pool_job k = {
        .x = xs, .y = ys, .pool = p, .from = x.p, .to = y.p, .index = (int16_t *)(void *)index.p};
    am_team_run(am_simd_team(be), xs.n, maxpool_item, &k);
}

/* to = beta * to for all numbers of a sample. */
static void pool_begin(am_shape s, void *to, int sample, float beta)
{
    size_t at = (size_t)sample * sample_elems(s),
           count = (size_t)s.h * (size_t)s.w * (size_t)am_simd_stride(s);
    for (size_t i = at; i < at + count; i++)
        cell_put(s, to, i, beta == 0 ? 0 : beta * cell_get(s, to, i));
}

static void maxpool_back_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int y_pixel = am_simd_stride(k->y), x_pixel = am_simd_stride(k->x),
              begin = -(k->pool.pad / 2);
    (void)worker;
    if (k->beta != 1) pool_begin(k->x, k->to, sample, k->beta);
    for (int v = 0; v < k->y.h; v++)
        for (int u = 0; u < k->y.w; u++)
            for (int c = 0; c < k->x.c; c++) {
                size_t y =
                    (size_t)sample * sample_elems(k->y) + (size_t)((v * k->y.w + u) * y_pixel + c);
                int tap = k->index[y];
                if (tap < 0) continue;
                int row = begin + v * k->pool.stride + tap / k->pool.size;
                int column = begin + u * k->pool.stride + tap % k->pool.size;
                size_t x = (size_t)sample * sample_elems(k->x) +
                           (size_t)((row * k->x.w + column) * x_pixel + c);
                cell_put(k->x, k->to, x, cell_get(k->x, k->to, x) + cell_get(k->y, k->from, y));
            }
}

static void maxpool_back(am_backend *be, am_shape xs, am_shape ys, am_pool p, am_dev index,
                         am_dev dy, am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    pool_job k = {.x = xs,
                  .y = ys,
                  .pool = p,
                  .from = dy.p,
                  .to = dx.d.p,
                  .index = (int16_t *)(void *)index.p,
                  .beta = dx.beta};
    am_team_run(am_simd_team(be), xs.n, maxpool_back_item, &k);
}

/* ---- the global average: rows [n][c] ---- */

static void avgpool_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int pixel = am_simd_channels(k->x.c), pixels = k->x.h * k->x.w;
    (void)worker;
    for (int c = 0; c < k->x.c; c += LANES) {
        float sum[LANES] = {0};
        int width = am_simd_min(pixel - c, LANES);
        const elem *x = (const elem *)k->from + (size_t)sample * sample_elems(k->x) + c;
        for (int i = 0; i < pixels; i++, x += pixel)
            for (int l = 0; l < width; l++) sum[l] += get(x[l]);
        float *y = (float *)k->to + (size_t)sample * (size_t)k->x.c + (size_t)c;
        for (int l = 0; l < width && c + l < k->x.c; l++) y[l] = sum[l] / (float)pixels;
    }
}

static void avgpool(am_backend *be, am_shape s, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_avgpool(be, s, x, y);
        return;
    }
    pool_job k = {.x = s, .from = x.p, .to = y.p};
    am_team_run(am_simd_team(be), s.n, avgpool_item, &k);
}

static void avgpool_back_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int pixel = am_simd_channels(k->x.c), pixels = k->x.h * k->x.w;
    (void)worker;
    elem *to = (elem *)k->to + (size_t)sample * sample_elems(k->x);
    const float *dy = (const float *)k->from + (size_t)sample * (size_t)k->x.c;
    for (int i = 0; i < pixels; i++, to += pixel)
        for (int c = 0; c < pixel; c++) {
            float v = c < k->x.c ? dy[c] / (float)pixels : 0;
            to[c] = put(k->beta == 0 ? v : k->beta * get(to[c]) + v);
        }
}

static void avgpool_back(am_backend *be, am_shape s, am_dev dy, am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_avgpool_back(be, s, dy, dx);
        return;
    }
    pool_job k = {.x = s, .from = dy.p, .to = dx.d.p, .beta = dx.beta};
    am_team_run(am_simd_team(be), s.n, avgpool_back_item, &k);
}

/* ---- upsampling by repetition ---- */

static void upsample_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int x_pixel = am_simd_stride(k->x), y_pixel = am_simd_stride(k->y);
    (void)worker;
    for (int v = 0; v < k->y.h; v++)
        for (int u = 0; u < k->y.w; u++) {
            size_t x = (size_t)sample * sample_elems(k->x) +
                       (size_t)((v / k->stride * k->x.w + u / k->stride) * x_pixel);
            size_t y = (size_t)sample * sample_elems(k->y) + (size_t)((v * k->y.w + u) * y_pixel);
            for (int c = 0; c < k->x.c; c++)
                cell_put(k->y, k->to, y + (size_t)c,
                         k->scale * cell_get(k->x, k->from, x + (size_t)c));
            for (int c = k->x.c; c < y_pixel; c++) cell_put(k->y, k->to, y + (size_t)c, 0);
        }
}

static void upsample(am_backend *be, am_shape s, int stride, float scale, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    pool_job k = {.x = s,
                  .y = {s.n, s.c, s.h * stride, s.w * stride},
                  .from = x.p,
                  .to = y.p,
                  .scale = scale,
                  .stride = stride};
    am_team_run(am_simd_team(be), s.n, upsample_item, &k);
}

/* `width` channels of what one pixel became; y: the first of them in its first copy, x: in itself. */
INLINE void upsample_window(const pool_job *k, size_t y, size_t x, const int width)
{
    const size_t pixel = (size_t)am_simd_stride(k->y);
    float sum[LANES] = {0};
    for (int a = 0; a < k->stride; a++)
        for (int b = 0; b < k->stride; b++)
            for (int l = 0; l < width; l++)
                sum[l] += cell_get(k->y, k->from, y + (size_t)(a * k->y.w + b) * pixel + (size_t)l);
    for (int l = 0; l < width; l++) {
        float old = k->beta == 0 ? 0 : k->beta * cell_get(k->x, k->to, x + (size_t)l);
        cell_put(k->x, k->to, x + (size_t)l, old + k->scale * sum[l]);
    }
}

static void upsample_back_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int x_pixel = am_simd_stride(k->x), y_pixel = am_simd_stride(k->y);
    (void)worker;
    for (int v = 0; v < k->x.h; v++)
        for (int u = 0; u < k->x.w; u++) {
            size_t x = (size_t)sample * sample_elems(k->x) + (size_t)((v * k->x.w + u) * x_pixel),
                   y = (size_t)sample * sample_elems(k->y) +
                       (size_t)((v * k->y.w + u) * k->stride * y_pixel);
            for (int c = 0; c < x_pixel; c += LANES)
                if (x_pixel - c >= LANES)
                    upsample_window(k, y + (size_t)c, x + (size_t)c, LANES);
                else
                    upsample_window(k, y + (size_t)c, x + (size_t)c, x_pixel - c);
        }
}

static void upsample_back(am_backend *be, am_shape s, int stride, float scale, am_dev dy,
                          am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    pool_job k = {.x = s,
                  .y = {s.n, s.c, s.h * stride, s.w * stride},
                  .from = dy.p,
                  .to = dx.d.p,
                  .scale = scale,
                  .stride = stride,
                  .beta = dx.beta};
    am_team_run(am_simd_team(be), s.n, upsample_back_item, &k);
}

/* ---- channels beside each other; whoever writes the last channels clears the padding ---- */

static void route_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int x_pixel = am_simd_stride(k->x), y_pixel = am_simd_stride(k->y),
              pixels = k->x.h * k->x.w;
    (void)worker;
    const elem *x = (const elem *)k->from + (size_t)sample * sample_elems(k->x);
    elem *y = (elem *)k->to + (size_t)sample * sample_elems(k->y);
    for (int i = 0; i < pixels; i++, x += x_pixel, y += y_pixel) {
        memcpy(y + k->first, x, (size_t)k->x.c * sizeof *y);
        if (k->first + k->x.c == k->y.c)
            memset(y + k->y.c, 0, (size_t)(y_pixel - k->y.c) * sizeof *y);
    }
}

static void route(am_backend *be, am_shape part, am_dev x, int first, am_shape whole, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(part)) {
        am_cpu_route(be, part, x, first, whole, y);
        return;
    }
    pool_job k = {.x = part, .y = whole, .from = x.p, .to = y.p, .first = first};
    am_team_run(am_simd_team(be), part.n, route_item, &k);
}

static void route_back_item(const void *arg, int sample, int worker)
{
    const pool_job *k = arg;
    const int x_pixel = am_simd_stride(k->x), y_pixel = am_simd_stride(k->y),
              pixels = k->x.h * k->x.w;
    (void)worker;
    elem *to = (elem *)k->to + (size_t)sample * sample_elems(k->x);
    const elem *dy = (const elem *)k->from + (size_t)sample * sample_elems(k->y) + k->first;
    for (int i = 0; i < pixels; i++, to += x_pixel, dy += y_pixel)
        for (int c = 0; c < x_pixel; c++) {
            float v = c < k->x.c ? get(dy[c]) : 0;
            to[c] = put(k->beta == 0 ? v : k->beta * get(to[c]) + v);
        }
}

static void route_back(am_backend *be, am_shape part, int first, am_shape whole, am_dev dy,
                       am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    if (am_simd_one_pixel(part)) {
        am_cpu_route_back(be, part, first, whole, dy, dx);
        return;
    }
    pool_job k = {
        .x = part, .y = whole, .from = dy.p, .to = dx.d.p, .first = first, .beta = dx.beta};
    am_team_run(am_simd_team(be), part.n, route_back_item, &k);
}
