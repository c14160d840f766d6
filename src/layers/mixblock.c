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
 * saturate for good (see README.md, "Short runs").
 *
 * SAMix (Li et al., 2021) embeds features otherwise; any of its keys takes the road in parts:
 *   lambda_mul        z_i times t, z_j times 1 - t, t = lambda; with lambda_residual times 1 + lambda_mul t and so on
 *   lambda_mul_k      t = (4/3 l^3 - 2 l^2 + (k + 1) l) / (k + 1/3): flatter about 1/2 the smaller k is
 *   qk_concat         Q and K both see [z_i ; z_j], each with weights of its own
 *   value_hidden      v = w2 act(norm(W1 z_j)) + b: statistics over batch and pixels */
#include "../net.h"
#include <string.h>

typedef struct mixblock {
    int reduction, lambda_concat, upsample, normalise;
    double bound, lambda_mul, lambda_mul_k;
    int lambda_residual, qk_concat, value_hidden, value_activation;
    am_pairing g;
    am_encoding code;
    int parts, side, wide; /* not one operation; numbers of a side's pixel, and of what Q sees */
} mixblock;
#define OPTIONS mixblock
static const am_key keys[] = {
    AM_INT(reduction, 1, 65536, "2", "queries have channels / reduction numbers"),
    AM_FLAG(lambda_concat, "1", "lambda is one more channel, so that the mask can follow it"),
    AM_CHOICE(upsample, "nearest|bilinear", "nearest", "from the features' grid to the image's"),
    AM_FLAG(normalise, "0",
            "queries and keys are brought to mean 0 and variance 1 over the image first"),
    AM_REAL(bound, 0, 1000, "0", "the logit stays within +- this, by a tanh; 0: free"),
    AM_REAL(lambda_mul, 0, 1, "0",
            "SAMix: features are multiplied by their share of the mixture; with lambda_residual, "
            "how much of it"),
    AM_FLAG(lambda_residual, "0", "SAMix: by 1 + lambda_mul times their share instead"),
    AM_REAL(lambda_mul_k, -1, 10, "-1",
            "SAMix: that share changes least about 1/2, the less the smaller this is; -1: it is "
            "lambda"),
    AM_FLAG(qk_concat, "0", "SAMix: query and key see both images and have weights of their own"),
    AM_INT(value_hidden, 0, 65536, "0",
           "SAMix: units of a hidden layer of the value, normalised over the batch; 0: none"),
    AM_CHOICE(value_activation, AM_ACTS, "elu", "of that layer"),
    {0}
};

enum { QUERY, QUERY_BIAS, VALUE, VALUE_BIAS, KEY, KEY_BIAS, HIDDEN };
enum { HIDDEN_SCALE = 1, HIDDEN_BIAS, HIDDEN_MEAN, HIDDEN_VARIANCE }; /* after the hidden weights */

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    mixblock *o = l->options;
    am_shape z = am_in_shape(net, l, 0), image = net->input;
    if (z.h > image.h || image.h % z.h || image.w % z.w || image.h / z.h != image.w / z.w)
        return am_fail(e, AM_EINPUT, l->loc,
                       "[mixblock] cannot bring features of %dx%d to an image of %dx%d: the image "
                       "must be a whole multiple",
                       z.h, z.w, image.h, image.w);
    int depth = z.c / o->reduction > 1 ? z.c / o->reduction : 1, in = z.c + o->lambda_concat;
    o->g = (am_pairing){z.c,
                        z.h,
                        z.w,
                        depth,
                        o->lambda_concat,
                        o->upsample == 1,
                        image.h / z.h,
                        o->normalise,
                        (float)o->bound};
    o->code = (am_encoding){o->lambda_concat, o->lambda_residual, (float)o->lambda_mul,
                            (float)o->lambda_mul_k};
    o->parts = o->lambda_mul > 0 || o->qk_concat || o->value_hidden;
    o->side = in;
    o->wide = o->qk_concat ? 2 * in : in;
    if (o->lambda_residual && o->lambda_mul == 0)
        return am_fail(
            e, AM_EINPUT, l->loc,
            "lambda_residual=1 adds a multiple of lambda to 1; say which with lambda_mul=1");
    l->out = (am_shape){1, 1, image.h, image.w};
    size_t d = (size_t)depth, hidden = (size_t)o->value_hidden, one = 1;
    size_t q[2] = {d, (size_t)o->wide}, v[2] = {1, hidden ? hidden : (size_t)in},
           first[2] = {hidden, (size_t)in};
    AM_TRY(am_want(l, "query.weights", AM_LEARNED, AM_INIT_SMALL, 0, 2, q, e));
    AM_TRY(am_want(l, "query.biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS, 1, &d, e));
    AM_TRY(am_want(l, "value.weights", AM_LEARNED, AM_INIT_SMALL, 0, 2, v, e));
    AM_TRY(am_want(l, "value.biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS, 1, &one, e));
    if (o->qk_concat) {
        AM_TRY(am_want(l, "key.weights", AM_LEARNED, AM_INIT_SMALL, 0, 2, q, e));
        AM_TRY(am_want(l, "key.biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS, 1, &d, e));
    }
    if (hidden) {
        AM_TRY(am_want(l, "hidden.weights", AM_LEARNED, AM_INIT_SMALL, 0, 2, first, e));
        AM_TRY(am_want(l, "hidden.scales", AM_LEARNED, AM_INIT_ONE, AM_PARAM_NORM, 1, &hidden, e));
        AM_TRY(am_want(l, "hidden.biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS | AM_PARAM_NORM,
                       1, &hidden, e));
        AM_TRY(am_want(l, "hidden.rolling_mean", AM_BUFFER, AM_INIT_ZERO, 0, 1, &hidden, e));
        AM_TRY(am_want(l, "hidden.rolling_variance", AM_BUFFER, AM_INIT_ONE, 0, 1, &hidden, e));
    }
    double p = (double)z.h * z.w;
    l->macs = 2 * p * o->wide * depth + p * p * depth + p * p +
              (hidden ? p * (double)hidden * (in + 1) : p * in);
    return AM_OK;
}

/* ---- in parts ---- */

/* What lives from forward to backward: Q's rows, z_j's rows, the value's hidden layer before and after
 * its normalisation; and what lives for one call.  Of AM_NOWHERE, sizes. */
typedef struct parts {
    am_dev pair, partner, hidden, active, stats, attention, query, key, value, dactive, fold, room;
} parts;

static size_t take(am_dev *to, am_dev base, size_t at, size_t floats)
{
    *to = am_at(base, at);
    return at + ((floats + 15) & ~(size_t)15);
}

static void place(const am_net *net, const mixblock *o, int n, am_dev saved, am_dev scratch,
                  parts *a, size_t *save, size_t *call)
{
    const am_ops *op = net->be->ops;
    size_t rows = (size_t)n * (size_t)(o->g.h * o->g.w), depth = (size_t)o->g.depth,
           hidden = (size_t)o->value_hidden, at = 0;
    size_t stats = hidden ? op->norm_saved(net->be, (am_shape){(int)rows, o->value_hidden, 1, 1}, 1)
                          : 0,
           room = op->attend_scratch(net->be, &o->g, n);
    at = take(&a->pair, saved, at, rows * (size_t)o->wide);
    at = take(&a->partner, saved, at, rows * (size_t)o->side);
    at = take(&a->hidden, saved, at, rows * hidden);
    at = take(&a->active, saved, at, rows * hidden);
    at = take(&a->stats, saved, at, stats);
    *save = take(&a->attention, saved, at, op->attend_saved(net->be, &o->g, n));
    at = take(&a->query, scratch, 0, rows * depth);
    at = take(&a->key, scratch, at, rows * depth);
    at = take(&a->value, scratch, at, rows);
    at = take(&a->dactive, scratch, at, rows * hidden);
    at = take(&a->fold, scratch, at, 2 * hidden);
    *call = take(&a->room, scratch, at, room > stats ? room : stats);
}

static am_shape rows_of(const am_pass *p, const mixblock *o, int columns)
{
    return (am_shape){p->plan->trip.n * o->g.h * o->g.w, columns, 1, 1};
}

static int hidden_at(const mixblock *o)
{
    return o->qk_concat ? HIDDEN : KEY;
}

static void value_forward(const am_pass *p, const am_layer *l, const parts *a)
{
    const mixblock *o = l->options;
    const am_ops *op = am_o(p);
    am_shape s = rows_of(p, o, o->value_hidden);
    int at = hidden_at(o);
    am_dev scale = am_w(p, l, at + HIDDEN_SCALE), bias = am_w(p, l, at + HIDDEN_BIAS),
           shift = am_at(a->fold, (size_t)o->value_hidden);
    am_act act = (am_act)o->value_activation;
    op->dense(am_be(p), rows_of(p, o, o->side), o->value_hidden, a->partner, am_w(p, l, at),
              AM_NOWHERE, a->hidden);
    if (am_training(p)) {
        op->norm(am_be(p), s, 1, 0, a->hidden, scale, bias, AM_NOWHERE, act, a->active, a->stats,
                 am_running(p, l, at + HIDDEN_MEAN), am_running(p, l, at + HIDDEN_VARIANCE));
    } else {
        op->norm_fold(am_be(p), o->value_hidden, scale, bias, am_w(p, l, at + HIDDEN_MEAN),
                      am_w(p, l, at + HIDDEN_VARIANCE), a->fold, shift);
        op->affine(am_be(p), s, a->hidden, a->fold, shift, act, a->active);
    }
    op->dense(am_be(p), s, 1, a->active, am_w(p, l, VALUE), am_w(p, l, VALUE_BIAS), a->value);
}

static void value_backward(const am_pass *p, const am_layer *l, const parts *a)
{
    const mixblock *o = l->options;
    const am_ops *op = am_o(p);
    am_shape s = rows_of(p, o, o->value_hidden);
    am_grad active = {a->dactive, 0}, nobody = {AM_NOWHERE, 0};
    int at = hidden_at(o);
    op->dense_back(am_be(p), s, 1, a->active, am_w(p, l, VALUE), a->value, active,
                   am_dw(p, l, VALUE), am_dw(p, l, VALUE_BIAS));
    op->norm_back(am_be(p), s, 1, a->hidden, am_w(p, l, at + HIDDEN_SCALE),
                  (am_act)o->value_activation, a->active, a->stats, a->dactive, a->room, active,
                  nobody, am_dw(p, l, at + HIDDEN_SCALE), am_dw(p, l, at + HIDDEN_BIAS));
    op->dense_back(am_be(p), rows_of(p, o, o->side), o->value_hidden, a->partner, am_w(p, l, at),
                   a->dactive, nobody, am_dw(p, l, at), nobody);
}

static void parts_forward(const am_pass *p, const am_layer *l)
{
    const mixblock *o = l->options;
    const am_ops *op = am_o(p);
    am_backend *be = am_be(p);
    am_shape z = am_x_shape(p, l, 0), pair = rows_of(p, o, o->wide),
             partner = rows_of(p, o, o->side);
    int key = o->qk_concat ? KEY : QUERY;
    parts a;
    size_t unused;
    place(p->plan->net, o, z.n, am_saved(p, l), am_scratch(p), &a, &unused, &unused);
    op->pair_rows(be, z, &o->code, 0, am_x(p, l, 0), p->perm, p->lam, o->wide, 0, a.pair);
    if (o->qk_concat)
        op->pair_rows(be, z, &o->code, 1, am_x(p, l, 0), p->perm, p->lam, o->wide, o->side, a.pair);
    op->pair_rows(be, z, &o->code, 1, am_x(p, l, 0), p->perm, p->lam, o->side, 0, a.partner);
    op->dense(be, pair, o->g.depth, a.pair, am_w(p, l, QUERY), am_w(p, l, QUERY_BIAS), a.query);
    op->dense(be, o->qk_concat ? pair : partner, o->g.depth, o->qk_concat ? a.pair : a.partner,
              am_w(p, l, key), am_w(p, l, key + 1), a.key);
    if (o->value_hidden)
        value_forward(p, l, &a);
    else
        op->dense(be, partner, 1, a.partner, am_w(p, l, VALUE), am_w(p, l, VALUE_BIAS), a.value);
    op->attend(be, &o->g, z.n, a.query, a.key, a.value, a.attention, am_y(p, l), p->health);
}

static void parts_backward(const am_pass *p, const am_layer *l)
{
    const mixblock *o = l->options;
    const am_ops *op = am_o(p);
    am_backend *be = am_be(p);
    am_shape pair = rows_of(p, o, o->wide), partner = rows_of(p, o, o->side);
    am_grad nobody = {AM_NOWHERE, 0};
    int key = o->qk_concat ? KEY : QUERY;
    parts a;
    size_t unused;
    place(p->plan->net, o, p->plan->trip.n, am_saved(p, l), am_scratch(p), &a, &unused, &unused);
    op->attend_back(be, &o->g, p->plan->trip.n, a.attention, am_y(p, l), am_dy(p, l), a.room,
                    a.query, a.key, a.value);
    op->dense_back(be, pair, o->g.depth, a.pair, am_w(p, l, QUERY), a.query, nobody,
                   am_dw(p, l, QUERY), am_dw(p, l, QUERY_BIAS));
    op->dense_back(be, o->qk_concat ? pair : partner, o->g.depth, o->qk_concat ? a.pair : a.partner,
                   am_w(p, l, key), a.key, nobody, am_dw(p, l, key), am_dw(p, l, key + 1));
    if (o->value_hidden)
        value_backward(p, l, &a);
    else
        op->dense_back(be, partner, 1, a.partner, am_w(p, l, VALUE), a.value, nobody,
                       am_dw(p, l, VALUE), am_dw(p, l, VALUE_BIAS));
}

/* ---- the layer ---- */

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    const mixblock *o = l->options;
    parts unused;
    if (o->parts) {
        place(net, o, t->n, AM_NOWHERE, AM_NOWHERE, &unused, save, scratch);
        return;
    }
    *save = net->be->ops->pairing_saved(net->be, &o->g, t->n);
    if (t->flags & (AM_GRAD_WEIGHTS | AM_GRAD_FROM))
        *scratch = net->be->ops->pairing_scratch(net->be, &o->g, t->n);
}

static am_pairing_weights weights(const am_pass *p, const am_layer *l)
{
    return (am_pairing_weights){am_w(p, l, QUERY), am_w(p, l, QUERY_BIAS), am_w(p, l, VALUE),
                                am_w(p, l, VALUE_BIAS)};
}

static void forward(const am_pass *p, const am_layer *l)
{
    const mixblock *o = l->options;
    if (o->parts) {
        parts_forward(p, l);
        return;
    }
    am_pairing_weights w = weights(p, l);
    am_o(p)->pairing(am_be(p), &o->g, p->plan->trip.n, am_x(p, l, 0), p->perm, p->lam, &w,
                     am_saved(p, l), am_y(p, l), p->health);
}

static void backward(const am_pass *p, const am_layer *l)
{
    const mixblock *o = l->options;
    am_pairing_weights w = weights(p, l);
    am_pairing_grads g = {am_dw(p, l, QUERY), am_dw(p, l, QUERY_BIAS), am_dw(p, l, VALUE),
                          am_dw(p, l, VALUE_BIAS)};
    am_grad dx = am_dx(p, l, 0);
    if (am_is(g.query.d) && o->parts)
        parts_backward(p, l);
    else if (am_is(g.query.d))
        am_o(p)->pairing_back(am_be(p), &o->g, p->plan->trip.n, am_x(p, l, 0), p->perm, p->lam, &w,
                              am_saved(p, l), am_y(p, l), am_dy(p, l), am_scratch(p), &g);
    if (am_is(dx.d) && dx.beta == 0)
        am_o(p)->fill(am_be(p), am_o(p)->room(am_be(p), am_x_shape(p, l, 0)), 0, dx.d);
}

const am_layer_type am_layer_mixblock = {
    .name = "mixblock",
    .help = "AutoMix's learned mask: how much of each pixel comes from the partner",
    .example = "[convolutional]\nname=features\nfilters=4\nsize=3\nstride=2\npad=1\nactivation="
               "tanh\n[mixblock]\ninput=features\n",
    .keys = keys,
    .options = sizeof(mixblock),
    .reads = AM_READS_X | AM_READS_Y,
    .planes = 1,
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
};
