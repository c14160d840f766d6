/* backends.c: the bench of backends.h; memory, parameters, elementwise operations. */
#include "backends.h"

/* ---- the bench ---- */

static const struct { const char *name, *isa; am_precision precision;
} machines[] = {
    {"cpu", "generic", AM_FP32},   {"cpu", NULL, AM_FP32},        {"simd", "generic", AM_FP32},
    {"simd", "avx2", AM_FP32},     {"simd", "avx512", AM_FP32},   {"simd", "generic", AM_BF16},
    {"simd", "avx2", AM_BF16},     {"simd", "avx512", AM_BF16},   {"simd", "emulated", AM_BF16},
    {"simd", "emulated", AM_FAST}, {"simd", NULL, AM_BF16},       {"simd", NULL, AM_FAST},
    {"cuda", NULL, AM_FP32},       {"cuda", NULL, AM_BF16},       {"cuda", NULL, AM_FP16},
};

static uint64_t run_once(const am_backend_type *type, const am_backend_options *o,
                         void (*run)(t_bench *))
{
    am_err e = {0};
    am_backend be = {0};
    am_status st = type->open(&be, o, &e);
    if (st == AM_EDEVICE || st == AM_EINPUT) return 0;      /* not on this machine */
    t_ok(st, &e);
    t_bench *b = calloc(1, sizeof *b);
    b->be = &be;
    b->op = be.ops;
    b->rng = am_rng_at(7, 0, 0);
    b->digest = 14695981039346656037u;
    run(b);
    t_ok(be.ops->sync(&be, &e), &e);
    t_clear(b);
    uint64_t digest = b->digest;
    if (be.bytes) fail_msg("%s: %zu bytes are left", be.about, be.bytes);
    type->close(&be);
    free(b);
    return digest;
}

void t_each(void (*run)(t_bench *))
{
    int ran = 0;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        const am_backend_type *type = am_backend_find(machines[i].name);
        if (!type || (t_backend && strcmp(t_backend, machines[i].name))) continue;
        uint64_t first = 0;
        for (int threads = 1; threads <= 3; threads++) {
            am_backend_options o = {
                .threads = threads, .precision = machines[i].precision, .isa = machines[i].isa};
            uint64_t digest = run_once(type, &o, run);
            if (threads == 1) first = digest;
            if (digest != first)
                fail_msg("%s %s: %d threads give other bytes than one", machines[i].name,
                         machines[i].isa ? machines[i].isa : "", threads);
        }
        ran += first != 0;
    }
    assert_true(ran > 0);
}

static void *keep(t_bench *b, void *p)
{
    assert_non_null(p);
    assert_true(b->hosts < (int)(sizeof b->host / sizeof *b->host));
    return b->host[b->hosts++] = p;
}

void t_clear(t_bench *b)
{
    while (b->devices) b->op->free(b->be, b->device[--b->devices]);
    while (b->hosts) free(b->host[--b->hosts]);
}

double t_draw(t_bench *b, double lo, double hi) { return am_rng_between(&b->rng, lo, hi); }
int t_pick(t_bench *b, int lo, int hi)
{
    return lo + (int)am_rng_below(&b->rng, (uint32_t)(hi - lo + 1));
}
float *t_floats(t_bench *b, size_t n) { return keep(b, calloc(n ? n : 1, sizeof(float))); }
double *t_doubles(t_bench *b, size_t n) { return keep(b, calloc(n ? n : 1, sizeof(double))); }

am_dev t_blank(t_bench *b, size_t n)
{
    am_dev d = b->op->alloc(b->be, n);
    assert_true(am_is(d));
    assert_true(b->devices < (int)(sizeof b->device / sizeof *b->device));
    b->device[b->devices++] = d;
    b->op->fill(b->be, n, NAN, d);
    return d;
}

am_dev t_blank_activation(t_bench *b, am_shape s) { return t_blank(b, b->op->room(b->be, s)); }

am_dev t_given(t_bench *b, size_t n, const void *host)
{
    am_dev d = t_blank(b, n);
    b->op->upload(b->be, n, host, d);
    return d;
}

static float *drawn(t_bench *b, size_t n, double lo, double hi)
{
    float *x = t_floats(b, n);
    for (size_t i = 0; i < n; i++) x[i] = (float)t_draw(b, lo, hi);
    return x;
}

am_dev t_plain(t_bench *b, size_t n, double lo, double hi, float **host)
{
    float *x = drawn(b, n, lo, hi);
    if (host) *host = x;
    return t_given(b, n, x);
}

am_dev t_activation(t_bench *b, am_shape s, double lo, double hi, float **host)
{
    float *x = drawn(b, am_count(s), lo, hi);
    am_dev d = t_blank_activation(b, s);
    b->op->put(b->be, s, x, d);
    b->op->get(b->be, s, d, x);
    if (host) *host = x;
    return d;
}

am_grad t_plain_grad(t_bench *b, size_t n, float beta, float **before)
{
    if (beta != 0) return (am_grad){t_plain(b, n, -1, 1, before), beta};
    *before = t_floats(b, n);
    return (am_grad){t_blank(b, n), beta};
}

am_grad t_activation_grad(t_bench *b, am_shape s, float beta, float **before)
{
    if (beta != 0) return (am_grad){t_activation(b, s, -1, 1, before), beta};
    *before = t_floats(b, am_count(s));
    return (am_grad){t_blank_activation(b, s), beta};
}

static void compare(t_bench *b, const char *what, size_t n, const float *got, const double *want,
                    double tolerance)
{
    double most = 1e-30;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(want[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * most))
            fail_msg("%s: %s[%zu] of %zu is %.9g, not %.9g; allowed %.2g of %.3g", b->be->about,
                     what, i, n, (double)got[i], want[i], tolerance, most);
    for (size_t i = 0; i < n * sizeof *got; i++)
        b->digest = (b->digest ^ ((const unsigned char *)got)[i]) * 1099511628211u;
}

void t_plain_is(t_bench *b, const char *what, size_t n, am_dev d, const double *want,
                double tolerance)
{
    float *got = malloc(n * sizeof *got);
    b->op->download(b->be, n, d, got);
    compare(b, what, n, got, want, tolerance);
    free(got);
}

void t_activation_is(t_bench *b, const char *what, am_shape s, am_dev d, const double *want,
                     double tolerance)
{
    float *got = malloc(am_count(s) * sizeof *got);
    b->op->get(b->be, s, d, got);
    compare(b, what, am_count(s), got, want, tolerance);
    free(got);
}

/* 2^-8 is the last bit of a bf16 number near the largest; sums of inputs rounded so add a few. */
double t_loose(const t_bench *b, double fp32)
{
    return b->be->precision == AM_FP32 ? fp32 : fmax(fp32, 2e-2);
}

size_t t_at(am_shape s, int n, int c, int y, int x)
{
    return (((size_t)n * (size_t)s.c + (size_t)c) * (size_t)s.h + (size_t)y) * (size_t)s.w
           + (size_t)x;
}

double t_act(am_act a, double x)
{
    switch (a) {
    case AM_LINEAR: return x;
    case AM_LOGISTIC: return 1 / (1 + exp(-x));
    case AM_LOGGY: return 2 / (1 + exp(-x)) - 1;
    case AM_RELU: return fmax(x, 0);
    case AM_ELU: return x >= 0 ? x : exp(x) - 1;
    case AM_SELU: return 1.0507 * (x >= 0 ? x : 1.6732 * (exp(x) - 1));
    case AM_RELIE: return x > 0 ? x : .01 * x;
    case AM_RAMP: return fmax(x, 0) + .1 * x;
    case AM_TANH: return tanh(x);
    case AM_PLSE: return x < -4 ? .01 * (x + 4) : x > 4 ? .01 * (x - 4) + 1 : .125 * x + .5;
    case AM_LEAKY: return x > 0 ? x : .1 * x;
    case AM_STAIR: return fmod(floor(x), 2) == 0 ? floor(x / 2) : x - floor(x) + floor(x / 2);
    case AM_HARDTAN: return fmin(fmax(x, -1), 1);
    case AM_LHTAN: return x < 0 ? .001 * x : x > 1 ? .001 * (x - 1) + 1 : x;
    }
    return NAN;
}

double t_slope(am_act a, double y)
{
    switch (a) {
    case AM_LINEAR: return 1;
    case AM_LOGISTIC: return y * (1 - y);
    case AM_LOGGY: return 2 * ((y + 1) / 2) * (1 - (y + 1) / 2);
    case AM_RELU: return y > 0;
    case AM_ELU: return y >= 0 ? 1 : y + 1;
    case AM_SELU: return y >= 0 ? 1.0507 : y + 1.0507 * 1.6732;
    case AM_RELIE: return y > 0 ? 1 : .01;
    case AM_RAMP: return (y > 0) + .1;
    case AM_TANH: return 1 - y * y;
    case AM_PLSE: return y < 0 || y > 1 ? .01 : .125;
    case AM_LEAKY: return y > 0 ? 1 : .1;
    case AM_STAIR: return floor(y) != y;
    case AM_HARDTAN: return y > -1 && y < 1;
    case AM_LHTAN: return y > 0 && y < 1 ? 1 : .001;
    }
    return NAN;
}

/* ---- every slot, and memory ---- */

static void slots(t_bench *b)
{
    typedef void slot(void);
    slot *all[sizeof(am_ops) / sizeof(slot *)];
    memcpy(all, b->op, sizeof all);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!all[i]) fail_msg("%s: slot %zu of the table is empty", b->be->about, i);
    assert_non_null(b->be->name);
    assert_true(b->be->about[0] && b->be->threads > 0);
}
static void no_slot_is_empty(void **s) { (void)s; t_each(slots); }

static const am_shape shapes[] = {{1, 1, 1, 1}, {3, 5, 1, 1},  {1, 3, 7, 5},
                                  {2, 1, 9, 4}, {4, 17, 8, 8}, {3, 30, 17, 15}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void memory(t_bench *b)
{
    am_backend *be = b->be;
    size_t allocations = be->allocations, bytes = be->bytes;
    am_dev d = b->op->alloc(be, 1000);
    float host[1000], zero[1000] = {0};
    b->op->download(be, 1000, d, host);
    assert_memory_equal(host, zero, sizeof host);
    assert_true(be->allocations == allocations + 1 && be->bytes >= bytes + 4000
                && be->peak >= be->bytes);
    b->op->free(be, d);
    assert_true(be->bytes == bytes);
    b->op->free(be, AM_NOWHERE);
    for (int i = 0; i < SHAPES; i++) {
        am_shape s = shapes[i], one = am_batch_of(s, 1);
        size_t room = b->op->room(be, one);
        assert_true(b->op->room(be, s) == room * (size_t)s.n);
        if (s.h == 1 && s.w == 1) assert_true(room == (size_t)s.c);
        else assert_true(room % 16 == 0 && (room >= am_count(one) || be->precision != AM_FP32));
        float *x, *y = t_floats(b, am_count(s)), *sample = t_floats(b, am_count(one));
        am_dev a = t_activation(b, s, -3, 3, &x);
        b->op->get(be, s, a, y);
        assert_memory_equal(x, y, am_count(s) * sizeof *x);
        b->op->get(be, one, am_at(a, room * (size_t)(s.n - 1)), sample); /* samples are outermost */
        assert_memory_equal(sample, x + am_count(s) - am_count(one), am_count(one) * sizeof *x);
        if (s.h == 1 && s.w == 1) {
            b->op->download(be, am_count(s), a, y);
            assert_memory_equal(x, y, am_count(s) * sizeof *x);
        }
        t_clear(b);
    }
}
static void memory_keeps_what_it_is_given(void **s) { (void)s; t_each(memory); }

static void bytes(t_bench *b)
{
    am_shape s = {3, 3, 5, 7};
    unsigned char in[3 * 5 * 7 * 3];
    float mean[3] = {.4f, .5f, .6f}, std[3] = {.2f, .3f, .25f};
    double *want = t_doubles(b, am_count(s));
    for (size_t i = 0; i < sizeof in; i++) in[i] = (unsigned char)t_pick(b, 0, 255);
    for (int n = 0; n < 3; n++)
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < 35; p++)
                want[(n * 3 + c) * 35 + p] =
                    (in[(n * 35 + p) * 3 + c] / 255. - (double)mean[c]) / (double)std[c];
    am_dev d = t_blank_activation(b, s);
    b->op->put_bytes(b->be, s, in, mean, std, d);
    t_activation_is(b, "put_bytes", s, d, want, t_loose(b, 1e-6));
}
static void bytes_become_images(void **s) { (void)s; t_each(bytes); }

/* Windows over every border, of images that surround themselves with black or with their mirror. */
static void windows(t_bench *b)
{
    enum { IMAGES = 4, H = 5, W = 6, N = 7 };
    static const int32_t at[N][AM_WINDOW] = {{0, 0, 0, 0}, {1, -2, 3, 0}, {3, 2, -3, 1},
                                             {2, 0, 0, 1}, {-1, 1, 1, 0}, {1, 4, 4, 1},
                                             {0, -4, -4, 0}};
    am_shape s = {N, 3, H, W};
    unsigned char set[IMAGES][H][W][3];
    float mean[3] = {.4f, .5f, .6f}, std[3] = {.2f, .3f, .25f};
    double *want = t_doubles(b, am_count(s));
    for (size_t i = 0; i < sizeof set; i++) (&set[0][0][0][0])[i] = (unsigned char)t_pick(b, 0, 255);
    am_dev all = t_blank(b, sizeof set / 4), where = t_blank(b, sizeof at / 4);
    b->op->upload(b->be, sizeof set / 4, set, all);
    b->op->upload(b->be, sizeof at / 4, at, where);
    for (int reflect = 0; reflect < 2; reflect++) {
        for (int n = 0; n < N; n++)
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) {
                    int row = at[n][AM_WINDOW_Y] + y,
                        column = at[n][AM_WINDOW_X] + (at[n][AM_WINDOW_FLIP] ? W - 1 - x : x);
                    if (reflect) {
                        while (row < 0 || row >= H) row = row < 0 ? -row : 2 * (H - 1) - row;
                        while (column < 0 || column >= W)
                            column = column < 0 ? -column : 2 * (W - 1) - column;
                    }
                    int inside = at[n][AM_WINDOW_IMAGE] >= 0 && row >= 0 && row < H &&
                                 column >= 0 && column < W;
                    for (int c = 0; c < 3; c++)
                        want[t_at(s, n, c, y, x)] =
                            ((inside ? set[at[n][AM_WINDOW_IMAGE]][row][column][c] : 0) / 255. -
                             (double)mean[c]) /
                            (double)std[c];
                }
        am_dev d = t_blank_activation(b, s);
        b->op->gather(b->be, s, IMAGES, all, where, reflect, mean, std, d);
        t_activation_is(b, "gather", s, d, want, t_loose(b, 1e-6));
    }
}
static void windows_become_images(void **s) { (void)s; t_each(windows); }

/* ---- parameters ---- */

static void sgd(t_bench *b)
{
    static const size_t sizes[] = {1, 17, 40001};
    for (int variant = 0; variant < 6; variant++) {
        size_t n = sizes[variant % 3];
        int nesterov = variant & 1, guarded = variant == 5, follows = variant != 1;
        float hyper[5] = {.1f, .9f, .01f, (float)nesterov, .99f}, no = (float)guarded, *w, *g, *v,
              *t;
        am_dev dw = t_plain(b, n, -1, 1, &w), dg = t_plain(b, n, -1, 1, &g),
               dv = t_plain(b, n, -1, 1, &v);
        am_dev dt = t_plain(b, n, -1, 1, &t), h = t_given(b, 5, hyper), guard = t_given(b, 1, &no);
        double *ww = t_doubles(b, n), *wv = t_doubles(b, n), *wt = t_doubles(b, n),
               *wg = t_doubles(b, n);
        for (size_t i = 0; i < n; i++) {
            double pull = (double)g[i] + (double)hyper[2] * (double)w[i];
            wv[i] = (double)hyper[1] * (double)v[i] + pull;
            ww[i] = (double)w[i]
                    - (double)hyper[0] * (nesterov ? pull + (double)hyper[1] * wv[i] : wv[i]);
            wt[i] = (double)hyper[4] * (double)t[i] + (1 - (double)hyper[4]) * ww[i];
            if (guarded) ww[i] = (double)w[i], wv[i] = (double)v[i], wt[i] = (double)t[i];
        }
        b->op->sgd(b->be, n, dw, dg, dv, follows ? dt : AM_NOWHERE, h, guard);
        t_plain_is(b, "w", n, dw, ww, 1e-6);
        t_plain_is(b, "v", n, dv, wv, 1e-6);
        t_plain_is(b, "g", n, dg, wg, 0);
        if (follows) t_plain_is(b, "teacher", n, dt, wt, 1e-6);
        t_clear(b);
    }
}
static void sgd_steps_and_the_teacher_follows(void **s) { (void)s; t_each(sgd); }

static void clip(t_bench *b)
{
    static const size_t sizes[] = {1, 100, 70001};
    for (int variant = 0; variant < 9; variant++) {
        size_t n = sizes[variant % 3];
        float limit = (float[]){0, 0.5f, 1e6f}[variant / 3], *g;
        am_dev dg = t_plain(b, n, .2, 1, &g), dl = t_given(b, 1, &limit),
               scratch = t_blank(b, 1024);
        double *want = t_doubles(b, n), length = 0;
        for (size_t i = 0; i < n; i++) length += (double)g[i] * (double)g[i];
        length = sqrt(length);
        for (size_t i = 0; i < n; i++)
            want[i] =
                (double)g[i] * (limit > 0 && length > (double)limit ? (double)limit / length : 1);
        b->op->clip(b->be, n, dl, scratch, dg);
        t_plain_is(b, "clip", n, dg, want, 1e-5);
        t_clear(b);
    }
}
static void clip_limits_the_length(void **s) { (void)s; t_each(clip); }

static void guards(t_bench *b)
{
    enum { N = 50000 };
    am_shape s = {3, 5, 7, 9};
    for (int variant = 0; variant < 4; variant++) {
        float *x, *a, start = variant == 3, bad = variant == 1 ? NAN : INFINITY;
        double want = variant != 0;
        t_plain(b, N, -1, 1, &x);
        t_activation(b, s, -1, 1, &a);
        if (variant == 1 || variant == 2) x[t_pick(b, 0, N - 1)] = bad, a[t_pick(b, 0, 944)] = bad;
        am_dev d = t_given(b, N, x), flag = t_given(b, 1, &start), other = t_given(b, 1, &start);
        am_dev act = t_blank_activation(b, s);
        b->op->put(b->be, s, a, act);
        b->op->guard(b->be, N, d, flag);
        b->op->finite(b->be, s, act, other);
        t_plain_is(b, "guard", 1, flag, &want, 0);
        t_plain_is(b, "finite", 1, other, &want, 0);
        t_clear(b);
    }
    double fill[9], copy[5];
    for (int i = 0; i < 9; i++) fill[i] = i < 4 || i >= 6 ? 2.5 : 1.5;
    for (int i = 0; i < 5; i++) copy[i] = fill[i + 2];
    am_dev d = t_blank(b, 9), to = t_blank(b, 5);
    b->op->fill(b->be, 9, 2.5f, d);
    b->op->fill(b->be, 2, 1.5f, am_at(d, 4));
    b->op->copy(b->be, 5, am_at(d, 2), to);
    t_plain_is(b, "fill", 9, d, fill, 0);
    t_plain_is(b, "copy", 5, to, copy, 0);
}
static void guards_see_what_is_not_finite(void **s) { (void)s; t_each(guards); }

/* ---- elementwise ---- */

static void add(t_bench *b)
{
    for (int i = 0; i < SHAPES; i++)
        for (int variant = 0; variant < 3; variant++) {
            am_shape s = shapes[i];
            am_act act = variant ? AM_RELU : AM_LINEAR;
            float *x, *r;
            am_dev dx = t_activation(b, s, -2, 2, &x), dr = t_activation(b, s, -2, 2, &r);
            am_dev y = variant == 2 ? dx : t_blank_activation(b, s);            /* y may be x */
            double *want = t_doubles(b, am_count(s));
            for (size_t k = 0; k < am_count(s); k++)
                want[k] = t_act(act, 1.5 * (double)x[k] + (variant != 1 ? -.5 * (double)r[k] : 0));
            b->op->add(b->be, s, 1.5f, dx, -.5f, variant != 1 ? dr : AM_NOWHERE, act, y);
            t_activation_is(b, "add", s, y, want, t_loose(b, 1e-6));
            t_clear(b);
        }
}
static void add_adds(void **s) { (void)s; t_each(add); }

/* Backward from the output as stored: the formula's slope at y, so that corners cannot differ. */
static void activations(t_bench *b)
{
    for (int act = AM_LINEAR; act <= AM_LHTAN; act++)
        for (int variant = 0; variant < 3; variant++) {
            am_shape s = shapes[(act + variant) % SHAPES];
            size_t n = am_count(s);
            float *x, *y = t_floats(b, n), *dy, *before;
            am_dev dx = t_activation(b, s, -6, 6, &x), out = t_blank_activation(b, s);
            am_dev grad = t_activation(b, s, -1, 1, &dy);
            double *want = t_doubles(b, n);
            for (size_t k = 0; k < n; k++) want[k] = t_act((am_act)act, (double)x[k]);
            b->op->add(b->be, s, 1, dx, 0, AM_NOWHERE, (am_act)act, out);
            t_activation_is(b, "act", s, out, want,
                            t_loose(b, 3e-6)); /* expf and tanhf: a few units of the last place */
            b->op->get(b->be, s, out, y);
            am_grad to = t_activation_grad(b, s, variant == 1, &before);
            if (variant == 2) to = (am_grad){grad, 0};                      /* dx may be dy */
            for (size_t k = 0; k < n; k++)
                want[k] = (variant == 1 ? (double)before[k] : 0)
                          + .5 * t_slope((am_act)act, (double)y[k]) * (double)dy[k];
            b->op->act_back(b->be, s, (am_act)act, act == AM_LINEAR ? AM_NOWHERE : out, grad, .5f,
                            to);
            t_activation_is(b, "act_back", s, to.d, want, t_loose(b, 3e-6));
            t_clear(b);
        }
}
static void activations_and_slopes(void **s) { (void)s; t_each(activations); }

static void dropout(t_bench *b)
{
    am_shape s = {3, 30, 17, 15};
    size_t n = am_count(s), zeros = 0, other = 0;
    int seed[2] = {12345, -77};
    float *x, *y = t_floats(b, n), *z = t_floats(b, n), *dy, *before;
    am_dev in = t_activation(b, s, .5, 1, &x), out = t_blank_activation(b, s),
           words = t_given(b, 2, seed);
    am_dev grad = t_activation(b, s, .5, 1, &dy);
    double *want = t_doubles(b, n);
    b->op->dropout(b->be, s, .3f, words, 4, in, out);
    b->op->get(b->be, s, out, y);
    for (size_t k = 0; k < n; k++) zeros += y[k] == 0, want[k] = y[k] == 0 ? 0 : (double)x[k] / .7;
    t_activation_is(b, "dropout", s, out, want, t_loose(b, 1e-6));
    assert_true(fabs((double)zeros / (double)n - .3) < 5 * sqrt(.21 / (double)n));
    for (int beta = 0; beta < 2; beta++) {
        am_grad to = t_activation_grad(b, s, (float)beta, &before);
        for (size_t k = 0; k < n; k++)
            want[k] = beta * (double)before[k] + (y[k] == 0 ? 0 : (double)dy[k] / .7);
        b->op->dropout_back(b->be, s, .3f, words, 4, grad, to);
        t_activation_is(b, "dropout_back", s, to.d, want, t_loose(b, 1e-6));
    }
    b->op->dropout(b->be, s, .3f, words, 5, in, out);       /* another layer drops others */
    b->op->get(b->be, s, out, z);
    for (size_t k = 0; k < n; k++) other += (y[k] == 0) != (z[k] == 0);
    assert_true(fabs((double)other / (double)n - .42) < 5 * sqrt(.25 / (double)n));
}
static void dropout_remembers_by_counting(void **s) { (void)s; t_each(dropout); }

/* ---- what the host reads later ---- */

static void aside(t_bench *b)
{
    const float x[3] = {1, 2, 3};
    float got[AM_ASIDES][3];
    am_err e = {0};
    am_dev d = t_given(b, 3, x);
    b->op->download_begin(b->be, 3, d, 0);
    b->op->fill(b->be, 2, 7, d);
    b->op->download_begin(b->be, 3, d, 1);
    b->op->fill(b->be, 3, 8, d);
    t_ok(b->op->download_end(b->be, 3, 0, got[0], &e), &e);
    t_ok(b->op->download_end(b->be, 3, 1, got[1], &e), &e);
    assert_memory_equal(got[0], x, sizeof x);
    assert_true(got[1][0] == 7 && got[1][1] == 7 && got[1][2] == 3);
}
static void what_is_put_aside_stays(void **s) { (void)s; t_each(aside); }

/* ---- faults ---- */

static void faults(t_bench *b)
{
    if (!strcmp(b->be->name, "cuda")) return; /* labels are checked before they go to a GPU */
    int labels[2] = {1, 3};
    am_err e = {0};
    am_dev d = t_given(b, 2, labels), q = t_blank(b, 6), m = t_blank(b, 1);
    b->op->onehot(b->be, 2, 3, 0, d, q);
    b->op->fill(b->be, 1, 5, m);
    assert_int_equal(b->op->sync(b->be, &e), AM_EBUG);
    assert_non_null(strstr(e.text, "onehot"));
    t_ok(b->op->sync(b->be, &e), &e);
    float got;
    b->op->download(b->be, 1, m, &got);
    assert_true(isnan(got));                                /* nothing was done after the fault */
}
static void a_fault_stops_it_and_is_told_once(void **s) { (void)s; t_each(faults); }

T_SUITE(backends, cmocka_unit_test(no_slot_is_empty),
        cmocka_unit_test(memory_keeps_what_it_is_given), cmocka_unit_test(bytes_become_images), cmocka_unit_test(windows_become_images),
        cmocka_unit_test(sgd_steps_and_the_teacher_follows),
        cmocka_unit_test(clip_limits_the_length), cmocka_unit_test(guards_see_what_is_not_finite),
        cmocka_unit_test(add_adds), cmocka_unit_test(activations_and_slopes),
        cmocka_unit_test(dropout_remembers_by_counting),
        cmocka_unit_test(what_is_put_aside_stays), cmocka_unit_test(a_fault_stops_it_and_is_told_once));
