/* batchnorm.c: [batchnorm]        y = scale (x - mean)/sqrt(var + eps) + bias
 *
 * Mean and biased variance m, v are taken over samples and pixels of a channel; eps = 1e-5.  With
 * xhat = (x - m)/sqrt(v + eps) and M numbers in a channel, both m and v depend on every x, so
 *
 *   dbias = sum dy          dscale = sum dy xhat
 *   dx = scale / sqrt(v + eps) * (dy - dbias / M - xhat * dscale / M)
 *
 * The running statistics (0.9 old + 0.1 new, unbiased variance) serve inference.  Where the plan
 * has fused the [activation] below, it is applied in the same pass over memory. */
#include "../net.h"

static const am_key keys[] = {{0}};

enum { BIASES, SCALES, MEAN, VARIANCE };

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    l->out = am_in_shape(net, l, 0);
    size_t c = (size_t)l->out.c;
    AM_TRY(am_want(l, "biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS | AM_PARAM_NORM, 1, &c, e));
    AM_TRY(am_want(l, "scales", AM_LEARNED, AM_INIT_ONE, AM_PARAM_NORM, 1, &c, e));
    AM_TRY(am_want(l, "rolling_mean", AM_BUFFER, AM_INIT_ZERO, 0, 1, &c, e));
    return am_want(l, "rolling_variance", AM_BUFFER, AM_INIT_ONE, 0, 1, &c, e);
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    *save = net->be->ops->norm_saved(net->be, am_batch_of(l->out, t->n), t->groups);
    *scratch = *save > 2 * (size_t)l->out.c ? *save : 2 * (size_t)l->out.c;
}

static am_act act_of(const am_pass *p, const am_layer *l)
{
    const am_layer *below = am_taken_along(p, l);
    return below ? below->act : AM_LINEAR;
}

static void forward(const am_pass *p, const am_layer *l)
{
    const am_ops *op = am_o(p);
    am_shape s = am_y_shape(p, l);
    am_act act = act_of(p, l);
    if (am_training(p)) {
        op->norm(am_be(p), s, p->plan->trip.groups, 0, am_x(p, l, 0), am_w(p, l, SCALES),
                 am_w(p, l, BIASES), AM_NOWHERE, act, am_y(p, l), am_saved(p, l),
                 am_running(p, l, MEAN), am_running(p, l, VARIANCE));
        return;
    }
    am_dev scale = am_scratch(p), shift = am_at(scale, (size_t)l->out.c);
    op->norm_fold(am_be(p), l->out.c, am_w(p, l, SCALES), am_w(p, l, BIASES), am_w(p, l, MEAN),
                  am_w(p, l, VARIANCE), scale, shift);
    op->affine(am_be(p), s, am_x(p, l, 0), scale, shift, act, am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    am_grad dx = am_dx(p, l, 0);
    am_act act = act_of(p, l);
    if (!am_training(p)) { /* dx = scale / sqrt(running variance + eps) * act'(y) dy */
        const am_ops *op = am_o(p);
        am_shape s = am_y_shape(p, l);
        am_dev dy = am_dy(p, l), scale = am_scratch(p), shift = am_at(scale, (size_t)l->out.c);
        if (!am_is(dx.d)) return;
        if (act != AM_LINEAR) op->act_back(am_be(p), s, act, am_y(p, l), dy, 1, (am_grad){dy, 0});
        op->norm_fold(am_be(p), l->out.c, am_w(p, l, SCALES), am_w(p, l, BIASES), am_w(p, l, MEAN),
                      am_w(p, l, VARIANCE), scale, shift);
        op->fill(am_be(p), (size_t)l->out.c, 0, shift);
        op->affine(am_be(p), s, dy, scale, shift, AM_LINEAR, dy);
        op->act_back(am_be(p), s, AM_LINEAR, dy, dy, 1, dx);
        return;
    }
    am_o(p)->norm_back(am_be(p), am_y_shape(p, l), p->plan->trip.groups, am_x(p, l, 0),
                       am_w(p, l, SCALES), act, am_y(p, l), am_saved(p, l), am_dy(p, l),
                       am_scratch(p), dx, (am_grad){AM_NOWHERE, 0}, am_dw(p, l, SCALES),
                       am_dw(p, l, BIASES));
}

const am_layer_type am_layer_batchnorm = {
    .name = "batchnorm",
    .help = "batch normalisation as a layer of its own",
    .example = "[batchnorm]\n",
    .keys = keys,
    .reads = AM_READS_X | AM_READS_Y,
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
};
