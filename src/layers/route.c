/* route.c: [route]                y = the channels of several layers, one after the other */
#include "../net.h"

typedef struct route {
    am_layers layers;
} route;
#define OPTIONS route
static const am_key keys[] = {
    AM_LAYERS(layers, AM_REQUIRED,
              "the layers, in the order of their channels; one alone is passed on"),
    {0}
};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    const route *o = l->options;
    l->ins = 0;
    for (int i = 0; i < o->layers.count; i++) {
        am_shape x = net->layer[o->layers.at[i]].out;
        if (i && (x.h != l->out.h || x.w != l->out.w))
            return am_fail(e, AM_EINPUT, l->loc,
                           "[route] joins %dx%dx%d to %dx%d: rows and columns must agree", x.c, x.h,
                           x.w, l->out.h, l->out.w);
        l->in[l->ins++] = o->layers.at[i];
        l->out = (am_shape){1, (i ? l->out.c : 0) + x.c, x.h, x.w};
    }
    return AM_OK;
}

static void forward(const am_pass *p, const am_layer *l)
{
    for (int i = 0, first = 0; i < l->ins; first += am_x_shape(p, l, i).c, i++)
        am_o(p)->route(am_be(p), am_x_shape(p, l, i), am_x(p, l, i), first, am_y_shape(p, l),
                       am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    for (int i = 0, first = 0; i < l->ins; first += am_x_shape(p, l, i).c, i++) {
        am_grad dx = am_dx(p, l, i);
        if (am_is(dx.d))
            am_o(p)->route_back(am_be(p), am_x_shape(p, l, i), first, am_y_shape(p, l), am_dy(p, l),
                                dx);
    }
}

const am_layer_type am_layer_route = {
    .name = "route",
    .help = "joins the channels of earlier layers",
    .example = "[convolutional]\nname=a\nfilters=3\nsize=1\nactivation=tanh\n"
               "[convolutional]\nfilters=5\nsize=1\nactivation=tanh\n[route]\nlayers=-1,a\n",
    .keys = keys,
    .options = sizeof(route),
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
