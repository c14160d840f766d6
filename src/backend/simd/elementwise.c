/* elementwise.c: sums, activations, dropout, and what is one number per channel.
 *
 * Where the formula is the same for every number an activation is one long row, padding included. */
#include "simd.h"
#include "vec.h"

enum { STRIP = 8192 }; /* numbers of a piece of work */

typedef struct flat {
    size_t count;
    const elem *x, *r;
    elem *y;
    float a, b;
    am_act act;
    atomic_int *bad;
} flat;

static void flat_go(am_backend *be, flat *k, am_shape s, am_team_work *work)
{
    k->count = (size_t)s.n * sample_elems(s);
    am_team_run(am_simd_team(be), (int)((k->count + STRIP - 1) / STRIP), work, k);
}

static size_t flat_piece(const flat *k, int item, size_t *end)
{
    size_t at = (size_t)item * STRIP;
    *end = k->count - at < STRIP ? k->count : at + STRIP;
    return at;
}

static void add_item(const void *arg, int item, int worker)
{
    const flat *k = arg;
    size_t end;
    (void)worker;
    for (size_t i = flat_piece(k, item, &end); i < end; i += W) {
        vec v = all(k->a) * load_elems(k->x + i);
        if (k->r) v += all(k->b) * load_elems(k->r + i);
        store_elems(k->y + i, finish_act(k->act, v));
    }
}

static void add(am_backend *be, am_shape s, float a, am_dev x, float b, am_dev r, am_act act,
                am_dev y)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_add(be, s, a, x, b, r, act, y);
        return;
    }
    flat k = {.x = elems(x), .r = elems(r), .y = elems(y), .a = a, .b = b, .act = act};
    flat_go(be, &k, s, add_item);
}

/* y here is the gradient that is written; x the value, r its gradient. */
static void act_back_item(const void *arg, int item, int worker)
{
    const flat *k = arg;
    size_t end;
    (void)worker;
    for (size_t i = flat_piece(k, item, &end); i < end; i += W) {
        vec v = all(k->a) * norm_slope(k->act, k->x + i, load_elems(k->r + i));
        if (k->b != 0) v += all(k->b) * load_elems(k->y + i);
        store_elems(k->y + i, v);
    }
}

static void act_back(am_backend *be, am_shape s, am_act act, am_dev y, am_dev dy, float a,
                     am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_act_back(be, s, act, y, dy, a, dx);
        return;
    }
    flat k = {.x = elems(y), .r = elems(dy), .y = elems(dx.d), .a = a, .b = dx.beta, .act = act};
    flat_go(be, &k, s, act_back_item);
}

static void finite_item(const void *arg, int item, int worker)
{
    const flat *k = arg;
    size_t end;
    (void)worker;
    vec_int bad = {0};
    for (size_t i = flat_piece(k, item, &end); i < end; i += W) {
        vec v = load_elems(k->x + i);
        bad |= (vec_int)(v - v != all(0));
    }
    for (int l = 0; l < W; l++)
        if (bad[l]) atomic_store_explicit(k->bad, 1, memory_order_relaxed);
}

/* Only whole pixels are looked at: the rest of a sample's room is nobody's. */
static void all_finite(am_backend *be, am_shape s, am_dev x, am_dev flag)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s) || am_simd_channels(s.c) % 16) {
        size_t pixel = (size_t)am_simd_stride(s), pixels = (size_t)s.h * (size_t)s.w;
        for (int n = 0; n < s.n; n++)
            for (size_t i = 0; i < pixels; i++)
                for (size_t c = 0; c < (size_t)s.c; c++) {
                    size_t at = (size_t)n * sample_elems(s) + i * pixel + c;
                    float v = am_simd_one_pixel(s) ? x.p[at] : get(elems(x)[at]);
                    if (!isfinite(v)) flag.p[0] = 1;
                }
        return;
    }
    atomic_int bad = 0;
    flat k = {.x = elems(x), .bad = &bad};
    flat_go(be, &k, s, finite_item);
    if (bad) flag.p[0] = 1;
}

/* ---- dropout: the chance of a number hangs on its place counted in NCHW ---- */

typedef struct drop {
    am_shape s;
    const int *seed;
    int salt;
    float p, beta;
    const elem *x;
    elem *y;
} drop;

static void dropout_item(const void *arg, int sample, int worker)
{
    const drop *k = arg;
    const int pixel = am_simd_channels(k->s.c), pixels = k->s.h * k->s.w;
    const float keep = 1 / (1 - k->p);
    (void)worker;
    size_t at = (size_t)sample * sample_elems(k->s);
    uint64_t first = (uint64_t)sample * (uint64_t)(k->s.c * pixels);
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < pixel; c++, at++) {
            uint64_t index = first + (uint64_t)(c * pixels + i);
            float v = c < k->s.c && am_cpu_chance(k->seed, k->salt, index) >= k->p
                          ? keep * get(k->x[at])
                          : 0;
            if (k->beta != 0) v += k->beta * get(k->y[at]);
            k->y[at] = put(v);
        }
}

static void dropout(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev x, am_dev y)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_dropout(be, s, p, seed, salt, x, y);
        return;
    }
    drop k = {s, am_cpu_ints(seed), salt, p, 0, elems(x), elems(y)};
    am_team_run(am_simd_team(be), s.n, dropout_item, &k);
}

static void dropout_back(am_backend *be, am_shape s, float p, am_dev seed, int salt, am_dev dy,
                         am_grad dx)
{
    if (am_cpu_stopped(be) || !am_is(dx.d)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_dropout_back(be, s, p, seed, salt, dy, dx);
        return;
    }
    drop k = {s, am_cpu_ints(seed), salt, p, dx.beta, elems(dy), elems(dx.d)};
    am_team_run(am_simd_team(be), s.n, dropout_item, &k);
}

/* ---- a number per channel ---- */

typedef struct channels {
    am_shape s;
    const elem *x;
    elem *y;
    const float *scale, *shift;
    am_act act;
    float *to, beta;
} channels;

static void affine_item(const void *arg, int sample, int worker)
{
    const channels *k = arg;
    const int pixel = am_simd_channels(k->s.c), pixels = k->s.h * k->s.w, c = k->s.c;
    (void)worker;
    size_t at = (size_t)sample * sample_elems(k->s);
    for (int i = 0; i < pixels; i++, at += (size_t)pixel) {
        int l = 0;
        for (; l + W <= c; l += W) {
            vec v = load(k->scale + l) * load_elems(k->x + at + l) + load(k->shift + l);
            store_elems(k->y + at + l, finish_act(k->act, v));
        }
        for (; l < pixel; l++) {
            float v = l < c ? k->scale[l] * get(k->x[at + (size_t)l]) + k->shift[l] : 0;
            if (l < c) am_cpu_act(k->act, 1, &v);
            k->y[at + (size_t)l] = put(v);
        }
    }
}

static void affine(am_backend *be, am_shape s, am_dev x, am_dev scale, am_dev shift, am_act act,
                   am_dev y)
{
    if (am_cpu_stopped(be)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_affine(be, s, x, scale, shift, act, y);
        return;
    }
    channels k = {
        .s = s, .x = elems(x), .y = elems(y), .scale = scale.p, .shift = shift.p, .act = act};
    am_team_run(am_simd_team(be), s.n, affine_item, &k);
}

/* Sixteen channels over all samples: float within a sample, double across. */
static void bias_back_item(const void *arg, int item, int worker)
{
    const channels *k = arg;
    const int pixel = am_simd_channels(k->s.c), first = item * 16,
              width = am_simd_min(pixel - first, 16);
    double sum[16] = {0};
    (void)worker;
    for (int n = 0; n < k->s.n; n++) {
        const elem *x = k->x + (size_t)n * sample_elems(k->s) + first;
        float part[16] = {0};
        for (int i = 0; i < k->s.h * k->s.w; i++, x += pixel)
            for (int c = 0; c < width; c++) part[c] += get(x[c]);
        for (int c = 0; c < width; c++) sum[c] += (double)part[c];
    }
    for (int c = 0; c < width && first + c < k->s.c; c++) {
        float *to = k->to + first + c;
        *to = k->beta == 0 ? (float)sum[c] : k->beta * *to + (float)sum[c];
    }
}

static void bias_back(am_backend *be, am_shape s, am_dev dy, am_grad db)
{
    if (am_cpu_stopped(be) || !am_is(db.d)) return;
    if (am_simd_one_pixel(s)) {
        am_cpu_bias_back(be, s, dy, db);
        return;
    }
    channels k = {.s = s, .x = elems(dy), .to = db.d.p, .beta = db.beta};
    am_team_run(am_simd_team(be), (s.c + 15) / 16, bias_back_item, &k);
}
