/* connected.c: [connected]
 *
 *   y = act(W x + b)            W [output][input], x flattened as channels, rows, columns
 *
 * With batch_normalize, W x is normalised over the batch and b is the shift. */
#include "../net.h"

typedef struct connected {
    int output, batch_normalize, activation;
} connected;

#define OPTIONS connected
static const am_key keys[] = {AM_INT(output, 1, 1e6, "1", "numbers that come out"),
                              AM_FLAG(batch_normalize, "0", "normalise the output over the batch"),
                              AM_CHOICE(activation, AM_ACTS, "logistic", "applied to each output"),
                              {0}};

enum { WEIGHTS, BIASES, SCALES, MEAN, VARIANCE };

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    const connected *o = l->options;
    size_t out = (size_t)o->output, w[2] = {out, am_count(am_in_shape(net, l, 0))};
    l->out = (am_shape){1, o->output, 1, 1};
    AM_TRY(am_want(l, "weights", AM_LEARNED, AM_INIT_DENSE, 0, 2, w, e));
    AM_TRY(am_want(l, "biases", AM_LEARNED, AM_INIT_ZERO, AM_PARAM_BIAS, 1, &out, e));
    if (o->batch_normalize) {
        AM_TRY(am_want(l, "scales", AM_LEARNED, AM_INIT_ONE, AM_PARAM_NORM, 1, &out, e));
        AM_TRY(am_want(l, "rolling_mean", AM_BUFFER, AM_INIT_ZERO, 0, 1, &out, e));
        AM_TRY(am_want(l, "rolling_variance", AM_BUFFER, AM_INIT_ONE, 0, 1, &out, e));
    }
    l->macs = (double)out * (double)w[1];
    return AM_OK;
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    const connected *o = l->options;
    am_shape y = am_batch_of(l->out, t->n);
    if (!o->batch_normalize) return;
    *scratch = net->be->ops->norm_saved(net->be, y, t->groups);
    *save = net->be->ops->room(net->be, y) + *scratch;
    if (*scratch < 2 * am_count(l->out)) *scratch = 2 * am_count(l->out);
}

static void forward(const am_pass *p, const am_layer *l)
{
    const connected *o = l->options;
    const am_ops *op = am_o(p);
    am_backend *be = am_be(p);
    am_shape ys = am_y_shape(p, l), xs = am_x_shape(p, l, 0);
    am_dev y = am_y(p, l);
    am_act act = (am_act)o->activation;
    if (!o->batch_normalize) {
        op->dense(be, xs, o->output, am_x(p, l, 0), am_w(p, l, WEIGHTS), am_w(p, l, BIASES), y);
        if (act != AM_LINEAR) op->add(be, ys, 1, y, 0, AM_NOWHERE, act, y);
        return;
    }
    am_dev z = am_saved(p, l), stats = am_at(z, op->room(be, ys));
    op->dense(be, xs, o->output, am_x(p, l, 0), am_w(p, l, WEIGHTS), AM_NOWHERE, z);
    if (am_training(p)) {
        op->norm(be, ys, p->plan->trip.groups, 0, z, am_w(p, l, SCALES), am_w(p, l, BIASES),
                 AM_NOWHERE, act, y, stats, am_running(p, l, MEAN), am_running(p, l, VARIANCE));
    } else {
        am_dev scale = am_scratch(p), shift = am_at(scale, (size_t)o->output);
        op->norm_fold(be, o->output, am_w(p, l, SCALES), am_w(p, l, BIASES), am_w(p, l, MEAN),
                      am_w(p, l, VARIANCE), scale, shift);
        op->affine(be, ys, z, scale, shift, act, y);
    }
}

static void backward(const am_pass *p, const am_layer *l)
{
    const connected *o = l->options;
    const am_ops *op = am_o(p);
    am_backend *be = am_be(p);
    am_shape ys = am_y_shape(p, l);
    am_dev y = am_y(p, l), dy = am_dy(p, l);
    am_grad in_place = {dy, 0}, db = am_dw(p, l, BIASES);
    if (o->batch_normalize && !am_training(p)) { /* a fixed scale of each output */
        am_dev scale = am_scratch(p), shift = am_at(scale, (size_t)o->output);
        op->act_back(be, ys, (am_act)o->activation, y, dy, 1, in_place);
        op->norm_fold(be, o->output, am_w(p, l, SCALES), am_w(p, l, BIASES), am_w(p, l, MEAN),
                      am_w(p, l, VARIANCE), scale, shift);
        op->fill(be, (size_t)o->output, 0, shift);
        op->affine(be, ys, dy, scale, shift, AM_LINEAR, dy);
        db.d = AM_NOWHERE;
    } else if (o->batch_normalize) {
        am_dev z = am_saved(p, l), stats = am_at(z, op->room(be, ys));
        op->norm_back(be, ys, p->plan->trip.groups, z, am_w(p, l, SCALES), (am_act)o->activation, y,
                      stats, dy, am_scratch(p), in_place, (am_grad){AM_NOWHERE, 0},
                      am_dw(p, l, SCALES), db);
        db.d = AM_NOWHERE;
    } else if (o->activation != AM_LINEAR) {
        op->act_back(be, ys, (am_act)o->activation, y, dy, 1, in_place);
    }
    op->dense_back(be, am_x_shape(p, l, 0), o->output, am_x(p, l, 0), am_w(p, l, WEIGHTS), dy,
                   am_dx(p, l, 0), am_dw(p, l, WEIGHTS), db);
}

const am_layer_type am_layer_connected = {
    .name = "connected",
    .help = "every output sees every input",
    .example = "[connected]\noutput=5\nactivation=tanh\n",
    .keys = keys,
    .options = sizeof(connected),
    .reads = AM_READS_X | AM_READS_Y,
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
};
