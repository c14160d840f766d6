/* upsample.c: [upsample]          each pixel becomes stride x stride pixels, times scale */
#include "../net.h"

typedef struct upsample {
    int stride;
    double scale;
} upsample;
#define OPTIONS upsample
static const am_key keys[] = {AM_INT(stride, 1, 64, "2", "how much larger, both ways"),
                              AM_REAL(scale, -1000, 1000, "1", "times each number"),
                              {0}};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    const upsample *o = l->options;
    am_shape x = am_in_shape(net, l, 0);
    (void)e;
    l->out = (am_shape){1, x.c, x.h * o->stride, x.w * o->stride};
    return AM_OK;
}

static void forward(const am_pass *p, const am_layer *l)
{
    const upsample *o = l->options;
    am_o(p)->upsample(am_be(p), am_x_shape(p, l, 0), o->stride, (float)o->scale, am_x(p, l, 0),
                      am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    const upsample *o = l->options;
    am_grad dx = am_dx(p, l, 0);
    if (am_is(dx.d))
        am_o(p)->upsample_back(am_be(p), am_x_shape(p, l, 0), o->stride, (float)o->scale,
                               am_dy(p, l), dx);
}

const am_layer_type am_layer_upsample = {
    .name = "upsample",
    .help = "repeats each pixel",
    .example = "[upsample]\nstride=2\nscale=0.5\n",
    .keys = keys,
    .options = sizeof(upsample),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
