/* mixblock.c: [mixblock]          how much of each pixel comes from the partner
 *
 * AutoMix (Liu et al., ECCV 2022), as its published code computes it.  z are features of a batch,
 * z' = z[perm] those of the partners, P = h w positions, d = max(C / reduction, 1):
 *
 *   z_i = [z ; lambda]      z_j = [z' ; 1 - lambda]           with lambda_concat
 *   v = w_v z_j + b_v       Q = W_q z_i + b_q     K = W_q z_j + b_q      the same W_q for both
 *   A = softmax over z_j's positions of Q' K / sqrt(d)
 *   logit = A v,  on z_i's grid;   mask = sigmoid(upsample(logit))
 *
 * The mask, at image size, is the weight of the partner's pixels.  On the way back, with dl the
 * logit's gradient:  dA = dl v',  dv = A' dl,  dS = A (dA - rowsum(dA A)),  dQ = dS K / sqrt(d),
 * dK = dS' Q / sqrt(d); W_q gathers both.  Nothing flows to z: the features are the teacher's.
 *
 * normalise and bound are for short runs, where the logit can otherwise run away and the sigmoid
 * saturate for good (see README.md, "Short runs"). */
#include "../net.h"
#include <string.h>

typedef struct mixblock {
    int reduction, lambda_concat, upsample, normalise;
    double bound;
    am_pairing g;
} mixblock;
#define OPTIONS mixblock
static const am_key keys[] = {
    AM_INT(reduction, 1, 65536, "2", "queries have channels / reduction numbers"),
    AM_FLAG(lambda_concat, "1", "lambda is one more channel, so that the mask can follow it"),
    AM_CHOICE(upsample, "nearest|bilinear", "nearest", "from the features' grid to the image's"),
    AM_FLAG(normalise, "0", "queries and keys are brought to mean 0 and variance 1 over the image first"),
    AM_REAL(bound, 0, 1000, "0", "the logit stays within +- this, by a tanh; 0: free"),
    {0}
};

enum { QUERY, QUERY_BIAS, VALUE, VALUE_BIAS };

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    mixblock *o = l->options;
    am_shape z = am_in_shape(net, l, 0), image = net->input;
    if (z.h > image.h || image.h % z.h || image.w % z.w || image.h / z.h != image.w / z.w)
        return am_fail(e, AM_EINPUT, l->loc, "[mixblock] cannot bring features of %dx%d to an image of %dx%d: the image must be a whole multiple", z.h, z.w, image.h, image.w);
    int depth = z.c / o->reduction > 1 ? z.c / o->reduction : 1, in = z.c + o->lambda_concat;
    o->g = (am_pairing){z.c, z.h, z.w, depth, o->lambda_concat, o->upsample == 1, image.h / z.h, o->normalise, (float)o->bound};
    l->out = (am_shape){1, 1, image.h, image.w};
    size_t d = (size_t)depth, q[2] = {d, (size_t)in}, v[2] = {1, (size_t)in}, one = 1;
    AM_TRY(am_want(l, "query.weights", AM_LEARNED, AM_INIT_SMALL, 0, 2, q, e));
    AM_TRY(am_want(l, "query.biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS, 1, &d, e));
    AM_TRY(am_want(l, "value.weights", AM_LEARNED, AM_INIT_SMALL, 0, 2, v, e));
    AM_TRY(am_want(l, "value.biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS, 1, &one, e));
    double p = (double)z.h * z.w;
    l->macs = 2 * p * in * depth + p * p * depth + p * p + p * in;
    return AM_OK;
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save, size_t *scratch)
{
    const mixblock *o = l->options;
    *save = net->be->ops->pairing_saved(net->be, &o->g, t->n);
    if (t->flags & (AM_GRAD_WEIGHTS | AM_GRAD_FROM)) *scratch = net->be->ops->pairing_scratch(net->be, &o->g, t->n);
}

static am_pairing_weights weights(const am_pass *p, const am_layer *l)
{
    return (am_pairing_weights){am_w(p, l, QUERY), am_w(p, l, QUERY_BIAS), am_w(p, l, VALUE), am_w(p, l, VALUE_BIAS)};
}

static void forward(const am_pass *p, const am_layer *l)
{
    const mixblock *o = l->options;
    am_pairing_weights w = weights(p, l);
    am_o(p)->pairing(am_be(p), &o->g, p->plan->trip.n, am_x(p, l, 0), p->perm, p->lam, &w, am_saved(p, l), am_y(p, l), p->health);
}

static void backward(const am_pass *p, const am_layer *l)
{
    const mixblock *o = l->options;
    am_pairing_weights w = weights(p, l);
    am_pairing_grads g = {am_dw(p, l, QUERY), am_dw(p, l, QUERY_BIAS), am_dw(p, l, VALUE), am_dw(p, l, VALUE_BIAS)};
    am_grad dx = am_dx(p, l, 0);
    if (am_is(g.query.d))
        am_o(p)->pairing_back(am_be(p), &o->g, p->plan->trip.n, am_x(p, l, 0), p->perm, p->lam, &w, am_saved(p, l), am_y(p, l),
                              am_dy(p, l), am_scratch(p), &g);
    if (am_is(dx.d) && dx.beta == 0) am_o(p)->fill(am_be(p), am_o(p)->room(am_be(p), am_x_shape(p, l, 0)), 0, dx.d);
}

const am_layer_type am_layer_mixblock = {
    .name = "mixblock",
    .help = "AutoMix's learned mask: how much of each pixel comes from the partner",
    .example = "[convolutional]\nname=features\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=tanh\n[mixblock]\ninput=features\n",
    .keys = keys, .options = sizeof(mixblock), .reads = AM_READS_X | AM_READS_Y,
    .setup = setup, .needs = needs, .forward = forward, .backward = backward,
};
