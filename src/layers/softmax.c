/* softmax.c: [softmax]            y = exp(x/T) / sum exp(x/T); the loss of a head
 *
 *   loss of a sample = - sum_c q_c log y_c,   dx = (sum(q) y - q) / T, times the pass's scale
 *
 * q are soft labels: whatever a mixing method makes of two labels, this layer knows only q. */
#include "../net.h"

typedef struct softmax {
    double temperature;
    int groups;
} softmax;
#define OPTIONS softmax
static const am_key keys[] = {
    AM_REAL(temperature, 0.001, 1000, "1", "the inputs are divided by this"),
    AM_INT(groups, 1, 1, "1", "kept for Darknet's files; only 1"),
    {0}
};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    am_shape x = am_in_shape(net, l, 0);
    if (x.h != 1 || x.w != 1)
        return am_fail(e, AM_EINPUT, l->loc,
                       "[softmax] needs one number a class, and gets maps of %dx%d; put an "
                       "[avgpool] or a [connected] above it",
                       x.h, x.w);
    l->out = x;
    return AM_OK;
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    (void)net;
    (void)l;
    (void)scratch;
    *save = (size_t)t->n; /* the loss of each sample */
}

static void forward(const am_pass *p, const am_layer *l)
{
    const softmax *o = l->options;
    am_o(p)->softmax(am_be(p), p->plan->trip.n, l->out.c, (float)o->temperature, am_x(p, l, 0),
                     p->q, am_y(p, l), am_is(p->q) ? am_saved(p, l) : AM_NOWHERE);
}

static void backward(const am_pass *p, const am_layer *l)
{
    const softmax *o = l->options;
    am_grad dx = am_dx(p, l, 0);
    if (am_is(dx.d))
        am_o(p)->softmax_back(am_be(p), p->plan->trip.n, l->out.c, (float)o->temperature, p->scale,
                              am_y(p, l), p->q, dx);
}

const am_layer_type am_layer_softmax = {
    .name = "softmax",
    .help = "probabilities of the classes, and the loss; the first one predicts",
    .example = "[connected]\noutput=4\nactivation=linear\n[softmax]\n",
    .keys = keys,
    .options = sizeof(softmax),
    .reads = AM_READS_Y,
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
};
