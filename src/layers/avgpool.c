/* avgpool.c: [avgpool]            the mean of each channel over all its pixels */
#include "../net.h"

static const am_key keys[] = {{0}};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    (void)e;
    l->out = (am_shape){1, am_in_shape(net, l, 0).c, 1, 1};
    return AM_OK;
}

static void forward(const am_pass *p, const am_layer *l)
{
    am_o(p)->avgpool(am_be(p), am_x_shape(p, l, 0), am_x(p, l, 0), am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    am_grad dx = am_dx(p, l, 0);
    if (am_is(dx.d)) am_o(p)->avgpool_back(am_be(p), am_x_shape(p, l, 0), am_dy(p, l), dx);
}

const am_layer_type am_layer_avgpool = {
    .name = "avgpool",
    .help = "the mean of each channel",
    .example = "[avgpool]\n",
    .keys = keys,
    .setup = setup, .forward = forward, .backward = backward,
};
