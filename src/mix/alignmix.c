/* alignmix.c: method=alignmix      features are averaged after they have been brought to correspond
 *
 * After one of `layers`, chosen anew for each step; for the image itself it is MixUp.  Else, with R
 * the transport plan from h_i's places to h_j's (transport.c) and a coin:
 *
 *   h = lambda h_i + (1 - lambda) h_j R'        h_j brought to h_i's places, or
 *   h = lambda h_i R + (1 - lambda) h_j         the other way round
 *
 * R is a constant on the way back.  Venkataramanan et al., AlignMixup, CVPR 2022 (without its
 * autoencoder).  Plans are made by the host, which waits for the device there and back. */
#include <string.h>
#include "../tap.h"
#include "../transport.h"

typedef struct alignmix {
    double alpha, eps;
    int rounds, no_repeat;
    am_layers layers;
} alignmix;
#define OPTIONS alignmix
static const am_key keys[] = {
    AM_REAL(alpha, 1e-3, 1000, "2", "lambda is drawn from Beta(alpha, alpha)"),
    AM_REAL(eps, 1e-6, 1e12, "0.1", "how soft the plan is"),
    AM_INT(rounds, 1, 100000, "100", "of Sinkhorn's iteration, at most"),
    AM_LAYERS(layers, "",
              "after which of these, chosen anew for each step; by default the image and what the "
              "first [avgpool] over a whole map reads"),
    AM_FLAG(no_repeat, "0", "no image is mixed with itself"),
    {0}
};

typedef struct state {
    am_trainer *t;
    const alignmix *o;
    am_taps taps;
    int layer, to_own; /* to_own: the partner is brought to the sample's places */
    float *h, *mixed, *plan; /* [n][c][places] twice; [n][places][places] */
} state;

static am_status setup(am_mix *m, am_trainer *t, am_err *e)
{
    static const char *const none[] = {NULL};
    const alignmix *o = m->options;
    state *s = m->state;
    am_layers layers = o->layers;
    int map = am_net_last_map(&t->net);
    size_t places = 0, values = 0, n = (size_t)t->n;
    if (!layers.count) {
        if (map < 0)
            return am_fail(e, AM_EINPUT, m->loc,
                           "method=alignmix aligns what the [avgpool] reads, and the net has none; "
                           "say where with layers=NAME,NAME");
        layers = (am_layers){2, {0, map}};
    }
    for (int i = 0; i < layers.count; i++) {
        am_shape y = t->net.layer[layers.at[i]].out;
        if (!layers.at[i]) continue;
        if (y.h * y.w > AM_TRANSPORT_PLACES)
            return am_fail(e, AM_EINPUT, m->loc,
                           "a map of %dx%d is too large to be aligned: at most %d places; choose a "
                           "later layer",
                           y.w, y.h, AM_TRANSPORT_PLACES);
        if ((size_t)(y.h * y.w) > places) places = (size_t)(y.h * y.w);
        if (am_count(y) > values) values = am_count(y);
    }
    s->t = t;
    s->o = o;
    s->h = am_new(&t->mem, n * values * sizeof *s->h + 1);
    s->mixed = am_new(&t->mem, n * values * sizeof *s->mixed + 1);
    s->plan = am_new(&t->mem, n * places * places * sizeof *s->plan + 1);
    if (!s->h || !s->mixed || !s->plan) return am_fail(e, AM_ENOMEM, m->loc, "out of memory");
    return am_taps_open(&s->taps, m, t, &layers, none, e);
}

static void draw(am_mix *m, am_trainer *t, am_rng *r)
{
    const alignmix *o = m->options;
    state *s = m->state;
    am_draw_pair(t, r, 1, am_draw_lambda(t, r, o->alpha), o->no_repeat);
    s->layer = s->taps.layer[am_rng_below(r, (uint32_t)s->taps.count)];
    s->to_own = am_rng_below(r, 2) == 1;
}

/* h's value at place `at` of the map brought over: sum over the other side's places of the plan. */
static float brought(const float *plan, int places, int to_own, const float *map, int at)
{
    float sum = 0;
    for (int k = 0; k < places; k++)
        sum += (to_own ? plan[at * places + k] : plan[k * places + at]) * map[k];
    return sum;
}

static void forward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    const int *perm = am_state_ints(t, t->pair[1].perm), places = l->out.h * l->out.w,
              channels = l->out.c;
    const float *lam = am_state_host(t, t->pair[1].lam);
    size_t one = am_count(l->out), square = (size_t)places * (size_t)places;
    am_tap_keep(p, l, am_here(&t->space, s->taps.keep));
    am_o(p)->get(am_be(p), am_y_shape(p, l), am_y(p, l), s->h);
#pragma omp parallel for num_threads(t->be->threads) schedule(dynamic)
    for (int i = 0; i < t->n; i++) {
        const float *own = s->h + (size_t)i * one, *other = s->h + (size_t)perm[i] * one;
        float *plan = s->plan + (size_t)i * square, *to = s->mixed + (size_t)i * one;
        am_transport_plan(places, channels, own, other, s->o->eps, s->o->rounds, plan);
        for (int c = 0; c < channels; c++)
            for (int k = 0; k < places; k++) {
                float a =
                    s->to_own ? own[c * places + k] : brought(plan, places, 0, own + c * places, k);
                float b = s->to_own ? brought(plan, places, 1, other + c * places, k)
                                    : other[c * places + k];
                to[c * places + k] = lam[i] * a + (1 - lam[i]) * b;
            }
    }
    am_o(p)->put(am_be(p), am_y_shape(p, l), s->mixed, am_y(p, l));
}

/* What a sample gets back: as itself in its own mixture, and as the partner in another's. */
static void backward(const am_pass *p, const am_layer *l, void *user)
{
    state *s = user;
    am_trainer *t = s->t;
    const int *perm = am_state_ints(t, t->pair[1].perm), places = l->out.h * l->out.w,
              channels = l->out.c;
    const float *lam = am_state_host(t, t->pair[1].lam);
    size_t one = am_count(l->out), square = (size_t)places * (size_t)places;
    am_tap_put_back(p, l, am_here(&t->space, s->taps.keep));
    am_o(p)->get(am_be(p), am_y_shape(p, l), am_dy(p, l), s->h);
    memset(s->mixed, 0, (size_t)t->n * one * sizeof *s->mixed);
    for (int i = 0; i < t->n; i++) {
        const float *dy = s->h + (size_t)i * one, *plan = s->plan + (size_t)i * square;
        float *own = s->mixed + (size_t)i * one, *other = s->mixed + (size_t)perm[i] * one;
        for (int c = 0; c < channels; c++)
            for (int k = 0; k < places; k++) {
                const float *map = dy + c * places;
                own[c * places + k] +=
                    lam[i] * (s->to_own ? map[k] : brought(plan, places, 1, map, k));
                other[c * places + k] +=
                    (1 - lam[i]) * (s->to_own ? brought(plan, places, 0, map, k) : map[k]);
            }
    }
    am_o(p)->put(am_be(p), am_y_shape(p, l), s->mixed, am_dy(p, l));
}

static void run(am_mix *m, am_trainer *t)
{
    state *s = m->state;
    am_tap_learn(m, t, s->layer, forward, backward, s);
}

const am_method am_method_alignmix = {
    .name = "alignmix",
    .paper = "Venkataramanan et al., CVPR 2022",
    .help = "features are averaged after they have been brought to correspond",
    .example = "[mix]\nmethod=alignmix\nalpha=2\n",
    .keys = keys,
    .options = sizeof(alignmix),
    .state = sizeof(state),
    .setup = setup,
    .draw = draw,
    .run = run,
};
