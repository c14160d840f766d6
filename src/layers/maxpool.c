/* maxpool.c: [maxpool]
 *
 * The greatest number of each window.  As in Darknet, padding is the total of both sides (size - 1
 * unless given): windows start at -(padding/2), what lies outside does not count, and the output is
 * (h + padding - size)/stride + 1.  The way back goes to the winner; on a tie, to the first. */
#include "../net.h"

typedef struct maxpool {
    int size, stride, padding;
} maxpool;
#define OPTIONS maxpool
static const am_key keys[] = {
    AM_INT(size, 0, 4096, "0", "of the window, both ways; 0: the stride"),
    AM_INT(stride, 1, 4096, "1", "both ways"),
    AM_INT(padding, -1, 4096, "-1", "in total, both sides together; -1: size - 1"),
    {0}
};

static am_status setup(am_net *net, am_layer *l, am_err *e)
{
    maxpool *o = l->options;
    am_shape x = am_in_shape(net, l, 0);
    if (!o->size) o->size = o->stride;
    if (o->padding < 0) o->padding = o->size - 1;
    if (o->padding >= 2 * o->size)
        return am_fail(e, AM_EINPUT, l->loc,
                       "padding=%d would leave windows with nothing in them; keep it below %d",
                       o->padding, 2 * o->size);
    if (x.h + o->padding < o->size || x.w + o->padding < o->size)
        return am_fail(e, AM_EINPUT, l->loc, "size=%d does not fit into its input of %dx%d",
                       o->size, x.h, x.w);
    l->out = (am_shape){1, x.c, (x.h + o->padding - o->size) / o->stride + 1,
                        (x.w + o->padding - o->size) / o->stride + 1};
    return AM_OK;
}

static void needs(const am_net *net, const am_layer *l, const am_trip *t, size_t *save,
                  size_t *scratch)
{
    (void)scratch;
    if (t->flags & (AM_GRAD_WEIGHTS | AM_GRAD_FROM))
        *save = net->be->ops->room(net->be, am_batch_of(l->out, t->n));
}

static am_pool geometry(const am_layer *l)
{
    const maxpool *o = l->options;
    return (am_pool){o->size, o->stride, o->padding};
}

static void forward(const am_pass *p, const am_layer *l)
{
    am_o(p)->maxpool(am_be(p), am_x_shape(p, l, 0), am_y_shape(p, l), geometry(l), am_x(p, l, 0),
                     am_y(p, l), am_saved(p, l));
}

static void backward(const am_pass *p, const am_layer *l)
{
    am_grad dx = am_dx(p, l, 0);
    if (am_is(dx.d))
        am_o(p)->maxpool_back(am_be(p), am_x_shape(p, l, 0), am_y_shape(p, l), geometry(l),
                              am_saved(p, l), am_dy(p, l), dx);
}

const am_layer_type am_layer_maxpool = {
    .name = "maxpool",
    .help = "the greatest number of each window",
    .example = "[maxpool]\nsize=3\nstride=2\n",
    .keys = keys,
    .options = sizeof(maxpool),
    .setup = setup,
    .needs = needs,
    .forward = forward,
    .backward = backward,
};
