/* dropout.c: [dropout]            training: each number is 0 with `probability`, else x / (1 - probability)
 *
 * Chance comes from (the step's seed, the layer, the number's place), so the way back draws the
 * same mask again and nothing is kept.  In inference y = x.  Srivastava et al. 2014. */
#include "../net.h"

typedef struct dropout {
    double probability;
} dropout;
#define OPTIONS dropout
static const am_key keys[] = {AM_REAL(probability, 0, 0.999, "0.5", "of a number being dropped"),
                              {0}};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    (void)e;
    l->out = am_in_shape(net, l, 0);
    return AM_OK;
}

static void forward(const am_pass *p, const am_layer *l)
{
    const dropout *o = l->options;
    am_shape s = am_y_shape(p, l);
    if (am_training(p))
        am_o(p)->dropout(am_be(p), s, (float)o->probability, p->seed, l->index, am_x(p, l, 0),
                         am_y(p, l));
    else
        am_o(p)->add(am_be(p), s, 1, am_x(p, l, 0), 0, AM_NOWHERE, AM_LINEAR, am_y(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    const dropout *o = l->options;
    am_grad dx = am_dx(p, l, 0);
    am_shape s = am_y_shape(p, l);
    if (!am_is(dx.d)) return;
    if (am_training(p))
        am_o(p)->dropout_back(am_be(p), s, (float)o->probability, p->seed, l->index, am_dy(p, l),
                              dx);
    else
        am_o(p)->act_back(am_be(p), s, AM_LINEAR, am_y(p, l), am_dy(p, l), 1, dx);
}

const am_layer_type am_layer_dropout = {
    .name = "dropout",
    .help = "forgets numbers by chance while training",
    .example = "[dropout]\nprobability=0.3\n",
    .keys = keys,
    .options = sizeof(dropout),
    .reads = AM_READS_Y,
    .setup = setup,
    .forward = forward,
    .backward = backward,
};
