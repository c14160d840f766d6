/* augmix.c: method=augmix          three views of each image, and a loss that wants them to agree
 *
 * A view is (1 - v) x + v sum_c w_c chain_c(x): `width` chains of 1 to 3 operations each (distort.c),
 * w ~ Dirichlet(1, ..), v ~ Beta(1, 1), levels ~ U(0.1, severity).  Clean image and two views go
 * through the net as one batch of 3n; with p0, p1, p2 what it says of them and M their mean,
 *
 *   L = CE(p0, label) + jsd_weight / 3 (KL(p0 | M) + KL(p1 | M) + KL(p2 | M))
 *
 * Labels are not mixed.  The views depend on one image alone and are made by the loader's threads.
 * Both terms belong to the head that predicts; a momentum teacher only follows.
 * Hendrycks et al., AugMix, ICLR 2020. */
#include <string.h>
#include "../distort.h"
#include "../mixer.h"

typedef struct augmix {
    double severity, jsd_weight;
    int width, depth;
} augmix;
#define OPTIONS augmix
static const am_key keys[] = {
    AM_INT(width, 1, 16, "3", "chains of operations that a view is mixed of"),
    AM_INT(depth, 0, 16, "0", "operations of a chain; 0: 1 to 3, by chance"),
    AM_REAL(severity, 0.1, 10, "3", "the greatest level of an operation"),
    AM_REAL(jsd_weight, 0, 1000, "12", "weight of the divergence of the three predictions"),
    {0}
};

enum { VIEWS = 2, MOST_CHAINS = 16 };
typedef struct state {
    am_place x, q, loss;
    float *views;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    state *s = m->state;
    size_t n = (size_t)t->n, image = am_count(t->net.input);
    if (!t->be->ops->jsd)
        return am_fail(
            e, AM_EINPUT, m->loc,
            "method=augmix: the %s backend has no divergence of three views; use -backend simd",
            t->be->name);
    m->extra = VIEWS * image * sizeof(float) + 2 * image; /* the views, and room to work in */
    s->views = am_new(&t->mem, VIEWS * n * image * sizeof *s->views);
    if (!s->views) return am_fail(e, AM_ENOMEM, m->loc, "out of memory");
    s->x = am_space_push(&t->space,
                         t->be->ops->room(t->be, am_batch_of(t->net.input, (1 + VIEWS) * t->n)));
    s->q = am_space_push(&t->space, (1 + VIEWS) * n * (size_t)t->classes);
    s->loss = am_space_push(&t->space, n);
    size_t mark = am_space_mark(&t->space);
    m->clean.loss = AM_LOSS_CLEAN;
    am_trip trip = {
        .to = t->clean_head, .n = (1 + VIEWS) * t->n, .flags = AM_TRAIN | AM_GRAD_WEIGHTS};
    AM_TRY(am_pass_make(&m->clean.pass, &m->clean.plan, &t->net, trip, &t->student, &t->space, e));
    am_space_release(&t->space, mark);
    return AM_OK;
}

static void draw_chain(const augmix *o, am_picture p, const unsigned char *pixel, am_rng *r,
                       unsigned char *now, unsigned char *then)
{
    size_t bytes = (size_t)(p.h * p.w * p.c);
    int depth = o->depth ? o->depth : 1 + (int)am_rng_below(r, 3);
    memcpy(now, pixel, bytes);
    for (int k = 0; k < depth; k++) {
        int what = (int)am_rng_below(r, AM_DISTORTIONS), sign = am_rng_below(r, 2) ? 1 : -1;
        am_distort(what, am_rng_between(r, 0.1, o->severity), sign, p, now, then);
        memcpy(now, then, bytes);
    }
}

/* Mixing and normalising change places, since the weights add up to 1. */
static void prepare(const am_mix *m, const am_trainer *t, const unsigned char *pixel, am_rng *r,
                    unsigned char *extra)
{
    const augmix *o = m->options;
    const am_net_options *net = &t->net.options;
    am_picture p = {t->net.input.h, t->net.input.w, t->net.input.c};
    size_t plane = (size_t)(p.h * p.w), image = plane * (size_t)p.c;
    float *view = (float *)(void *)extra;
    unsigned char *now = extra + VIEWS * image * sizeof *view, *then = now + image;
    for (int k = 0; k < VIEWS; k++, view += image) {
        double weight[MOST_CHAINS], all = 0, v;
        for (int c = 0; c < o->width; c++) all += weight[c] = am_rng_gamma(r, 1);
        v = am_rng_beta(r, 1, 1);
        for (size_t i = 0; i < image; i++)
            view[i % (size_t)p.c * plane + i / (size_t)p.c] = (float)(1 - v) * pixel[i];
        for (int c = 0; c < o->width; c++) {
            draw_chain(o, p, pixel, r, now, then);
            for (size_t i = 0; i < image; i++)
                view[i % (size_t)p.c * plane + i / (size_t)p.c] +=
                    (float)(v * weight[c] / all) * now[i];
        }
        for (size_t i = 0; i < image; i++)
            view[i] =
                (view[i] / 255 - (float)net->mean.at[i / plane]) / (float)net->std.at[i / plane];
    }
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    (void)m;
    am_draw_pair(t, r, 1, 1, 0); /* no image has a partner */
}

static void run(am_mix *m, am_trainer *t)
{
    const augmix *o = m->options;
    state *s = m->state;
    const am_ops *op = t->be->ops;
    am_pass *p = &m->clean.pass;
    const am_layer *head = &t->net.layer[t->clean_head];
    am_dev x = am_here(&t->space, s->x), q = am_here(&t->space, s->q),
           loss = am_here(&t->space, s->loss);
    am_shape one = am_batch_of(t->net.input, 1);
    size_t clean = op->room(t->be, am_batch_of(one, t->n));
    op->copy(t->be, clean, am_here(&t->space, t->x), x);
    for (size_t i = 0; i < (size_t)t->n; i++)
        memcpy(s->views + i * VIEWS * am_count(one), t->extra + i * t->extra_size + m->extra_at,
               VIEWS * am_count(one) * sizeof *s->views);
    op->put(t->be, am_batch_of(one, VIEWS * t->n), s->views, am_at(x, clean));
    p->given = x;
    p->seed = am_state_dev(t, t->seed);
    p->scale = am_update_share(t);
    p->q = AM_NOWHERE;
    am_forward(p);
    am_dev prob = am_y(p, head);
    op->jsd(t->be, t->n, t->classes, (float)o->jsd_weight, prob, am_here(&t->space, t->q), q,
            am_loss(p), loss);
    op->mean(t->be, t->n, p->scale, am_loss(p),
             (am_grad){am_at(t->report, AM_REPORT_LOSS + AM_LOSS_CLEAN), 1});
    op->mean(t->be, t->n, p->scale, loss,
             (am_grad){am_at(t->report, AM_REPORT_LOSS + AM_LOSS_MIXED), 1});
    op->score(t->be, t->n, t->classes, 1, prob, am_state_dev(t, t->labels), am_loss(p),
              am_at(t->report, AM_REPORT_TALLY));
    p->q = q;
    am_backward(p);
}

const am_method am_method_augmix = {
    .name = "augmix",
    .paper = "Hendrycks et al., ICLR 2020",
    .help = "distorted views of each image, and a loss that wants them to be seen alike",
    .example = "[mix]\nmethod=augmix\n",
    .keys = keys,
    .options = sizeof(augmix),
    .state = sizeof(state),
    .setup = setup,
    .prepare = prepare,
    .draw = draw,
    .run = run,
};
