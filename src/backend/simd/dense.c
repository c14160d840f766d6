/* dense.c: a fully connected layer on an activation that is not yet rows.
 *
 * The weights count the input in CHW order, so for some samples at a time a span of it is put in
 * that order first, on the stack; the products are then along plain memory.  Rows, the usual case
 * after a global average, go to the plain operation. */
#include "simd.h"
#include "vec.h"

enum { SPAN_FLOATS = 1024, TOGETHER = 8 };

typedef struct dense_job {
    am_shape s;
    int out, size; /* size: c * h * w */
    const elem *x;
    elem *dx;
    const float *w, *b, *dy;
    float *y, *dw, beta;
} dense_job;

/* Where number i of CHW order lies in a sample. */
INLINE size_t dense_place(am_shape s, int i)
{
    int plane = s.h * s.w;
    return (size_t)(i % plane) * (size_t)am_simd_channels(s.c) + (size_t)(i / plane);
}

static void dense_span(const dense_job *k, int sample, int first, int count, float *to)
{
    const elem *x = k->x + (size_t)sample * sample_elems(k->s);
    for (int i = 0; i < count; i++) to[i] = get(x[dense_place(k->s, first + i)]);
}

static float dense_dot(int n, const float *a, const float *b)
{
    vec sum = all(0);
    int i = 0;
    for (; i + W <= n; i += W) sum += load(a + i) * load(b + i);
    float total = 0;
    for (int l = 0; l < W; l++) total += sum[l];
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

static void dense_item(const void *arg, int item, int worker)
{
    const dense_job *k = arg;
    float span[TOGETHER][SPAN_FLOATS];
    int from = item * TOGETHER, samples = am_simd_min(k->s.n - from, TOGETHER);
    float *y = k->y + (size_t)from * (size_t)k->out;
    (void)worker;
    for (int l = 0; l < samples; l++)
        for (int o = 0; o < k->out; o++) y[l * k->out + o] = k->b ? k->b[o] : 0;
    for (int first = 0; first < k->size; first += SPAN_FLOATS) {
        int count = am_simd_min(k->size - first, SPAN_FLOATS);
        for (int l = 0; l < samples; l++) dense_span(k, from + l, first, count, span[l]);
        for (int o = 0; o < k->out; o++)
            for (int l = 0; l < samples; l++)
                y[l * k->out + o] +=
                    dense_dot(count, span[l], k->w + (size_t)o * (size_t)k->size + first);
    }
}

static void dense(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev b, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_dense(am_simd_for(be, (size_t)s.n * (size_t)out * (size_t)s.c), s, out, x, w, b, y);
        return;
    }
    dense_job k = {
        .s = s, .out = out, .size = s.c * s.h * s.w, .x = elems(x), .w = w.p, .b = b.p, .y = y.p};
    am_team_run(am_simd_team(be), (s.n + TOGETHER - 1) / TOGETHER, dense_item, &k);
}

static void dense_dx_item(const void *arg, int sample, int worker)
{
    const dense_job *k = arg;
    elem *dx = k->dx + (size_t)sample * sample_elems(k->s);
    const float *dy = k->dy + (size_t)sample * (size_t)k->out;
    const int pixel = am_simd_channels(k->s.c);
    (void)worker;
    for (int i = 0; i < k->s.h * k->s.w; i++)
        for (int c = k->s.c; c < pixel; c++) dx[i * pixel + c] = put(0);
    for (int first = 0; first < k->size; first += SPAN_FLOATS) {
        int count = am_simd_min(k->size - first, SPAN_FLOATS);
        float sum[SPAN_FLOATS] = {0};
        for (int o = 0; o < k->out; o++) {
            const float *w = k->w + (size_t)o * (size_t)k->size + first;
            for (int i = 0; i < count; i++) sum[i] += dy[o] * w[i];
        }
        for (int i = 0; i < count; i++) {
            elem *to = dx + dense_place(k->s, first + i);
            *to = put(k->beta == 0 ? sum[i] : k->beta * get(*to) + sum[i]);
        }
    }
}

static void dense_dw_item(const void *arg, int item, int worker)
{
    const dense_job *k = arg;
    float span[TOGETHER][SPAN_FLOATS];
    int first = item * SPAN_FLOATS, count = am_simd_min(k->size - first, SPAN_FLOATS);
    (void)worker;
    for (int from = 0; from < k->s.n; from += TOGETHER) {
        int samples = am_simd_min(k->s.n - from, TOGETHER);
        for (int l = 0; l < samples; l++) dense_span(k, from + l, first, count, span[l]);
        for (int o = 0; o < k->out; o++) {
            float *dw = k->dw + (size_t)o * (size_t)k->size + first;
            if (from == 0 && k->beta != 1)
                for (int i = 0; i < count; i++) dw[i] = k->beta == 0 ? 0 : k->beta * dw[i];
            for (int l = 0; l < samples; l++) {
                float g = k->dy[(size_t)(from + l) * (size_t)k->out + (size_t)o];
                for (int i = 0; i < count; i++) dw[i] += g * span[l][i];
            }
        }
    }
}

static void dense_back(am_backend *be, am_shape s, int out, am_dev x, am_dev w, am_dev dy,
                       am_grad dx, am_grad dw, am_grad db)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_dense_back(am_simd_for(be, (size_t)s.n * (size_t)out * (size_t)s.c), s, out, x, w,
                          dy, dx, dw, db);
        return;
    }
    dense_job k = {
        .s = s, .out = out, .size = s.c * s.h * s.w, .x = elems(x), .w = w.p, .dy = dy.p};
    if (am_is(dx.d)) {
        k.dx = elems(dx.d);
        k.beta = dx.beta;
        am_team_run(am_simd_team(be), s.n, dense_dx_item, &k);
    }
    if (am_is(dw.d)) {
        k.dw = dw.d.p;
        k.beta = dw.beta;
        am_team_run(am_simd_team(be), (k.size + SPAN_FLOATS - 1) / SPAN_FLOATS, dense_dw_item, &k);
    }
    if (am_is(db.d)) am_cpu_bias_back(be, (am_shape){s.n, out, 1, 1}, dy, db);
}
