/* avgpool.c: [avgpool]            the mean of each channel over all its pixels, or over windows side by side
 *
 * Over windows it is the transpose of [upsample] with scale 1 / size^2, so each goes forward as the other goes
 * back. */
#include "../net.h"

typedef struct avgpool {
    int size;
} avgpool;
#define OPTIONS avgpool
static const am_key keys[] = {
    AM_INT(size, 0, 4096, "0", "of the windows, both ways; 0: one window, the whole map"), {0}
};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    const avgpool *o = l->options;
    am_shape x = am_in_shape(net, l, 0);
    l->out = (am_shape){1, x.c, 1, 1};
    if (!o->size) return AM_OK;
    if (x.h % o->size || x.w % o->size)
        return am_fail(e, AM_EINPUT, l->loc,
                       "size=%d: its input of %dx%d does not divide into such windows", o->size,
                       x.w, x.h);
    l->out.h = x.h / o->size;
    l->out.w = x.w / o->size;
    return AM_OK;
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    const avgpool *o = l->options;
    (void)save;
    if (o->size && t->flags & (AM_GRAD_WEIGHTS | AM_GRAD_FROM))
        *scratch = net->be->ops->room(net->be, am_batch_of(am_in_shape(net, l, 0), t->n));
}

static float share(const avgpool *o) { return 1.0f / (float)(o->size * o->size); }

static void forward(const am_pass *p, const am_layer *l)
{
    const avgpool *o = l->options;
    if (!o->size)
        am_o(p)->avgpool(am_be(p), am_x_shape(p, l, 0), am_x(p, l, 0), am_y(p, l));
    else
        am_o(p)->upsample_back(am_be(p), am_y_shape(p, l), o->size, share(o), am_x(p, l, 0),
                               (am_grad){am_y(p, l), 0});
}

static void backward(const am_pass *p, const am_layer *l)
{
    const avgpool *o = l->options;
    am_shape xs = am_x_shape(p, l, 0);
    am_grad dx = am_dx(p, l, 0);
    if (!am_is(dx.d)) return;
    if (!o->size) {
        am_o(p)->avgpool_back(am_be(p), xs, am_dy(p, l), dx);
        return;
    }
    am_dev to = dx.beta == 0 ? dx.d : am_scratch(p);
    am_o(p)->upsample(am_be(p), am_y_shape(p, l), o->size, share(o), am_dy(p, l), to);
    if (dx.beta != 0) am_o(p)->add(am_be(p), xs, dx.beta, dx.d, 1, to, AM_LINEAR, dx.d);
}

const am_layer_type am_layer_avgpool = {
    .name = "avgpool",
    .help = "the mean of each channel, over its whole map or over windows",
    .example = "[avgpool]\nsize=2\n\n[avgpool]\n",
    .keys = keys,
    .options = sizeof(avgpool),
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
};
