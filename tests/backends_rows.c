/* backends_rows.c: pooling, routes, losses, labels, masks and blending against their formulas. */
#include "backends.h"

/* ---- pooling and routes ---- */

static const struct { am_shape s; am_pool p; } pools[] = {
    {{1, 1, 1, 1}, {1, 1, 0}},    {{2, 3, 8, 8}, {2, 2, 1}}, {{2, 5, 7, 7}, {2, 2, 1}},
    {{1, 17, 9, 5}, {3, 2, 2}},   {{3, 4, 6, 7}, {3, 1, 2}}, {{2, 2, 5, 5}, {2, 2, 0}},
    {{2, 40, 16, 16}, {3, 2, 2}}, {{1, 3, 2, 2}, {5, 1, 4}},
};

static void maxpool(t_bench *b)
{
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++)
        for (int beta = 0; beta < 2; beta++) {
            am_shape s = pools[i].s, t = s;
            am_pool p = pools[i].p;
            t.h = (s.h + p.pad - p.size) / p.stride + 1;
            t.w = (s.w + p.pad - p.size) / p.stride + 1;
            float *x = t_floats(b, am_count(s)), *dy, *before;
            for (size_t k = 0; k < am_count(s); k++) x[k] = (float)t_pick(b, -3, 3); /* with ties */
            am_dev dx = t_blank_activation(b, s), y = t_blank_activation(b, t),
                   index = t_blank_activation(b, t);
            b->op->put(b->be, s, x, dx);
            am_dev grad = t_activation(b, t, -1, 1, &dy);
            am_grad to = t_activation_grad(b, s, (float)beta, &before);
            double *want = t_doubles(b, am_count(t)), *wx = t_doubles(b, am_count(s));
            for (size_t k = 0; k < am_count(s); k++) wx[k] = (double)before[k];
            for (int n = 0; n < s.n; n++)
                for (int c = 0; c < s.c; c++)
                    for (int v = 0; v < t.h; v++)
                        for (int u = 0; u < t.w; u++) {
                            size_t best = 0, at = t_at(t, n, c, v, u);
                            want[at] = -INFINITY;
                            for (int k = 0; k < p.size * p.size; k++) {
                                int row = v * p.stride - p.pad / 2 + k / p.size,
                                    col = u * p.stride - p.pad / 2 + k % p.size;
                                if (row < 0 || row >= s.h || col < 0 || col >= s.w) continue;
                                if ((double)x[t_at(s, n, c, row, col)] > want[at])
                                    best = t_at(s, n, c, row, col), want[at] = (double)x[best];
                            }
                            wx[best] += (double)dy[at];
                        }
            b->op->maxpool(b->be, s, t, p, dx, y, index);
            t_activation_is(b, "maxpool", t, y, want, 0);
            b->op->maxpool_back(b->be, s, t, p, index, grad, to);
            t_activation_is(b, "maxpool_back", s, to.d, wx, t_loose(b, 1e-6));
            am_dev again = t_blank_activation(b, t);
            b->op->maxpool(b->be, s, t, p, dx, again, AM_NOWHERE);
            t_activation_is(b, "maxpool without index", t, again, want, 0);
            t_clear(b);
        }
}
static void maxpool_by_darknets_rule(void **s) { (void)s; t_each(maxpool); }

static const am_shape shapes[] = {{1, 1, 1, 1}, {3, 5, 1, 1},  {1, 3, 7, 5},
                                  {2, 1, 9, 4}, {4, 17, 8, 8}, {6, 40, 12, 11}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void avgpool(t_bench *b)
{
    for (int i = 0; i < SHAPES; i++)
        for (int beta = 0; beta < 2; beta++) {
            am_shape s = shapes[i];
            const size_t rows = (size_t)(s.n * s.c), plane = (size_t)(s.h * s.w);
            float *x, *dy, *before;
            am_dev dx = t_activation(b, s, -1, 2, &x), y = t_blank(b, rows),
                   grad = t_plain(b, rows, -1, 1, &dy);
            am_grad to = t_activation_grad(b, s, (float)beta, &before);
            double *want = t_doubles(b, rows), *wx = t_doubles(b, rows * plane);
            for (size_t k = 0; k < rows * plane; k++) {
                want[k / plane] += (double)x[k] / (double)plane;
                wx[k] = (double)before[k] + (double)dy[k / plane] / (double)plane;
            }
            b->op->avgpool(b->be, s, dx, y);
            t_plain_is(b, "avgpool", rows, y, want, t_loose(b, 1e-6));
            b->op->avgpool_back(b->be, s, grad, to);
            t_activation_is(b, "avgpool_back", s, to.d, wx, t_loose(b, 1e-6));
            t_clear(b);
        }
}
static void avgpool_is_the_mean(void **s) { (void)s; t_each(avgpool); }

static void upsample(t_bench *b)
{
    for (int i = 0; i < SHAPES + 10; i++)
        for (int beta = 0; beta < 2; beta++) {
            const int stride = i < SHAPES ? 1 + i % 3 : t_pick(b, 1, 5);
            const am_shape odd = {t_pick(b, 1, 3), t_pick(b, 1, 40), t_pick(b, 1, 5), t_pick(b, 1, 5)};
            am_shape s = i < SHAPES ? shapes[i] : odd, t = {s.n, s.c, s.h * stride, s.w * stride};
            float *x, *dy, *before;
            am_dev dx = t_activation(b, s, -1, 1, &x), y = t_blank_activation(b, t),
                   grad = t_activation(b, t, -1, 1, &dy);
            am_grad to = t_activation_grad(b, s, (float)beta, &before);
            double *want = t_doubles(b, am_count(t)), *wx = t_doubles(b, am_count(s));
            for (size_t k = 0; k < am_count(s); k++) wx[k] = (double)before[k];
            for (int n = 0; n < s.n; n++)
                for (int c = 0; c < s.c; c++)
                    for (int v = 0; v < t.h; v++)
                        for (int u = 0; u < t.w; u++) {
                            want[t_at(t, n, c, v, u)] =
                                .5 * (double)x[t_at(s, n, c, v / stride, u / stride)];
                            wx[t_at(s, n, c, v / stride, u / stride)] +=
                                .5 * (double)dy[t_at(t, n, c, v, u)];
                        }
            b->op->upsample(b->be, s, stride, .5f, dx, y);
            t_activation_is(b, "upsample", t, y, want, t_loose(b, 1e-6));
            b->op->upsample_back(b->be, s, stride, .5f, grad, to);
            t_activation_is(b, "upsample_back", s, to.d, wx, t_loose(b, 1e-6));
            t_clear(b);
        }
}
static void upsample_repeats(void **s) { (void)s; t_each(upsample); }

static void route(t_bench *b)
{
    for (int i = 0; i < SHAPES; i++)
        for (int beta = 0; beta < 2; beta++) {
            am_shape p = shapes[i], q = p, whole = p;
            q.c = 3;
            whole.c = p.c + q.c;
            const size_t plane = (size_t)(p.h * p.w);
            float *x, *z, *dy, *before;
            am_dev a = t_activation(b, p, -1, 1, &x), c = t_activation(b, q, -1, 1, &z),
                   y = t_blank_activation(b, whole);
            am_dev grad = t_activation(b, whole, -1, 1, &dy);
            am_grad ga = t_activation_grad(b, p, (float)beta, &before);
            double *want = t_doubles(b, am_count(whole)), *wa = t_doubles(b, am_count(p)),
                   *wc = t_doubles(b, am_count(q));
            for (size_t k = 0; k < am_count(p); k++) wa[k] = (double)before[k];
            am_grad gc = t_activation_grad(b, q, (float)beta, &before);
            for (size_t k = 0; k < am_count(q); k++) wc[k] = (double)before[k];
            for (size_t k = 0; k < am_count(whole); k++) {
                size_t n = k / plane / (size_t)whole.c, ch = k / plane % (size_t)whole.c,
                       at = k % plane;
                int mine = ch < (size_t)p.c;
                size_t from = mine ? (n * (size_t)p.c + ch) * plane + at
                                   : (n * 3 + ch - (size_t)p.c) * plane + at;
                want[k] = (double)(mine ? x : z)[from];
                (mine ? wa : wc)[from] += (double)dy[k];
            }
            b->op->route(b->be, p, a, 0, whole, y);
            b->op->route(b->be, q, c, p.c, whole, y);
            t_activation_is(b, "route", whole, y, want, 0);
            b->op->route_back(b->be, p, 0, whole, grad, ga);
            b->op->route_back(b->be, q, p.c, whole, grad, gc);
            t_activation_is(b, "route_back", p, ga.d, wa, t_loose(b, 1e-6));
            t_activation_is(b, "route_back", q, gc.d, wc, t_loose(b, 1e-6));
            t_clear(b);
        }
}
static void route_lays_side_by_side(void **s) { (void)s; t_each(route); }

/* ---- rows ---- */

static void softmax(t_bench *b)
{
    static const struct { int n, k; double temperature, spread; } rows[] = {
        {1, 1, 1, 1}, {3, 10, 1, 5}, {7, 101, 2, 5}, {200, 100, .5, 3}, {2, 7, 1, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int beta = 0; beta < 2; beta++) {
            const int n = rows[i].n, k = rows[i].k;
            const size_t all = (size_t)(n * k);
            const double T = rows[i].temperature;
            float *x, *q, *before;
            am_dev dx = t_plain(b, all, -rows[i].spread, rows[i].spread, &x),
                   dq = t_plain(b, all, 0, 1, &q);
            am_dev prob = t_blank(b, all), loss = t_blank(b, (size_t)n), other = t_blank(b, all);
            am_grad to = t_plain_grad(b, all, (float)beta, &before);
            double *wp = t_doubles(b, all), *wl = t_doubles(b, (size_t)n), *wx = t_doubles(b, all);
            for (int r = 0; r < n; r++) {
                double most = -INFINITY, sum = 0, labels = 0;
                for (int c = r * k; c < (r + 1) * k; c++) most = fmax(most, (double)x[c]);
                for (int c = r * k; c < (r + 1) * k; c++)
                    sum += exp(((double)x[c] - most) / T), labels += (double)q[c];
                for (int c = r * k; c < (r + 1) * k; c++) {
                    double log_p = ((double)x[c] - most) / T - log(sum);
                    wp[c] = exp(log_p);
                    wl[r] -= (double)q[c] * log_p;
                }
                for (int c = r * k; c < (r + 1) * k; c++)
                    wx[c] = (double)before[c] + .25 * (labels * wp[c] - (double)q[c]) / T;
            }
            b->op->softmax(b->be, n, k, (float)T, dx, dq, prob, loss);
            t_plain_is(b, "softmax", all, prob, wp, 1e-6);
            t_plain_is(b, "loss", (size_t)n, loss, wl, 2e-6);
            b->op->softmax(b->be, n, k, (float)T, dx, AM_NOWHERE, other, AM_NOWHERE);
            t_plain_is(b, "softmax alone", all, other, wp, 1e-6);
            b->op->softmax_back(b->be, n, k, (float)T, .25f, prob, dq, to);
            t_plain_is(b, "softmax_back", all, to.d, wx, 1e-5);     /* labels sum to about k / 2 */
            t_clear(b);
        }
}
static void softmax_and_cross_entropy(void **s) { (void)s; t_each(softmax); }

static void score(t_bench *b)
{
    const float prob[] = {.1f, .6f, .3f, 0,   .25f, .25f, .25f, .25f,   .5f, .2f, .2f, .1f,
                          NAN, NAN, NAN, NAN, 0, .1f, .2f, .7f};
    const int labels[] = {2, 1, -1, 0, 3};
    const float loss[] = {1, 2, 4, 8, 16}, tally[] = {100, 10, 20, 30};
    const double want[] = {127, 11, 23,
                           34}; /* second; second of equals; skipped; not a number; first */
    am_dev d = t_given(b, 4, tally);
    b->op->score(b->be, 5, 4, 2, t_given(b, 20, prob), t_given(b, 5, labels), t_given(b, 5, loss),
                 d);
    t_plain_is(b, "score", AM_SCORES, d, want, 0);

    float *x, *before;
    am_dev dx = t_plain(b, 1000, 0, 1, &x);
    for (int beta = 0; beta < 2; beta++) {
        am_grad out = t_plain_grad(b, 1, (float)beta, &before);
        double sum = 0;
        for (int i = 0; i < 1000; i++) sum += (double)x[i];
        sum = (double)before[0] + .5 * sum;
        b->op->mean(b->be, 1000, .5f, dx, out);
        t_plain_is(b, "mean", 1, out.d, &sum, 1e-6);
    }
}
static void score_counts_and_dead_nets_score_nothing(void **s) { (void)s; t_each(score); }

static void labels(t_bench *b)
{
    enum { N = 9, K = 6 };
    int label[N], perm[N];
    float lam[N];
    double hot[N * K], mixed[N * K];
    for (int i = 0; i < N; i++) label[i] = t_pick(b, -1, K - 1), lam[i] = (float)t_draw(b, 0, 1);
    am_rng_permute(&b->rng, N, perm);
    for (int i = 0; i < N * K; i++)
        hot[i] = label[i / K] < 0        ? 0
                 : label[i / K] == i % K ? 1 - (double).1f
                                         : (double).1f / (K - 1);
    for (int i = 0; i < N * K; i++)
        mixed[i] =
            (double)lam[i / K] * hot[i] + (1 - (double)lam[i / K]) * hot[perm[i / K] * K + i % K];
    am_dev q = t_blank(b, N * K), out = t_blank(b, N * K);
    b->op->onehot(b->be, N, K, .1f, t_given(b, N, label), q);
    t_plain_is(b, "onehot", N * K, q, hot, 1e-6);
    b->op->labels_mix(b->be, N, K, q, t_given(b, N, perm), t_given(b, N, lam), out);
    t_plain_is(b, "labels_mix", N * K, out, mixed, 1e-6);
}
static void labels_become_soft(void **s) { (void)s; t_each(labels); }

/* ---- a label for each cell of a map ---- */

static const struct { am_shape s; int grid; } maps[] = {
    {{3, 5, 4, 4}, 4}, {{2, 3, 6, 6}, 3}, {{5, 17, 4, 6}, 2}, {{4, 100, 8, 8}, 4},
    {{2, 40, 3, 2}, 1}, {{3, 4, 1, 1}, 1},
};

static void cells(t_bench *b)
{
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        for (int beta = 0; beta < 2; beta++) {
            const am_shape s = maps[i].s;
            const int g = maps[i].grid, all = g * g, rows = s.h / g, columns = s.w / g;
            float partner[16], *x, *before;
            int label[8], perm[8];
            for (int c = 0; c < all; c++) partner[c] = (float)t_pick(b, 0, 1);
            for (int n = 0; n < s.n; n++) label[n] = t_pick(b, 0, s.c - 1), perm[n] = s.n - 1 - n;
            label[1] = -1; /* held against nothing */
            const am_cells k = {g, t_given(b, (size_t)all, partner), t_given(b, (size_t)s.n, label),
                                t_given(b, (size_t)s.n, perm)};
            am_dev from = t_activation(b, s, -6, 6, &x), loss = t_blank(b, (size_t)(s.n * all));
            am_grad to = t_activation_grad(b, s, (float)beta, &before);
            double *want = t_doubles(b, (size_t)(s.n * all)), *wx = t_doubles(b, am_count(s));
            double *z = t_doubles(b, (size_t)s.c);
            for (int n = 0; n < s.n; n++)
                for (int cell = 0; cell < all; cell++) {
                    const int of = label[partner[cell] != 0 ? perm[n] : n];
                    double sum = 0;
                    for (int c = 0; c < s.c; c++) {
                        z[c] = 0;
                        for (int v = 0; v < rows; v++)
                            for (int u = 0; u < columns; u++)
                                z[c] += (double)x[t_at(s, n, c, cell / g * rows + v, cell % g * columns + u)];
                        sum += exp(z[c] /= rows * columns);
                    }
                    want[n * all + cell] = of < 0 ? 0 : log(sum) - z[of];
                    for (int c = 0; c < s.c; c++)
                        for (int v = 0; v < rows; v++)
                            for (int u = 0; u < columns; u++) {
                                const size_t at = t_at(s, n, c, cell / g * rows + v, cell % g * columns + u);
                                wx[at] = (double)before[at];
                                if (of >= 0) wx[at] += 0.3 * (exp(z[c]) / sum - (c == of)) / (rows * columns);
                            }
                }
            b->op->cells(b->be, s, &k, from, loss);
            t_plain_is(b, "cells", (size_t)(s.n * all), loss, want, 1e-6);
            b->op->cells_back(b->be, s, &k, .3f, from, to);
            t_activation_is(b, "cells_back", s, to.d, wx, t_loose(b, 2e-6));
            t_clear(b);
        }
}
static void cells_have_labels_of_their_own(void **s) { (void)s; t_each(cells); }

/* ---- masks ---- */

static void masks(t_bench *b)
{
    enum { N = 7, H = 9, W = 6, P = H * W };
    float lam[N] = {0, 1, .5f, .08f, .93f, .3f, .9f};
    int box[N][4] = {{0, 0, W, H},   {0, 0, 0, 0}, {1, 2, 3, 4}, {-2, -1, 2, 3},
                     {4, 5, 60, 70}, {3, 3, 3, 9}, {5, 8, 6, 9}};
    double fill[N * P], boxes[N * P], margin[N * P];
    float *m;
    am_dev l = t_given(b, N, lam), d = t_blank(b, N * P), e = t_blank(b, N * P),
           f = t_plain(b, N * P, 0, 1, &m);
    for (int i = 0; i < N * P; i++) {
        const int n = i / P, y = i % P / W, x = i % W;
        const double v = (double)lam[n];
        fill[i] = 1 - v;
        boxes[i] = x >= box[n][0] && y >= box[n][1] && x < box[n][2] && y < box[n][3];
        margin[i] = lam[n] <= .08f || 1 - lam[n] <= .08f ? 1 - v : (double)m[i];
    }
    b->op->mask_fill(b->be, N, H, W, l, d);
    t_plain_is(b, "mask_fill", N * P, d, fill, 1e-7);
    b->op->mask_box(b->be, N, H, W, t_given(b, 4 * N, box), e);
    t_plain_is(b, "mask_box", N * P, e, boxes, 0);
    b->op->mask_margin(b->be, N, H, W, l, .08f, f);
    t_plain_is(b, "mask_margin", N * P, f, margin, 1e-7);
}
static void masks_are_made(void **s) { (void)s; t_each(masks); }

static void blend(t_bench *b)
{
    for (int i = 0; i < SHAPES; i++)
        for (int beta = 0; beta < 2; beta++) {
            am_shape s = shapes[i];
            const size_t n = am_count(s), plane = (size_t)(s.h * s.w), planes = (size_t)s.n * plane,
                         one = n / (size_t)s.n;
            int *perm = calloc((size_t)s.n, sizeof *perm);
            float *x, *m, *dy, *before;
            am_rng_permute(&b->rng, s.n, perm);
            am_dev dx = t_activation(b, s, -1, 1, &x), dm = t_plain(b, planes, 0, 1, &m),
                   p = t_given(b, (size_t)s.n, perm);
            am_dev y = t_blank_activation(b, s), grad = t_activation(b, s, -1, 1, &dy);
            am_grad gm = t_plain_grad(b, planes, (float)beta, &before);
            double *want = t_doubles(b, n), *wm = t_doubles(b, planes), *wx = t_doubles(b, n);
            for (size_t k = 0; k < planes; k++) wm[k] = (double)before[k];
            am_grad gx = t_activation_grad(b, s, (float)beta, &before);
            for (size_t k = 0; k < n; k++) wx[k] = (double)before[k];
            for (size_t k = 0; k < n; k++) {
                const size_t sample = k / one, other = (size_t)perm[sample] * one + k % one,
                             at = sample * plane + k % plane;
                want[k] = (1 - (double)m[at]) * (double)x[k] + (double)m[at] * (double)x[other];
                wm[at] += (double)dy[k] * ((double)x[other] - (double)x[k]);
                wx[k] += (1 - (double)m[at]) * (double)dy[k];
                wx[other] += (double)m[at] * (double)dy[k];
            }
            b->op->blend(b->be, s, dx, p, dm, y);
            t_activation_is(b, "blend", s, y, want, t_loose(b, 1e-6));
            b->op->blend_back(b->be, s, dx, p, grad, gm);
            t_plain_is(b, "blend_back", planes, gm.d, wm, t_loose(b, 2e-6));
            b->op->blend_back_x(b->be, s, p, dm, grad, gx);
            t_activation_is(b, "blend_back_x", s, gx.d, wx, t_loose(b, 1e-6));
            free(perm);
            t_clear(b);
        }
}
static void blend_and_both_adjoints(void **s) { (void)s; t_each(blend); }

/* The value by methods' definition; the gradient must be its difference quotient. */
static double mask_value(int kind, int batch, double margin, int n, int plane, const float *lam,
                         const double *m)
{
    double total = 0, lambda = 0;
    const int parts = batch ? 1 : n, count = batch ? n * plane : plane;
    for (int i = 0; i < n; i++) lambda += (double)lam[i] / n;
    for (int i = 0; i < parts; i++, m += count) {
        double mean = 0, variance = 0, sparse = 0, v = 0;
        for (int k = 0; k < count; k++)
            mean += m[k] / count, sparse += fabs(m[k] * (m[k] - 1)) / count;
        for (int k = 0; k < count; k++) variance += (m[k] - mean) * (m[k] - mean) / count;
        const double d = 1 - mean - (batch ? lambda : (double)lam[i]);
        if (kind == AM_MASK_L1 || kind == AM_MASK_L1VAR) v = fmax(fabs(d) - margin, 0);
        if (kind == AM_MASK_L2 || kind == AM_MASK_L2VAR) v = fmax(d * d - margin * margin, 0);
        if (kind == AM_MASK_L1VAR || kind == AM_MASK_L2VAR) v -= 2 * variance;
        if (kind == AM_MASK_SPARSITY) v = fmax(sparse - margin, 0);
        total += v / parts;
    }
    return total;
}

static void mask_loss(t_bench *b)
{
    enum { N = 5, H = 4, W = 3, P = H * W };
    for (int kind = AM_MASK_NONE; kind <= AM_MASK_SPARSITY; kind++)
        for (int variant = 0; variant < 4; variant++) {
            const int batch = variant & 1, beta = variant >> 1;
            float lam[N], weight = .7f, *m, *before, margin = .05f;
            for (int i = 0; i < N; i++) lam[i] = batch ? .7f : (float)t_draw(b, .1, .9);
            am_dev dm = t_plain(b, N * P, .02, .98, &m), loss = t_blank(b, 1);
            am_grad to = t_plain_grad(b, N * P, (float)beta, &before);
            double x[N * P], want[N * P], value;
            for (int i = 0; i < N * P; i++) x[i] = (double)m[i];
            value = .7f * mask_value(kind, batch, (double)margin, N, P, lam, x);
            for (int i = 0; i < N * P; i++) {
                x[i] += 1e-6;
                want[i] = mask_value(kind, batch, (double)margin, N, P, lam, x);
                x[i] -= 2e-6;
                want[i] = (double)before[i]
                          + .7f * (want[i] - mask_value(kind, batch, (double)margin, N, P, lam, x))
                                / 2e-6;
                x[i] += 1e-6;
            }
            am_dev w = t_given(b, 1, &weight), l = t_given(b, N, lam);
            b->op->mask_loss(b->be, N, H, W, kind, batch, margin, w, l, dm, loss, to);
            t_plain_is(b, "mask_loss", 1, loss, &value, 1e-5);
            t_plain_is(b, "mask_loss dm", N * P, to.d, want, 1e-5);
            am_dev only = t_blank(b, 1);
            b->op->mask_loss(b->be, N, H, W, kind, batch, margin, w, l, dm, only,
                             (am_grad){AM_NOWHERE, 0});
            t_plain_is(b, "mask_loss alone", 1, only, &value, 1e-5);
            t_clear(b);
        }
}
static void mask_losses_and_their_gradients(void **s) { (void)s; t_each(mask_loss); }

static void health(t_bench *b)
{
    enum { N = 4, H = 5, W = 6, P = H * W };
    float lam[N] = {.2f, .4f, .9f, 1}, zero[AM_HEALTH] = {1, 1, 1, 1, 1, 1}, *m;
    double want[AM_HEALTH] = {1, 1, 1, 1, 1, 1 + N};
    t_plain(b, N * P, 0, 1, &m);
    for (int i = 0; i < P; i++) m[i] = .0001f, m[P + i] = i & 1;
    for (int n = 0; n < N; n++) {
        double mean = 0, square = 0, outside = 0;
        for (int i = n * P; i < (n + 1) * P; i++)
            mean += (double)m[i] / P, outside += m[i] < .01f || m[i] > .99f;
        for (int i = n * P; i < (n + 1) * P; i++)
            square += ((double)m[i] - mean) * ((double)m[i] - mean);
        want[AM_HEALTH_SHARE] += fabs(1 - mean - (double)lam[n]);
        want[AM_HEALTH_DRIFT] += 1 - mean - (double)lam[n];
        want[AM_HEALTH_STRUCTURE] += sqrt(square / P);
        want[AM_HEALTH_SATURATED] += outside / P;
    }
    am_dev d = t_given(b, AM_HEALTH, zero);
    b->op->mask_health(b->be, N, H, W, t_given(b, N, lam), t_given(b, N * P, m), d);
    t_plain_is(b, "mask_health", AM_HEALTH, d, want, 1e-6);
}
static void mask_health_is_measured(void **s) { (void)s; t_each(health); }

T_SUITE(backends_rows, cmocka_unit_test(maxpool_by_darknets_rule),
        cmocka_unit_test(avgpool_is_the_mean), cmocka_unit_test(upsample_repeats),
        cmocka_unit_test(route_lays_side_by_side), cmocka_unit_test(softmax_and_cross_entropy),
        cmocka_unit_test(score_counts_and_dead_nets_score_nothing),
        cmocka_unit_test(labels_become_soft),
        cmocka_unit_test(cells_have_labels_of_their_own), cmocka_unit_test(masks_are_made),
        cmocka_unit_test(blend_and_both_adjoints),
        cmocka_unit_test(mask_losses_and_their_gradients),
        cmocka_unit_test(mask_health_is_measured));
