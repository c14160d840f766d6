/* methods.h: a small trainer for the suites that judge mixing methods.  Pixels tell where they come
 * from: channel 0 the sample, channels 1 and 2 row and column, so that a mixture can be read back. */
#ifndef METHODS_H
#define METHODS_H
#include <math.h>
#include "t.h"
#include "train.h"

enum { M_BATCH = 6, M_SIDE = 12, M_CLASSES = 4 };

typedef struct bench {
    am_arena mem;
    am_cfg cfg;
    am_backend be;
    am_trainer t;
    am_host_batch batch;
    unsigned char pixel[M_BATCH * M_SIDE * M_SIDE * 3];
    int label[M_BATCH];
} bench;

/* Smooth, with a residual block, batch normalisation and two heads. */
#define M_NET                                                                                      \
    "[net]\nbatch=6\nwidth=12\nheight=12\nchannels=3\nlearning_rate=0.1\nmomentum=0.9\n"            \
    "mean=0.4,0.5,0.6\nstd=0.25,0.2,0.3\n"
#define M_BODY                                                                                     \
    "[convolutional]\nname=stem\nfilters=5\nsize=3\npad=1\nactivation=linear\n"                     \
    "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=2\npad=1\nactivation=tanh\n"     \
    "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=linear\n"             \
    "[shortcut]\nname=stage1\nfrom=-2\nactivation=logistic\n"                                       \
    "[convolutional]\nname=stage2\nbatch_normalize=1\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=tanh\n" \
    "[avgpool]\nname=pool\n[connected]\ninput=pool\noutput=4\nactivation=linear\n[softmax]\nname=one\n"
#define M_SECOND "[connected]\ninput=pool\noutput=4\nactivation=linear\n[softmax]\nname=mix\n"

static inline am_status m_try(bench *b, const char *text, am_err *e)
{
    const char *name = t_backend ? t_backend : "cpu";
    am_backend_options o = {.threads = 1};
    am_trainer_options to = {.learn = 1, .seed = 5};
    AM_TRY(am_cfg_parse(&b->cfg, &b->mem, "test.cfg", text, strlen(text), e));
    AM_TRY(am_backend_find(name)->open(&b->be, &o, e));
    AM_TRY(am_trainer_open(&b->t, &b->be, &b->cfg, &to, e));
    AM_TRY(am_trainer_start(&b->t, 1, e));
    b->t.steps = 100;
    b->t.steps_per_epoch = 10;
    for (int i = 0; i < M_BATCH; i++) {
        b->label[i] = i % M_CLASSES;
        for (int y = 0; y < M_SIDE; y++)
            for (int x = 0; x < M_SIDE; x++) {
                unsigned char *p = b->pixel + ((i * M_SIDE + y) * M_SIDE + x) * 3;
                p[0] = (unsigned char)(30 * i + 10), p[1] = (unsigned char)(20 * y), p[2] = (unsigned char)(20 * x);
            }
    }
    b->batch = (am_host_batch){.n = M_BATCH, .pixel = b->pixel, .label = b->label};
    return AM_OK;
}

static inline bench *m_open(const char *text)
{
    bench *b = calloc(1, sizeof *b);
    am_err e = {0};
    assert_non_null(b);
    t_ok(m_try(b, text, &e), &e);
    return b;
}

static inline void m_close(bench *b)
{
    am_trainer_close(&b->t);
    if (b->be.name) am_backend_find(b->be.name)->close(&b->be);
    am_arena_free(&b->mem);
    free(b);
}

/* Draw and learn update `step`: gradients and losses are left for the test. */
static inline void m_learn(bench *b, long step)
{
    b->t.step = step;
    am_step_begin(&b->t);
    am_step_schedule(&b->t);
    b->t.be->ops->fill(b->t.be, b->t.net.learned, 0, b->t.student.grad);
    am_step_part(&b->t, &b->t.mix[0], &b->batch);
}

static inline float m_loss(bench *b, int which)
{
    float report[AM_REPORT];
    am_err e = {0};
    t_ok(am_step_report(&b->t, report, &e), &e);
    return report[AM_REPORT_LOSS + which];
}

/* The mixed images as bytes would be, [n][h][w][c], not rounded. */
static inline void m_mixed(bench *b, float *to)
{
    static float nchw[M_BATCH * 3 * M_SIDE * M_SIDE];
    const am_net_options *o = &b->t.net.options;
    b->t.be->ops->get(b->t.be, am_batch_of(b->t.net.input, M_BATCH), am_here(&b->t.space, b->t.mixed_x), nchw);
    for (int i = 0; i < M_BATCH; i++)
        for (int p = 0; p < M_SIDE * M_SIDE; p++)
            for (int c = 0; c < 3; c++)
                to[(i * M_SIDE * M_SIDE + p) * 3 + c] = 255 * (nchw[(i * 3 + c) * M_SIDE * M_SIDE + p] * (float)o->std.at[c] + (float)o->mean.at[c]);
}

static inline const int *m_perm(bench *b) { return am_state_ints(&b->t, b->t.pair[1].perm); }
static inline float m_lam(bench *b, int i) { return am_state_host(&b->t, b->t.pair[1].lam)[i]; }

/* The chance that a method's draw gets at update `step`. */
static inline am_rng m_chance(bench *b, long step)
{
    am_rng r = am_rng_at(b->t.seed_value, 0x6d6978, (uint64_t)step);
    am_rng_u32(&r);
    am_rng_u32(&r);
    return r;
}

/* The student's gradient along a random direction of all weights, against the change of the loss.
 * Returns the relative difference. */
static inline double m_gradient_error(bench *b, long step, float loss_scale)
{
    size_t n = b->t.net.learned;
    float *w = malloc(n * sizeof *w), *g = malloc(n * sizeof *g), *d = malloc(n * sizeof *d), *at = malloc(n * sizeof *at);
    double along = 0, change = 0;
    const float h = 2e-3f;
    b->t.be->ops->download(b->t.be, n, b->t.student.value, w);
    m_learn(b, step);
    b->t.be->ops->download(b->t.be, n, b->t.student.grad, g);
    am_rng r = am_rng_at(99, 1, (uint64_t)step);
    double size = 0, length = 0;
    for (size_t i = 0; i < n; i++) size += (double)g[i] * g[i];
    for (size_t i = 0; i < n; i++) {                        /* by chance, but not nearly orthogonal to the gradient */
        d[i] = (float)(am_rng_normal(&r) / sqrt((double)n) + g[i] / sqrt(size));
        length += (double)d[i] * d[i];
    }
    for (size_t i = 0; i < n; i++) d[i] /= (float)sqrt(length);
    for (size_t i = 0; i < n; i++) along += (double)g[i] * d[i];
    for (int side = -2; side <= 2; side++) {                /* five points: error h^4 */
        if (!side) continue;
        for (size_t i = 0; i < n; i++) at[i] = w[i] + (float)side * 8 * h * d[i];
        b->t.be->ops->upload(b->t.be, n, at, b->t.student.value);
        am_weights_prepare(&b->t.net, &b->t.student);
        m_learn(b, step);
        double loss = 0;
        for (int k = 0; k < AM_LOSSES; k++) loss += m_loss(b, k);
        change += loss * (side == 2 ? -1 : side == 1 ? 8 : side == -1 ? -8 : 1);
    }
    change /= 12 * 8 * h;
    b->t.be->ops->upload(b->t.be, n, w, b->t.student.value);
    am_weights_prepare(&b->t.net, &b->t.student);
    free(w);
    free(g);
    free(d);
    free(at);
    return fabs(change * loss_scale - along) / fabs(along);
}

/* Clean images teach beside the mixture, with weight 2 clean_lambda / classes: the difference that
 * they make to the gradient of the method that text names is that of a step without mixing. */
static inline void m_clean_lambda(const char *text, double clean_lambda)
{
    static float with[4000], without[4000], clean[4000];
    bench *a = m_open(text), *c = m_open(M_NET M_BODY "[mix]\nmethod=none\n");
    size_t n = a->t.net.learned;
    double apart = 0, size = 0;
    m_learn(a, 0);
    a->t.be->ops->download(a->t.be, n, a->t.student.grad, with);
    a->t.be->ops->fill(a->t.be, n, 0, a->t.student.grad);
    am_teach(&a->t, &a->t.mix[0].mixed, am_here(&a->t.space, a->t.mixed_x),
             am_here(&a->t.space, a->t.mixed_q));
    a->t.be->ops->download(a->t.be, n, a->t.student.grad, without);
    m_learn(c, 0);
    c->t.be->ops->download(c->t.be, n, c->t.student.grad, clean);
    for (size_t i = 0; i < n; i++) {
        double more = clean[i] * 2 * clean_lambda / M_CLASSES;
        apart += pow((double)with[i] - without[i] - more, 2);
        size += more * more;
    }
    assert_true(size > 0 && sqrt(apart / size) < 1e-4);
    m_close(a);
    m_close(c);
}

#endif
