/* shortcut.c: [shortcut]          y = act(alpha x + beta from) */
#include "../net.h"

typedef struct shortcut {
    int from, activation;
    double alpha, beta;
} shortcut;
#define OPTIONS shortcut
static const am_key keys[] = {AM_LAYER(from, AM_REQUIRED, "the layer to add, of the same size"),
                              AM_CHOICE(activation, AM_ACTS, "linear", "applied to the sum"),
                              AM_REAL(alpha, -1000, 1000, "1", "weight of the layer above"),
                              AM_REAL(beta, -1000, 1000, "1", "weight of from"),
                              {0}};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    const shortcut *o = l->options;
    am_shape a = am_in_shape(net, l, 0), b = net->layer[o->from].out;
    if (a.c != b.c || a.h != b.h || a.w != b.w)
        return am_fail(e, AM_EINPUT, l->loc,
                       "[shortcut] adds %dx%dx%d to %dx%dx%d; bring from= to the same size with a "
                       "[route] and a [convolutional] of size=1",
                       b.c, b.h, b.w, a.c, a.h, a.w);
    l->in[l->ins++] = o->from;
    l->out = a;
    l->act = (am_act)o->activation;
    l->fusable = o->alpha == 1 && o->beta == 1;
    return AM_OK;
}

static void forward(const am_pass *p, const am_layer *l)
{
    const shortcut *o = l->options;
    am_o(p)->add(am_be(p), am_y_shape(p, l), (float)o->alpha, am_x(p, l, 0), (float)o->beta,
                 am_x(p, l, 1), l->act, am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    const shortcut *o = l->options;
    for (int i = 0; i < 2; i++) {
        am_grad dx = am_dx(p, l, i);
        if (am_is(dx.d))
            am_o(p)->act_back(am_be(p), am_y_shape(p, l), l->act, am_y(p, l), am_dy(p, l),
                              (float)(i ? o->beta : o->alpha), dx);
    }
}

const am_layer_type am_layer_shortcut = {
    .name = "shortcut",
    .help = "adds the output of an earlier layer",
    .example = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
               "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=linear\n"
               "[shortcut]\nfrom=-2\nactivation=leaky\n",
    .keys = keys,
    .options = sizeof(shortcut),
    .reads = AM_READS_Y,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
