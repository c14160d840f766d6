/* activation.c: [activation]      y = act(x); the gradient is taken from y alone */
#include "../net.h"

typedef struct activation {
    int activation;
} activation;
#define OPTIONS activation
static const am_key keys[] = {AM_CHOICE(activation, AM_ACTS, "linear", "applied to each number"),
                              {0}};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    (void)e;
    l->out = am_in_shape(net, l, 0);
    l->act = (am_act)((const activation *)l->options)->activation;
    return AM_OK;
}

static void forward(const am_pass *p, const am_layer *l)
{
    am_o(p)->add(am_be(p), am_y_shape(p, l), 1, am_x(p, l, 0), 0, AM_NOWHERE, l->act, am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    am_grad dx = am_dx(p, l, 0);
    if (am_is(dx.d))
        am_o(p)->act_back(am_be(p), am_y_shape(p, l), l->act, am_y(p, l), am_dy(p, l), 1, dx);
}

const am_layer_type am_layer_activation = {
    .name = "activation",
    .help = "a function of each number by itself",
    .example = "[activation]\nactivation=elu\n",
    .keys = keys,
    .options = sizeof(activation),
    .reads = AM_READS_Y,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
