/* manifoldmix.c: method=manifoldmix        MixUp of what a layer sees, chosen by chance
 *
 *   h = lambda h_i + (1 - lambda) h_j       after one of `layers`, the image among them
 *
 * lambda ~ Beta(alpha, alpha), one for the batch, and so the labels.  On the way back the gradient of
 * h goes lambda to the sample itself and 1 - lambda to its partner.  Verma et al., Manifold Mixup,
 * ICML 2019. */
#include "../tap.h"

typedef struct manifoldmix {
    double alpha;
    am_layers layers;
    int no_repeat;
} manifoldmix;
#define OPTIONS manifoldmix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "2", "lambda is drawn from Beta(alpha, alpha)"),
    AM_LAYERS(
        layers, "",
        "after which of these to mix, chosen anew for each step; by default image,stage1,stage2"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_trainer *t;
    am_taps taps;
    int layer;
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    static const char *const names[] = {"image", "stage1", "stage2", NULL};
    state *s = m->state;
    const manifoldmix *o = m->options;
    s->t = t;
    return am_taps_open(&s->taps, m, t, &o->layers, names, e);
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const manifoldmix *o = m->options;
    state *s = m->state;
    am_draw_pair(t, r, 1, am_draw_lambda(t, r, o->alpha), o->no_repeat);
    s->layer = s->taps.layer[am_rng_below(r, (uint32_t)s->taps.count)];
}

static void forward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    am_dev keep = am_here(&t->space, s->taps.keep), mask = am_here(&t->space, s->taps.mask);
    am_tap_keep(p, l, keep);
    am_o(p)->mask_fill(am_be(p), t->n, l->out.h, l->out.w, am_state_dev(t, t->pair[1].lam), mask);
    am_o(p)->blend(am_be(p), am_y_shape(p, l), keep, am_state_dev(t, t->pair[1].perm), mask,
                   am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    am_dev keep = am_here(&t->space, s->taps.keep), mask = am_here(&t->space, s->taps.mask),
           dy = am_dy(p, l);
    am_shape shape = am_y_shape(p, l);
    am_tap_put_back(p, l, keep);
    am_o(p)->copy(am_be(p), am_o(p)->room(am_be(p), shape), dy, keep);
    am_o(p)->blend_back_x(am_be(p), shape, am_state_dev(t, t->pair[1].perm), mask, keep,
                          (am_grad){dy, 0});
}

static void run(am_mix *m, am_trainer *t)
{
    state *s = m->state;
    am_tap_learn(m, t, s->layer, forward, backward, s);
}

const am_method am_method_manifoldmix = {
    .name = "manifoldmix",
    .paper = "Verma et al., ICML 2019",
    .help = "two images are averaged inside the net, after a layer chosen by chance",
    .example = "[mix]\nmethod=manifoldmix\nalpha=2\nlayers=image,stage1,stage2\n",
    .keys = keys,
    .options = sizeof(manifoldmix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .run = run,
};
