/* samix.c: SAMix's keys of [mixblock]: masks against the formulas written out in double for one pair at a
 * time, and gradients of all weights against differences. */
#include "lab.h"

enum { N = 3, C = 4, SIDE = 4, P = SIDE * SIDE, IMAGE = 8, MOST = 64 };
static const int partner_of[N] = {2, 0, 1};
static const float lambda_of[N] = {0.3f, 0.6f, 0.85f};

typedef struct rig {
    am_backend *be;
    am_arena mem;
    am_cfg cfg;
    am_net net;
    am_weights w;
    am_space space;
    am_plan plan;
    am_pass pass;
    am_dev given, state;
    const am_layer *block;
    float z[N * C * P]; /* as the backend stores it */
} rig;

static void rig_open(rig *r, am_backend *be, const char *keys, int flags)
{
    char text[600];
    am_err e = {0};
    *r = (rig){.be = be, .space = {.be = be}};
    snprintf(text, sizeof text,
             "[net]\nbatch=3\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nname="
             "features\nfilters=4\nsize=3\nstride=2\npad=1\n"
             "activation=tanh\n[mixblock]\n%s",
             keys);
    t_ok(am_cfg_parse(&r->cfg, &r->mem, "samix.cfg", text, strlen(text), &e), &e);
    t_ok(am_net_open(&r->net, be, &r->cfg, &e), &e);
    t_ok(am_weights_open(&r->w, &r->net, 1, &e), &e);
    t_ok(am_weights_init(&r->w, &r->net, 3, &e), &e);
    t_scatter(be, r->w.value, r->net.learned, -1, 1, 4);
    if (r->net.buffers) t_scatter(be, r->w.buffer, r->net.buffers, 0.2, 1, 5);
    r->block = &r->net.layer[2];
    t_ok(am_pass_make(&r->pass, &r->plan, &r->net,
                      (am_trip){.from = 1, .to = 2, .n = N, .flags = flags}, &r->w, &r->space, &e),
         &e);
    t_ok(am_space_commit(&r->space, &e), &e);
    be->ops->fill(be, r->space.high, NAN, r->space.block);
    am_shape s = {N, C, SIDE, SIDE};
    r->given = be->ops->alloc(be, be->ops->room(be, s));
    r->state = be->ops->alloc(be, 64);
    am_rng g = am_rng_at(8, 1, 0);
    for (int i = 0; i < N * C * P; i++) r->z[i] = (float)am_rng_between(&g, -1, 1);
    be->ops->put(be, s, r->z, r->given);
    be->ops->get(be, s, r->given, r->z);
    int state[64] = {0};
    memcpy(state, partner_of, sizeof partner_of);
    memcpy(state + 16, lambda_of, sizeof lambda_of);
    be->ops->upload(be, 64, state, r->state);
    r->pass.given = r->given;
    r->pass.perm = r->state;
    r->pass.lam = am_at(r->state, 16);
}

static void rig_close(rig *r)
{
    r->be->ops->free(r->be, r->given);
    r->be->ops->free(r->be, r->state);
    am_space_close(&r->space);
    am_weights_close(&r->w, &r->net);
    am_net_close(&r->net);
    am_arena_free(&r->mem);
}

/* ---- the formulas ---- */

typedef struct samix {
    int concat, residual, qk, hidden;
    double multiply, k;
} samix;

/* Weights of one parameter, by its name. */
static const float *param(const rig *r, const float *value, const float *buffer, const char *name)
{
    for (int i = 0; i < r->block->params; i++)
        if (!strcmp(r->block->param[i].name, name))
            return (r->block->param[i].role == AM_LEARNED ? value : buffer) +
                   r->block->param[i].offset;
    fail_msg("no parameter %s", name);
    return NULL;
}

/* One side of pair i at one pixel: its features encoded, and lambda's channel. */
static int side(const rig *r, const samix *o, int i, int partner, int pixel, double *to)
{
    double l = lambda_of[i], t = l, scale = 1;
    if (o->k >= 0)
        t = 1 / (o->k + 1 - 2.0 / 3) * (4.0 / 3 * l * l * l - 2 * l * l + (o->k + 1) * l);
    if (partner) t = 1 - t, l = 1 - l;
    if (o->multiply > 0) scale = o->residual ? 1 + o->multiply * t : t;
    int from = partner ? partner_of[i] : i, n = 0;
    for (int c = 0; c < C; c++) to[n++] = scale * r->z[(from * C + c) * P + pixel];
    if (o->concat) to[n++] = l;
    return n;
}

static double along(const float *w, const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}

static double elu(double x)
{
    return x > 0 ? x : exp(x) - 1;
}

static void formula(const rig *r, const samix *o, const float *value, const float *buffer,
                    double *mask)
{
    enum { D = C / 2 };
    static double unit[N * P][MOST];
    double mean[MOST] = {0}, variance[MOST] = {0}, x[MOST];
    for (int row = 0; o->hidden && row < N * P; row++) {
        int n = side(r, o, row / P, 1, row % P, x);
        for (int h = 0; h < o->hidden; h++) {
            unit[row][h] = along(param(r, value, buffer, "hidden.weights") + h * n, x, n);
            mean[h] += unit[row][h] / (N * P);
        }
    }
    for (int row = 0; row < N * P; row++)
        for (int h = 0; h < o->hidden; h++) variance[h] += pow(unit[row][h] - mean[h], 2) / (N * P);
    if (!(r->plan.trip.flags & AM_TRAIN))
        for (int h = 0; h < o->hidden; h++) {
            mean[h] = param(r, value, buffer, "hidden.rolling_mean")[h];
            variance[h] = param(r, value, buffer, "hidden.rolling_variance")[h];
        }
    for (int i = 0; i < N; i++) {
        double q[P][D], k[P][D], v[P], logit[P];
        for (int p = 0; p < P; p++) {
            double own[MOST], other[MOST];
            int n = side(r, o, i, 0, p, own), wide = n;
            side(r, o, i, 1, p, other);
            memcpy(x, own, sizeof own);
            if (o->qk)
                for (int c = 0; c < n; c++) x[wide++] = other[c];
            for (int d = 0; d < D; d++) {
                q[p][d] = param(r, value, buffer, "query.biases")[d] +
                          along(param(r, value, buffer, "query.weights") + d * wide, x, wide);
                k[p][d] =
                    o->qk ? param(r, value, buffer, "key.biases")[d] +
                                along(param(r, value, buffer, "key.weights") + d * wide, x, wide)
                          : param(r, value, buffer, "query.biases")[d] +
                                along(param(r, value, buffer, "query.weights") + d * n, other, n);
            }
            v[p] = param(r, value, buffer, "value.biases")[0];
            if (!o->hidden) v[p] += along(param(r, value, buffer, "value.weights"), other, n);
            for (int h = 0; h < o->hidden; h++)
                v[p] += param(r, value, buffer, "value.weights")[h] *
                        elu(param(r, value, buffer, "hidden.biases")[h] +
                            param(r, value, buffer, "hidden.scales")[h] *
                                (unit[i * P + p][h] - mean[h]) / sqrt(variance[h] + 1e-5));
        }
        for (int y = 0; y < P; y++) {
            double sum = 0, score;
            logit[y] = 0;
            for (int p = 0; p < P; p++) {
                score = 0;
                for (int d = 0; d < D; d++) score += q[y][d] * k[p][d] / sqrt(D);
                sum += exp(score);
                logit[y] += exp(score) * v[p];
            }
            logit[y] /= sum;
        }
        for (int y = 0; y < IMAGE; y++)
            for (int u = 0; u < IMAGE; u++) *mask++ = 1 / (1 + exp(-logit[y / 2 * SIDE + u / 2]));
    }
}

static const struct {
    const char *keys;
    samix o;
} rows[] = {
    {"lambda_concat=0\nlambda_mul=1\n", {.multiply = 1, .k = -1}},
    {"lambda_concat=0\nlambda_mul=0.5\nlambda_residual=1\nlambda_mul_k=0.25\n",
     {.multiply = 0.5, .residual = 1, .k = 0.25}},
    {"lambda_concat=1\nqk_concat=1\n", {.concat = 1, .qk = 1, .k = -1}},
    {"lambda_concat=1\nvalue_hidden=5\n", {.concat = 1, .hidden = 5, .k = -1}},
    {"lambda_concat=0\nlambda_mul=1\nlambda_residual=1\nlambda_mul_k=0.25\nqk_concat=1\nvalue_"
     "hidden=3\nvalue_activation=elu\n",
     {.multiply = 1, .residual = 1, .k = 0.25, .qk = 1, .hidden = 3}},
};

static void masks_on(am_backend *be)
{
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (int flags = 0; flags < 2; flags++) {
            rig r;
            double want[N * IMAGE * IMAGE];
            am_err e = {0};
            rig_open(&r, be, rows[k].keys, flags ? AM_TRAIN : 0);
            float *value = t_get(be, r.w.value, r.net.learned),
                  *buffer = r.net.buffers ? t_get(be, r.w.buffer, r.net.buffers) : NULL;
            formula(&r, &rows[k].o, value, buffer, want);
            am_forward(&r.pass);
            float *mask = t_get(be, am_y(&r.pass, r.block), N * IMAGE * IMAGE);
            t_ok(be->ops->sync(be, &e), &e);
            for (int i = 0; i < N * IMAGE * IMAGE; i++)
                if (!(fabs(mask[i] - want[i]) < 1e-5))
                    fail_msg("%s: row %zu, pixel %d: %g, not %g", be->about, k, i, (double)mask[i],
                             want[i]);
            free(mask);
            free(value);
            free(buffer);
            rig_close(&r);
        }
}

static double weighed(rig *r, const float *pixel, size_t at, float v)
{
    double sum = 0;
    t_set(r->be, am_at(r->w.value, at), 1, &v);
    am_forward(&r->pass);
    float *mask = t_get(r->be, am_y(&r->pass, r->block), N * IMAGE * IMAGE);
    for (int i = 0; i < N * IMAGE * IMAGE; i++) sum += (double)pixel[i] * mask[i];
    free(mask);
    return sum;
}

static void gradients_on(am_backend *be)
{
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        rig r;
        float pixel[N * IMAGE * IMAGE];
        double most = 0;
        rig_open(&r, be, rows[k].keys, AM_TRAIN | AM_GRAD_WEIGHTS);
        am_rng g = am_rng_at(9, 9, 9);
        for (int i = 0; i < N * IMAGE * IMAGE; i++) pixel[i] = (float)am_rng_between(&g, -1, 1);
        t_span s = t_learned(&r.net, 2);
        be->ops->fill(be, r.net.learned, 0, r.w.grad);
        for (int twice = 0; twice < 2; twice++) { /* passes add */
            am_forward(&r.pass);
            t_set(be, am_dy(&r.pass, r.block), N * IMAGE * IMAGE, pixel);
            am_backward(&r.pass);
        }
        float *dw = t_get(be, am_at(r.w.grad, s.at), s.count),
              *w = t_get(be, am_at(r.w.value, s.at), s.count);
        for (size_t i = 0; i < s.count; i++) most = fmax(most, fabs((double)dw[i] / 2));
        for (size_t i = 0; i < s.count; i++) {
            const float h = 1.0f / 128;
            double far = weighed(&r, pixel, s.at + i, w[i] + 2 * h) -
                         weighed(&r, pixel, s.at + i, w[i] - 2 * h);
            double near = weighed(&r, pixel, s.at + i, w[i] + h) -
                          weighed(&r, pixel, s.at + i, w[i] - h),
                   fd = (8 * near - far) / (12 * (double)h);
            weighed(&r, pixel, s.at + i, w[i]);
            if (!(fabs(fd - dw[i] / 2) <= 2e-3 * most + 2e-4))
                fail_msg("%s: row %zu, weight %zu of %zu: gradient %g, difference %g", be->about, k,
                         i, s.count, (double)dw[i] / 2, fd);
        }
        free(dw);
        free(w);
        rig_close(&r);
    }
}

static void masks(void **state)
{
    (void)state;
    t_each_machine(2, masks_on);
}

static void gradients(void **state)
{
    (void)state;
    t_each_machine(2, gradients_on);
}

T_SUITE(samix, cmocka_unit_test(masks), cmocka_unit_test(gradients));
