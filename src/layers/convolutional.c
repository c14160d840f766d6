/* convolutional.c: [convolutional]
 *
 *   z = w * x                                   cross-correlation, w [filters][c/groups][size][size]
 *   y = act(z + bias)                           without batch_normalize
 *   y = act(scale (z - mean)/sqrt(var + eps) + bias)        with it (Ioffe and Szegedy 2015)
 *
 * In training the batch's statistics are used and z is kept for the way back; in inference the
 * running ones are folded into one scale and shift after the convolution.  Where the plan has
 * fused the [shortcut] below, the residual and the shortcut's activation come along.
 *
 * Out: filters x (h + 2 padding - size)/stride + 1 x likewise. */
#include "../net.h"

typedef struct convolutional {
    int filters, size, stride, pad, padding, groups, batch_normalize, activation;
    am_conv conv;
} convolutional;

#define OPTIONS convolutional
static const am_key keys[] = {
    AM_INT(filters, 1, 65536, "1", "channels of the output"),
    AM_INT(size, 1, 31, "1", "of the kernel, both ways"),
    AM_INT(stride, 1, 31, "1", "both ways"),
    AM_FLAG(pad, "0", "1: pad by size/2 on all sides"),
    AM_INT(padding, 0, 31, "0", "pad by this on all sides, where pad=0"),
    AM_INT(groups, 1, 65536, "1",
           "filters and channels are cut into groups that do not see each other"),
    AM_FLAG(batch_normalize, "0", "normalise the output over the batch; its shift is the bias"),
    AM_CHOICE(activation, AM_ACTS, "logistic", "applied to each output"),
    {0}
};

enum { WEIGHTS, BIASES, SCALES, MEAN, VARIANCE };

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    convolutional *o = l->options;
    am_shape x = am_in_shape(net, l, 0);
    int pad = o->pad ? o->size / 2 : o->padding;
    if (x.c % o->groups || o->filters % o->groups)
        return am_fail(e, AM_EINPUT, l->loc,
                       "groups=%d must divide both the %d channels that come in and filters=%d",
                       o->groups, x.c, o->filters);
    if (x.h + 2 * pad < o->size || x.w + 2 * pad < o->size)
        return am_fail(
            e, AM_EINPUT, l->loc,
            "size=%d does not fit into its input of %dx%d; give it pad=1 or a smaller size",
            o->size, x.h, x.w);
    l->out = (am_shape){1, o->filters, (x.h + 2 * pad - o->size) / o->stride + 1,
                        (x.w + 2 * pad - o->size) / o->stride + 1};
    o->conv = (am_conv){x.c,     x.h,       x.w, o->filters, l->out.h, l->out.w,
                        o->size, o->stride, pad, o->groups,  NULL};
    AM_TRY(net->be->ops->conv_plan(net->be, &o->conv, l->loc, e));
    l->prepared = net->be->ops->conv_prepared(net->be, &o->conv);
    l->fusable = o->activation == AM_LINEAR;
    size_t f = (size_t)o->filters, k = (size_t)o->size, w[4] = {f, (size_t)(x.c / o->groups), k, k};
    AM_TRY(am_want(l, "weights", AM_LEARNED, AM_INIT_CONV, 0, 4, w, e));
    AM_TRY(am_want(l, "biases", AM_LEARNED, AM_INIT_ZERO,
                   AM_PARAM_BIAS | (o->batch_normalize ? AM_PARAM_NORM : 0), 1, &f, e));
    if (o->batch_normalize) {
        AM_TRY(am_want(l, "scales", AM_LEARNED, AM_INIT_ONE, AM_PARAM_NORM, 1, &f, e));
        AM_TRY(am_want(l, "rolling_mean", AM_BUFFER, AM_INIT_ZERO, 0, 1, &f, e));
        AM_TRY(am_want(l, "rolling_variance", AM_BUFFER, AM_INIT_ONE, 0, 1, &f, e));
    }
    l->macs = (double)l->out.h * l->out.w * (double)(f * w[1] * k * k);
    return AM_OK;
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    const convolutional *o = l->options;
    const am_ops *op = net->be->ops;
    am_shape y = am_batch_of(l->out, t->n);
    int back = (t->flags & (AM_GRAD_WEIGHTS | AM_GRAD_FROM)) != 0;
    size_t conv = op->conv_scratch(net->be, &o->conv, t->n, back),
           norm = op->norm_saved(net->be, y, t->groups);
    size_t fold = 2 * (((size_t)o->filters + 15) & ~(size_t)15);
    *scratch = conv;
    if (o->batch_normalize && t->flags & AM_TRAIN) {
        *save = op->room(net->be, y) + ((norm + 15) & ~(size_t)15);
        if (norm > *scratch) *scratch = norm;
    } else if (o->batch_normalize) {
        *scratch = conv + fold;
    }
}

static void forward(const am_pass *p, const am_layer *l)
{
    const convolutional *o = l->options;
    const am_ops *op = am_o(p);
    const am_layer *s = am_taken_along(p, l);
    am_shape ys = am_y_shape(p, l);
    am_dev x = am_x(p, l, 0), w = am_w(p, l, WEIGHTS), prepared = am_prepared(p, l), y = am_y(p, l),
           scratch = am_scratch(p);
    am_dev residual = s ? am_x(p, s, 1) : AM_NOWHERE;
    am_act act = s ? s->act : (am_act)o->activation;
    am_post post = {.shift = am_w(p, l, BIASES), .residual = residual, .act = act, .groups = 1};
    if (!o->batch_normalize) {
        op->conv(am_be(p), &o->conv, ys.n, x, w, prepared, scratch, &post, y);
    } else if (am_training(p)) {
        am_dev z = am_saved(p, l), stats = am_at(z, op->room(am_be(p), ys));
        int groups = p->plan->trip.groups;
        post = (am_post){.act = AM_LINEAR, .stats = stats, .groups = groups};
        op->conv(am_be(p), &o->conv, ys.n, x, w, prepared, scratch, &post, z);
        op->norm(am_be(p), ys, groups, 1, z, am_w(p, l, SCALES), am_w(p, l, BIASES), residual, act,
                 y, stats, am_running(p, l, MEAN), am_running(p, l, VARIANCE));
    } else {
        am_dev scale = scratch, shift = am_at(scratch, ((size_t)o->filters + 15) & ~(size_t)15);
        am_dev rest = am_at(shift, ((size_t)o->filters + 15) & ~(size_t)15);
        op->norm_fold(am_be(p), o->filters, am_w(p, l, SCALES), am_w(p, l, BIASES),
                      am_w(p, l, MEAN), am_w(p, l, VARIANCE), scale, shift);
        post = (am_post){
            .scale = scale, .shift = shift, .residual = residual, .act = act, .groups = 1};
        op->conv(am_be(p), &o->conv, ys.n, x, w, prepared, rest, &post, y);
    }
}

/* With running statistics the normalisation is a fixed scale and shift of each channel:
 * dz = scale / sqrt(var + eps) * act'(y) dy.  Only error that passes on is asked for, no weights'. */
static void rest_back(const am_pass *p, const am_layer *l, const am_layer *s)
{
    const convolutional *o = l->options;
    const am_ops *op = am_o(p);
    am_shape ys = am_y_shape(p, l);
    am_act act = s ? s->act : (am_act)o->activation;
    size_t room = ((size_t)o->filters + 15) & ~(size_t)15;
    am_dev y = am_y(p, l), dy = am_dy(p, l), scale = am_scratch(p), shift = am_at(scale, room);
    if (s && am_is(am_dx(p, s, 1).d)) op->act_back(am_be(p), ys, act, y, dy, 1, am_dx(p, s, 1));
    op->act_back(am_be(p), ys, act, y, dy, 1, (am_grad){dy, 0});
    op->norm_fold(am_be(p), o->filters, am_w(p, l, SCALES), am_w(p, l, BIASES), am_w(p, l, MEAN),
                  am_w(p, l, VARIANCE), scale, shift);
    op->fill(am_be(p), (size_t)o->filters, 0, shift);
    op->affine(am_be(p), ys, dy, scale, shift, AM_LINEAR, dy);
}

static void backward(const am_pass *p, const am_layer *l)
{
    const convolutional *o = l->options;
    const am_ops *op = am_o(p);
    const am_layer *s = am_taken_along(p, l);
    am_shape ys = am_y_shape(p, l);
    am_act act = s ? s->act : (am_act)o->activation;
    am_dev y = am_y(p, l), dy = am_dy(p, l), scratch = am_scratch(p);
    am_grad in_place = {dy, 0}; /* the gradient of z takes dy's place */
    if (o->batch_normalize && !am_training(p)) {
        rest_back(p, l, s);
    } else if (o->batch_normalize) {
        am_dev z = am_saved(p, l), stats = am_at(z, op->room(am_be(p), ys));
        am_grad residual = s ? am_dx(p, s, 1) : (am_grad){AM_NOWHERE, 0};
        op->norm_back(am_be(p), ys, p->plan->trip.groups, z, am_w(p, l, SCALES), act, y, stats, dy,
                      scratch, in_place, residual, am_dw(p, l, SCALES), am_dw(p, l, BIASES));
    } else {
        if (s && am_is(am_dx(p, s, 1).d))
            op->act_back(am_be(p), ys, act, y, dy, 1, am_dx(p, s, 1));
        if (act != AM_LINEAR) op->act_back(am_be(p), ys, act, y, dy, 1, in_place);
        if (am_is(am_dw(p, l, BIASES).d)) op->bias_back(am_be(p), ys, dy, am_dw(p, l, BIASES));
    }
    op->conv_back(am_be(p), &o->conv, ys.n, am_x(p, l, 0), am_w(p, l, WEIGHTS), am_prepared(p, l),
                  dy, scratch, am_dx(p, l, 0), am_dw(p, l, WEIGHTS));
}

static void prepare(const am_net *net, const am_layer *l, am_dev value, am_dev prepared)
{
    const convolutional *o = l->options;
    net->be->ops->conv_prepare(net->be, &o->conv, am_at(value, l->param[WEIGHTS].offset), prepared);
}

static void close(am_net *net, am_layer *l)
{
    net->be->ops->conv_drop(net->be, &((convolutional *)l->options)->conv);
}

const am_layer_type am_layer_convolutional = {
    .name = "convolutional",
    .help = "convolution, with batch normalisation and activation",
    .example = "[convolutional]\nfilters=6\nsize=3\nstride=2\npad=1\ngroups=2\nbatch_normalize="
               "1\nactivation=leaky\n",
    .keys = keys,
    .options = sizeof(convolutional),
    .reads = AM_READS_X | AM_READS_Y,
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
    .prepare = prepare,
    .close = close,
};
