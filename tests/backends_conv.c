/* backends_conv.c: convolution, normalisation, dense layers against their formulas. */
#include "backends.h"

/* ---- convolution ---- */

/* Winograd's transforms, and sums of thousands in another order: the fifth decimal suffers. */
#define CONV_TOLERANCE 1e-4
/* Transformed numbers that are multiplied as bf16: their last bit, 2^-8, grows with the transforms'
 * coefficients; the worst of thousands of sums is off by a few hundredths of the largest. */
#define CONV_BF16_TOLERANCE 5e-2

static double conv_loose(const t_bench *b)
{
    return b->be->precision == AM_FP32 ? CONV_TOLERANCE : CONV_BF16_TOLERANCE;
}

static const struct { int n, c, h, w, filters, size, stride, pad, groups; } geometries[] = {
    {1, 1, 1, 1, 1, 1, 1, 0, 1},     {2, 3, 7, 5, 4, 3, 1, 1, 1},
    {3, 5, 9, 7, 6, 3, 2, 1, 1},     {2, 4, 8, 8, 6, 1, 2, 0, 1},
    {1, 3, 11, 11, 7, 7, 2, 3, 1},   {2, 8, 6, 6, 12, 3, 1, 1, 4},
    {2, 6, 5, 5, 6, 5, 1, 2, 1},     {2, 8, 7, 9, 8, 3, 2, 1, 8},
    {1, 2, 6, 6, 3, 2, 2, 0, 1},     {2, 3, 5, 5, 4, 3, 3, 2, 1},
    {3, 16, 8, 8, 20, 3, 1, 1, 1},   {2, 64, 4, 4, 40, 3, 1, 1, 1},
    {4, 20, 16, 16, 18, 3, 1, 1, 1}, {2, 3, 32, 32, 16, 3, 1, 1, 1},
    {2, 16, 32, 32, 16, 3, 1, 1, 1}, {2, 32, 16, 16, 64, 1, 2, 0, 1},
    {1, 2, 2, 2, 3, 3, 1, 1, 1},     {1, 4, 1, 1, 5, 3, 1, 1, 1},
    {1, 2, 3, 3, 2, 1, 1, 2, 1},     {2, 32, 8, 8, 32, 3, 1, 1, 8},
    {37, 8, 4, 4, 9, 3, 1, 1, 1},    {5, 10, 1, 1, 7, 1, 1, 0, 1},
    {2, 50, 7, 7, 100, 3, 1, 1, 1},  {2, 3, 16, 16, 5, 11, 4, 2, 1},
    {2, 6, 13, 12, 9, 3, 1, 0, 3},   {3, 24, 8, 8, 110, 3, 2, 1, 1},
    {2, 130, 3, 3, 140, 3, 1, 1, 1}, {2, 130, 8, 6, 140, 3, 2, 1, 1},
    {3, 64, 15, 16, 48, 3, 2, 1, 1}, {2, 64, 8, 8, 64, 3, 2, 1, 4},
    {1, 16, 4, 5, 16, 3, 2, 1, 1},   {2, 32, 8, 8, 32, 3, 2, 0, 1},
    /* images: up to four channels */
    {2, 3, 20, 21, 12, 3, 1, 1, 1},  {2, 3, 13, 11, 20, 3, 2, 1, 1},
    {1, 3, 9, 14, 33, 5, 1, 2, 1},   {2, 1, 10, 7, 70, 5, 2, 0, 1},
    {1, 4, 8, 9, 50, 3, 1, 0, 1},    {2, 3, 17, 19, 24, 7, 2, 3, 1},
    {1, 3, 6, 9, 17, 7, 1, 3, 1},    {1, 1, 19, 30, 3, 3, 1, 1, 1},
    {1, 4, 15, 9, 8, 4, 3, 0, 1},    {2, 4, 11, 12, 16, 5, 3, 3, 1},
    {1, 3, 9, 8, 5, 2, 3, 1, 1},     {1, 3, 6, 5, 4, 2, 1, 3, 1},
    {1, 3, 1, 12, 4, 3, 1, 1, 1},    {3, 2, 12, 1, 4, 3, 2, 1, 1},
    {2, 3, 5, 5, 20, 5, 1, 0, 1},    {2, 3, 6, 7, 5, 1, 1, 0, 1},
    {2, 4, 2, 2, 3, 3, 2, 2, 1},     {1, 3, 28, 26, 2, 3, 1, 2, 1},
    {90, 33, 3, 3, 345, 3, 1, 1, 1}, {40, 33, 6, 5, 345, 3, 2, 1, 1},
};
/* The last ones are too many products to list, and enough to be made in rounds. */
enum { LARGE = 2, GEOMETRIES = sizeof geometries / sizeof *geometries - LARGE };

typedef struct conv_case {
    am_conv conv;
    am_shape x, y;
    am_dev dx, dw, prepared, scratch;
    float *hx, *hw;
    size_t weights;
} conv_case;

static conv_case conv_open(t_bench *b, int i)
{
    conv_case c = {.conv = {.c = geometries[i].c, .h = geometries[i].h, .w = geometries[i].w,
                            .filters = geometries[i].filters, .size = geometries[i].size,
                            .stride = geometries[i].stride, .pad = geometries[i].pad,
                            .groups = geometries[i].groups}};
    am_err e = {0};
    am_conv *v = &c.conv;
    v->oh = (v->h + 2 * v->pad - v->size) / v->stride + 1;
    v->ow = (v->w + 2 * v->pad - v->size) / v->stride + 1;
    t_ok(b->op->conv_plan(b->be, v, AM_NOPLACE, &e), &e);
    c.x = (am_shape){geometries[i].n, v->c, v->h, v->w};
    c.y = (am_shape){geometries[i].n, v->filters, v->oh, v->ow};
    c.weights = (size_t)(v->filters * (v->c / v->groups) * v->size * v->size);
    c.dx = t_activation(b, c.x, -1, 1, &c.hx);
    c.dw = t_plain(b, c.weights, -1, 1, &c.hw);
    c.prepared = t_blank(b, b->op->conv_prepared(b->be, v) + 1);
    c.scratch = t_blank(b, b->op->conv_scratch(b->be, v, c.x.n, 1) + 1);
    b->op->conv_prepare(b->be, v, c.dw, c.prepared);
    return c;
}

/* For every pair of an output and an input it sees: visit(where in y, where in x, where in w). */
typedef struct meeting { size_t y, x, w; } meeting;
static size_t meet(const conv_case *c, meeting *to)
{
    const am_conv *v = &c->conv;
    const int per = v->c / v->groups, fper = v->filters / v->groups;
    size_t n = 0;
    for (int i = 0; i < c->y.n; i++)
        for (int f = 0; f < v->filters; f++)
            for (int oy = 0; oy < v->oh; oy++)
                for (int ox = 0; ox < v->ow; ox++)
                    for (int k = 0; k < per; k++)
                        for (int a = 0; a < v->size * v->size; a++) {
                            int y = oy * v->stride - v->pad + a / v->size,
                                x = ox * v->stride - v->pad + a % v->size;
                            if (y < 0 || y >= v->h || x < 0 || x >= v->w) continue;
                            if (to)
                                to[n] = (meeting){t_at(c->y, i, f, oy, ox),
                                                  t_at(c->x, i, f / fper * per + k, y, x),
                                                  (size_t)((f * per + k) * v->size * v->size + a)};
                            n++;
                        }
    return n;
}

static void conv(t_bench *b)
{
    for (int i = 0; i < GEOMETRIES; i++) {
        conv_case c = conv_open(b, i);
        const size_t n = am_count(c.y), met = meet(&c, NULL);
        meeting *m = malloc((met + 1) * sizeof *m);
        double *plain = t_doubles(b, n), *want = t_doubles(b, n);
        float *scale, *shift, *residual, *dy, *before;
        meet(&c, m);
        for (size_t k = 0; k < met; k++)
            plain[m[k].y] += (double)c.hx[m[k].x] * (double)c.hw[m[k].w];

        am_dev ds = t_plain(b, (size_t)c.y.c, .5, 2, &scale),
               dh = t_plain(b, (size_t)c.y.c, -1, 1, &shift);
        am_dev dr = t_activation(b, c.y, -1, 1, &residual), y = t_blank_activation(b, c.y);
        const am_post posts[] = {
            {.act = AM_LINEAR, .groups = 1},
            {.shift = dh, .act = AM_LEAKY, .groups = 1},
            {.scale = ds, .shift = dh, .residual = dr, .act = AM_RELU, .groups = 1},
            {.residual = dr, .act = AM_LINEAR, .groups = 1}};
        for (int p = 0; p < 4; p++) {
            for (size_t k = 0; k < n; k++) {
                size_t f = k / (size_t)(c.y.h * c.y.w) % (size_t)c.y.c;
                double v = plain[k];
                if (am_is(posts[p].scale)) v *= (double)scale[f];
                if (am_is(posts[p].shift)) v += (double)shift[f];
                if (am_is(posts[p].residual)) v += (double)residual[k];
                want[k] = t_act(posts[p].act, v);
            }
            b->op->conv(b->be, &c.conv, c.x.n, c.dx, c.dw, c.prepared, c.scratch, posts + p, y);
            t_activation_is(b, "conv", c.y, y, want, conv_loose(b));
        }

        am_dev grad = t_activation(b, c.y, -1, 1, &dy);
        for (int variant = 0; variant < 4; variant++) { /* both; beta 1; dw alone; dx alone */
            double *gx = t_doubles(b, am_count(c.x)), *gw = t_doubles(b, c.weights);
            am_grad dx = t_activation_grad(b, c.x, variant == 1, &before);
            for (size_t k = 0; k < am_count(c.x); k++) gx[k] = (double)before[k];
            am_grad dw = t_plain_grad(b, c.weights, variant != 2, &before);
            for (size_t k = 0; k < c.weights; k++) gw[k] = (double)before[k];
            for (size_t k = 0; k < met; k++) {
                gx[m[k].x] += (double)dy[m[k].y] * (double)c.hw[m[k].w];
                gw[m[k].w] += (double)dy[m[k].y] * (double)c.hx[m[k].x];
            }
            if (variant == 2) dx.d = AM_NOWHERE;
            if (variant == 3) dw.d = AM_NOWHERE;
            b->op->conv_back(b->be, &c.conv, c.x.n, c.dx, c.dw, c.prepared, grad, c.scratch, dx,
                             dw);
            if (am_is(dx.d))
                t_activation_is(b, "conv dx", c.x, dx.d, gx, conv_loose(b));
            if (am_is(dw.d))
                t_plain_is(b, "conv dw", c.weights, dw.d, gw, conv_loose(b));
        }

        double *gb = t_doubles(b, (size_t)c.y.c);
        am_grad db = t_plain_grad(b, (size_t)c.y.c, 1, &before);
        for (size_t k = 0; k < n; k++)
            gb[k / (size_t)(c.y.h * c.y.w) % (size_t)c.y.c] += (double)dy[k];
        for (int k = 0; k < c.y.c; k++) gb[k] += (double)before[k];
        b->op->bias_back(b->be, c.y, grad, db);
        t_plain_is(b, "bias_back", (size_t)c.y.c, db.d, gb, 1e-5);

        free(m);
        b->op->conv_drop(b->be, &c.conv);
        t_clear(b);
    }
}
static void convolutions_and_their_gradients(void **s) { (void)s; t_each(conv); }

static void conv_large(t_bench *b)
{
    for (int i = GEOMETRIES; i < GEOMETRIES + LARGE; i++) {
        conv_case c = conv_open(b, i);
        const am_conv *v = &c.conv;
        const int taps = v->size * v->size;
        double *want = t_doubles(b, am_count(c.y)), *gx = t_doubles(b, am_count(c.x)),
               *gw = t_doubles(b, c.weights);
        float *dy, *before;
        am_dev grad = t_activation(b, c.y, -1, 1, &dy), y = t_blank_activation(b, c.y);
        am_grad dx = t_activation_grad(b, c.x, 0, &before),
                dw = t_plain_grad(b, c.weights, i > GEOMETRIES, &before);
        for (size_t k = 0; k < c.weights; k++) gw[k] = (double)before[k];
        for (int n = 0; n < c.y.n; n++)
            for (int f = 0; f < v->filters; f++)
                for (int k = 0; k < v->c; k++)
                    for (int a = 0; a < taps; a++) {
                        const size_t at = (size_t)((f * v->c + k) * taps + a);
                        for (int oy = 0; oy < v->oh; oy++)
                            for (int ox = 0; ox < v->ow; ox++) {
                                int iy = oy * v->stride - v->pad + a / v->size,
                                    ix = ox * v->stride - v->pad + a % v->size;
                                if (iy < 0 || iy >= v->h || ix < 0 || ix >= v->w) continue;
                                const size_t o = t_at(c.y, n, f, oy, ox),
                                             x = t_at(c.x, n, k, iy, ix);
                                want[o] += (double)c.hx[x] * (double)c.hw[at];
                                gx[x] += (double)dy[o] * (double)c.hw[at];
                                gw[at] += (double)dy[o] * (double)c.hx[x];
                            }
                    }
        const am_post post = {.act = AM_LINEAR, .groups = 1};
        b->op->conv(b->be, v, c.x.n, c.dx, c.dw, c.prepared, c.scratch, &post, y);
        t_activation_is(b, "conv", c.y, y, want, conv_loose(b));
        b->op->conv_back(b->be, v, c.x.n, c.dx, c.dw, c.prepared, grad, c.scratch, dx, dw);
        t_activation_is(b, "conv dx", c.x, dx.d, gx, conv_loose(b));
        t_plain_is(b, "conv dw", c.weights, dw.d, gw, conv_loose(b));
        b->op->conv_drop(b->be, &c.conv);
        t_clear(b);
    }
}
static void convolutions_of_many_products(void **s) { (void)s; t_each(conv_large); }

static void conv_refused(t_bench *b)
{
    am_err e = {0};
    am_conv bad[] = {
        {.c = 6, .h = 4, .w = 4, .filters = 4, .oh = 4, .ow = 4, .size = 1, .stride = 1,
         .groups = 4},
        {.c = 4, .h = 4, .w = 4, .filters = 4, .size = 5, .stride = 1, .groups = 1},
    };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b->op->conv_plan(b->be, bad + i, (am_loc){"x.cfg", 3}, &e), AM_EINPUT);
        assert_string_equal(e.place, "x.cfg:3");
        b->op->conv_drop(b->be, bad + i);
    }
}
static void impossible_convolutions_are_refused(void **s) { (void)s; t_each(conv_refused); }

/* ---- normalisation ---- */

static const struct {
    am_shape s;
    int groups;
    am_act act;
    int residual, inplace;
    float beta;
} norms[] = {
    {{1, 1, 1, 1}, 1, AM_LINEAR, 0, 0, 0},  {{6, 5, 1, 1}, 1, AM_RELU, 0, 0, 1},
    {{6, 5, 1, 1}, 2, AM_LINEAR, 1, 1, 0},  {{1, 3, 5, 7}, 1, AM_LEAKY, 1, 0, 0},
    {{2, 1, 3, 3}, 2, AM_RELU, 1, 0, 1},    {{4, 17, 8, 8}, 2, AM_RELU, 1, 1, 0},
    {{4, 9, 33, 35}, 1, AM_RELU, 0, 1, 0},  {{8, 20, 16, 16}, 1, AM_LINEAR, 0, 0, 0},
    {{6, 16, 16, 16}, 2, AM_RELU, 0, 0, 0}, {{4, 24, 9, 7}, 2, AM_RELU, 1, 0, 0},
    {{3, 264, 4, 4}, 1, AM_LEAKY, 1, 0, 1}, {{4, 64, 16, 16}, 2, AM_RELU, 1, 1, 0},
    /* many channels on few pixels; around the 2048 and the 7168 rows of a group up to which cuda keeps what it has read */
    {{8, 512, 4, 4}, 1, AM_RELU, 1, 0, 1},  {{8, 512, 4, 4}, 2, AM_RELU, 0, 0, 0},
    {{2, 16, 32, 32}, 1, AM_RELU, 1, 0, 0}, {{6, 72, 27, 27}, 2, AM_RELU, 1, 0, 1},
    {{7, 8, 32, 32}, 1, AM_LINEAR, 0, 0, 0}, {{24, 8, 27, 27}, 2, AM_RELU, 1, 1, 0},
    {{2, 520, 33, 33}, 1, AM_RELU, 0, 0, 0},
};

/* u = (x - mean) / sqrt(variance + eps), and the statistics [groups][c], by the definition. */
static void norm_formula(am_shape s, int groups, const float *x, double *u, double *inverse,
                         double *mean, double *variance)
{
    const int per = s.n / groups;
    const double count = (double)per * s.h * s.w;
    for (int g = 0; g < groups; g++)
        for (int c = 0; c < s.c; c++) {
            double sum = 0, square = 0;
            for (int i = g * per; i < (g + 1) * per; i++)
                for (int p = 0; p < s.h * s.w; p++) sum += (double)x[t_at(s, i, c, 0, p)];
            sum /= count;
            for (int i = g * per; i < (g + 1) * per; i++)
                for (int p = 0; p < s.h * s.w; p++) {
                    double d = (double)x[t_at(s, i, c, 0, p)] - sum;
                    u[t_at(s, i, c, 0, p)] = d;
                    square += d * d;
                }
            mean[g * s.c + c] = sum;
            variance[g * s.c + c] = square / count;
            inverse[g * s.c + c] = 1 / sqrt(square / count + (double)AM_NORM_EPS);
            for (int i = g * per; i < (g + 1) * per; i++)
                for (int p = 0; p < s.h * s.w; p++) u[t_at(s, i, c, 0, p)] *= inverse[g * s.c + c];
        }
}

static void norm(t_bench *b)
{
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        am_shape s = norms[i].s;
        const int groups = norms[i].groups, per = s.n / groups, C = s.c;
        const am_act act = norms[i].act;
        const size_t n = am_count(s), c = (size_t)C;
        const double count = (double)per * s.h * s.w;
        float *x, *scale, *bias, *residual, *rm, *rv, *dy, *y = t_floats(b, n), *bx, *br, *bs, *bb;
        am_dev dx = t_activation(b, s, 2, 5, &x), dr = t_activation(b, s, -1, 1, &residual);
        am_dev ds = t_plain(b, c, .5, 2, &scale), db = t_plain(b, c, -1, 1, &bias);
        am_dev mean = t_plain(b, c, -1, 1, &rm), variance = t_plain(b, c, .5, 2, &rv);
        am_dev out = t_blank_activation(b, s),
               saved = t_blank(b, b->op->norm_saved(b->be, s, groups));
        double *u = t_doubles(b, n), *want = t_doubles(b, n), *inverse = t_doubles(b, 2 * c),
               *m = t_doubles(b, 2 * c);
        double *v = t_doubles(b, 2 * c), *wm = t_doubles(b, c), *wv = t_doubles(b, c);
        norm_formula(s, groups, x, u, inverse, m, v);
        for (size_t k = 0; k < n; k++) {
            size_t ch = k / (size_t)(s.h * s.w) % c;
            want[k] = t_act(act, (double)scale[ch] * u[k] + (double)bias[ch]
                                     + (norms[i].residual ? (double)residual[k] : 0));
        }
        for (int ch = 0; ch < C; ch++) {
            wm[ch] = (double)rm[ch], wv[ch] = (double)rv[ch];
            for (int g = 0; g < groups; g++) {
                wm[ch] = .9 * wm[ch] + .1 * m[g * C + ch];
                wv[ch] = .9 * wv[ch] + .1 * v[g * C + ch] * (count > 1 ? count / (count - 1) : 1);
            }
        }
        b->op->norm(b->be, s, groups, 0, dx, ds, db, norms[i].residual ? dr : AM_NOWHERE, act, out,
                    saved, mean, variance);
        t_activation_is(b, "norm", s, out, want, t_loose(b, 1e-5));
        t_plain_is(b, "running mean", c, mean, wm, 1e-6);
        t_plain_is(b, "running variance", c, variance, wv, 1e-5);

        b->op->get(b->be, s, out, y);
        am_dev grad = t_activation(b, s, -1, 1, &dy);
        am_grad gx = t_activation_grad(b, s, norms[i].beta, &bx),
                gr = t_activation_grad(b, s, norms[i].beta, &br);
        am_grad gs = t_plain_grad(b, c, 1, &bs), gb = t_plain_grad(b, c, 1, &bb);
        double *wx = t_doubles(b, n), *wr = t_doubles(b, n), *ws = t_doubles(b, c),
               *wb = t_doubles(b, c);
        for (int ch = 0; ch < C; ch++) {
            ws[ch] = (double)bs[ch], wb[ch] = (double)bb[ch];
            for (int g = 0; g < groups; g++) {
                double sum = 0, with = 0;
                for (int k = g * per; k < (g + 1) * per; k++)
                    for (int p = 0; p < s.h * s.w; p++) {
                        size_t at = t_at(s, k, ch, 0, p);
                        wr[at] = t_slope(act, (double)y[at]) * (double)dy[at];
                        sum += wr[at], with += wr[at] * u[at];
                    }
                ws[ch] += with, wb[ch] += sum;
                for (int k = g * per; k < (g + 1) * per; k++)
                    for (int p = 0; p < s.h * s.w; p++) {
                        size_t at = t_at(s, k, ch, 0, p);
                        wx[at] = (double)(norms[i].beta * bx[at])
                                 + (double)scale[ch] * inverse[g * C + ch]
                                       * (wr[at] - sum / count - u[at] * with / count);
                        wr[at] += (double)(norms[i].beta * br[at]);
                    }
            }
        }
        am_dev scratch = t_blank(b, b->op->norm_saved(b->be, s, groups));
        if (norms[i].inplace) gx = (am_grad){grad, 0};
        b->op->norm_back(b->be, s, groups, dx, ds, act, act == AM_LINEAR ? AM_NOWHERE : out, saved,
                         grad, scratch, gx, norms[i].residual ? gr : (am_grad){AM_NOWHERE, 0}, gs,
                         gb);
        if (count > 1)      /* differences of near-equal sums */
            t_activation_is(b, "norm dx", s, gx.d, wx, t_loose(b, 2e-5));
        if (norms[i].residual) t_activation_is(b, "norm dresidual", s, gr.d, wr, t_loose(b, 1e-6));
        t_plain_is(b, "norm dscale", c, gs.d, ws, t_loose(b, 2e-5));
        t_plain_is(b, "norm dbias", c, gb.d, wb, t_loose(b, 1e-5));

        /* A frozen teacher: gradient to x alone. */
        if (!norms[i].inplace && norms[i].beta == 0 && count > 1) {
            am_grad only = t_activation_grad(b, s, 0, &bx);
            b->op->norm_back(b->be, s, groups, dx, ds, act, out, saved, grad, scratch, only,
                             (am_grad){AM_NOWHERE, 0}, (am_grad){AM_NOWHERE, 1},
                             (am_grad){AM_NOWHERE, 1});
            t_activation_is(b, "norm dx alone", s, only.d, wx, t_loose(b, 2e-5));
        }

        am_dev fs = t_blank(b, c), fh = t_blank(b, c), flat = t_blank_activation(b, s);
        for (int ch = 0; ch < C; ch++) {
            inverse[ch] = (double)scale[ch] / sqrt(wv[ch] + (double)AM_NORM_EPS);
            m[ch] = (double)bias[ch] - wm[ch] * inverse[ch];
        }
        b->op->norm_fold(b->be, C, ds, db, mean, variance, fs, fh);
        t_plain_is(b, "norm_fold scale", c, fs, inverse, 2e-5);
        t_plain_is(b, "norm_fold shift", c, fh, m, 2e-5);
        for (size_t k = 0; k < n; k++) {
            size_t ch = k / (size_t)(s.h * s.w) % c;
            want[k] = t_act(act, inverse[ch] * (double)x[k] + m[ch]);
        }
        b->op->affine(b->be, s, dx, fs, fh, act, flat);
        t_activation_is(b, "affine", s, flat, want, t_loose(b, 5e-5));
        t_clear(b);
    }
}
static void normalisation_and_its_gradients(void **s) { (void)s; t_each(norm); }

/* Statistics that a convolution leaves for the norm behind it, in two groups. */
static void conv_norm(t_bench *b)
{
    for (int i = 0; i < GEOMETRIES; i++) {
        if (geometries[i].n % 2) continue;
        conv_case c = conv_open(b, i);
        const size_t n = am_count(c.y), ch = (size_t)c.y.c;
        float *scale, *bias, *y = t_floats(b, n), *zero = t_floats(b, ch);
        am_dev ds = t_plain(b, ch, .5, 2, &scale), db = t_plain(b, ch, -1, 1, &bias);
        am_dev raw = t_blank_activation(b, c.y), out = t_blank_activation(b, c.y);
        am_dev mean = t_given(b, ch, zero), variance = t_given(b, ch, zero);
        am_dev saved = t_blank(b, b->op->norm_saved(b->be, c.y, 2));
        am_post post = {.act = AM_LINEAR, .stats = saved, .groups = 2};
        b->op->conv(b->be, &c.conv, c.x.n, c.dx, c.dw, c.prepared, c.scratch, &post, raw);
        b->op->get(b->be, c.y, raw, y);
        double *u = t_doubles(b, n), *inverse = t_doubles(b, 2 * ch), *m = t_doubles(b, 2 * ch),
               *v = t_doubles(b, 2 * ch);
        norm_formula(c.y, 2, y, u, inverse, m, v);
        for (size_t k = 0; k < n; k++) {
            size_t f = k / (size_t)(c.y.h * c.y.w) % ch;
            u[k] = t_act(AM_RELU, (double)scale[f] * u[k] + (double)bias[f]);
        }
        for (size_t f = 0; f < ch; f++) m[f] = .09 * m[f] + .1 * m[ch + f];
        b->op->norm(b->be, c.y, 2, 1, raw, ds, db, AM_NOWHERE, AM_RELU, out, saved, mean, variance);
        if (c.y.h * c.y.w > 4) t_activation_is(b, "norm after conv", c.y, out, u, t_loose(b, 5e-5));
        t_plain_is(b, "running mean after conv", ch, mean, m, t_loose(b, 1e-5));
        b->op->conv_drop(b->be, &c.conv);
        t_clear(b);
    }
}
static void a_convolution_may_leave_statistics(void **s) { (void)s; t_each(conv_norm); }

/* ---- dense ---- */

static const struct { am_shape s; int out; } denses[] = {
    {{1, 1, 1, 1}, 1},  {{3, 5, 1, 1}, 4},     {{7, 64, 1, 1}, 10},
    {{2, 3, 5, 7}, 11}, {{33, 70, 1, 1}, 101}, {{5, 8, 4, 4}, 6},
    {{41, 12, 1, 1}, 803}, {{11, 3, 2, 3}, 3001},      /* beyond the 32768 outputs up to which cuda gives each a warp */
};

static void dense(t_bench *b)
{
    for (size_t i = 0; i < sizeof denses / sizeof *denses; i++)
        for (int beta = 0; beta < 2; beta++) {
            am_shape s = denses[i].s;
            const size_t n = (size_t)s.n, out = (size_t)denses[i].out, k = am_count(s) / n;
            float *x, *w, *bias, *dy, *bx, *bw, *bb;
            am_dev dx = t_activation(b, s, -1, 1, &x), dw = t_plain(b, out * k, -1, 1, &w),
                   db = t_plain(b, out, -1, 1, &bias);
            am_dev y = t_blank(b, n * out), grad = t_plain(b, n * out, -1, 1, &dy);
            am_grad gx = t_activation_grad(b, s, (float)beta, &bx),
                    gw = t_plain_grad(b, out * k, 1, &bw);
            am_grad gb = t_plain_grad(b, out, 1, &bb);
            double *want = t_doubles(b, n * out), *wx = t_doubles(b, n * k),
                   *ww = t_doubles(b, out * k), *wb = t_doubles(b, out);
            for (size_t q = 0; q < n * k; q++) wx[q] = (double)bx[q];
            for (size_t q = 0; q < out * k; q++) ww[q] = (double)bw[q];
            for (size_t q = 0; q < out; q++) wb[q] = (double)bb[q];
            for (size_t r = 0; r < n; r++)
                for (size_t o = 0; o < out; o++) {
                    const double g = (double)dy[r * out + o];
                    want[r * out + o] = beta ? (double)bias[o] : 0;
                    wb[o] += g;
                    for (size_t q = 0; q < k; q++) {
                        want[r * out + o] += (double)x[r * k + q] * (double)w[o * k + q];
                        wx[r * k + q] += g * (double)w[o * k + q];
                        ww[o * k + q] += g * (double)x[r * k + q];
                    }
                }
            b->op->dense(b->be, s, (int)out, dx, dw, beta ? db : AM_NOWHERE, y);
            t_plain_is(b, "dense", n * out, y, want, t_loose(b, 1e-5));
            b->op->dense_back(b->be, s, (int)out, dx, dw, grad, gx, gw, gb);
            t_activation_is(b, "dense dx", s, gx.d, wx, t_loose(b, 1e-5));
            t_plain_is(b, "dense dw", out * k, gw.d, ww, t_loose(b, 1e-5));
            t_plain_is(b, "dense db", out, gb.d, wb, 1e-5);
            am_grad no = {AM_NOWHERE, 1};
            b->op->dense_back(b->be, s, (int)out, dx, dw, grad, no, no, no);
            t_clear(b);
        }
}
static void dense_layers_and_their_gradients(void **s) { (void)s; t_each(dense); }

T_SUITE(backends_conv, cmocka_unit_test(convolutions_and_their_gradients),
        cmocka_unit_test(convolutions_of_many_products),
        cmocka_unit_test(impossible_convolutions_are_refused),
        cmocka_unit_test(normalisation_and_its_gradients),
        cmocka_unit_test(a_convolution_may_leave_statistics),
        cmocka_unit_test(dense_layers_and_their_gradients));
