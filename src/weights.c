/* weights.c: the numbers that learn, as flat blocks.
 *
 * Offsets come from the layers' declarations, so the optimiser and the teacher's average are flat
 * operations, and saving needs no code per layer. */
#include "net.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static am_status block(const am_net *net, am_dev *d, size_t floats, am_err *e)
{
    *d = AM_NOWHERE;
    if (!floats) return AM_OK;
    *d = net->be->ops->alloc(net->be, floats);
    return am_is(*d) ? AM_OK
                     : am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for %zu parameters", floats);
}

am_status am_weights_open(am_weights *w, const am_net *net, int learns, am_err *e)
{
    *w = (am_weights){0};
    AM_TRY(block(net, &w->value, net->learned, e));
    AM_TRY(block(net, &w->buffer, net->buffers, e));
    AM_TRY(block(net, &w->prepared, net->prepared, e));
    if (learns) {
        AM_TRY(block(net, &w->grad, net->learned, e));
        AM_TRY(block(net, &w->velocity, net->learned, e));
    }
    return AM_OK;
}

void am_weights_close(am_weights *w, const am_net *net)
{
    am_dev all[] = {w->value, w->buffer, w->prepared, w->grad, w->velocity};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (am_is(all[i])) net->be->ops->free(net->be, all[i]);
    *w = (am_weights){0};
}

size_t am_weights_bytes(const am_net *net, int learns)
{
    return 4 * (net->learned * (learns ? 3 : 1) + net->buffers + net->prepared);
}

/* methods.md 3.4.  Convolution: fan_out N(0, 2 / (filters k k)); pytorch U(+-1/sqrt(fan_in));
 * darknet N(0, 2 / fan_in).  Dense: N(0, 0.01^2); U(+-1/sqrt(in)), biases too; U(+-1) sqrt(2/in). */
static void initial(const am_net *net, const am_layer *l, const am_param *p, float *w, am_rng *r)
{
    int scheme = net->options.init;
    double fan_in = 1, fan_out = p->dims > 1 ? (double)p->dim[0] : 1;
    for (int i = 1; i < p->dims; i++) {
        fan_in *= (double)p->dim[i];
        if (i > 1) fan_out *= (double)p->dim[i];
    }
    double normal = 0, uniform = 0, constant = p->init == AM_INIT_ONE;
    switch (p->init) {
    case AM_INIT_CONV:
        if (scheme == AM_INITS_FAN_OUT)
            normal = sqrt(2 / fan_out);
        else if (scheme == AM_INITS_PYTORCH)
            uniform = 1 / sqrt(fan_in);
        else
            normal = sqrt(2 / fan_in);
        break;
    case AM_INIT_DENSE:
        if (scheme == AM_INITS_FAN_OUT)
            normal = 0.01;
        else if (scheme == AM_INITS_PYTORCH)
            uniform = 1 / sqrt(fan_in);
        else
            uniform = sqrt(2 / fan_in);
        break;
    case AM_INIT_SMALL: normal = 0.01; break;
    case AM_INIT_ZERO:
        if (scheme == AM_INITS_PYTORCH && p->kind == AM_PARAM_BIAS && l->params == 2 &&
            l->param[0].init == AM_INIT_DENSE)
            uniform = 1 / sqrt((double)l->param[0].dim[1]);
        break;
    case AM_INIT_ONE:
        if (scheme == AM_INITS_FAN_OUT && l->zero_init && !strcmp(p->name, "scales")) constant = 0;
        break;
    }
    for (size_t i = 0; i < p->count; i++)
        w[i] = (float)(normal > 0    ? normal * am_rng_normal(r)
                       : uniform > 0 ? am_rng_between(r, -uniform, uniform)
                                     : constant);
}

am_status am_weights_init(am_weights *w, const am_net *net, uint64_t seed, am_err *e)
{
    float *value = calloc(net->learned + 1, sizeof *value),
          *buffer = calloc(net->buffers + 1, sizeof *buffer);
    if (!value || !buffer) {
        free(value);
        free(buffer);
        return am_fail(e, AM_ENOMEM, AM_NOPLACE, "no memory for %zu parameters", net->learned);
    }
    for (int i = 1; i < net->layers; i++)
        for (int k = 0; k < net->layer[i].params; k++) {
            const am_param *p = &net->layer[i].param[k];
            am_rng r = am_rng_at(seed, (uint64_t)i, (uint64_t)k);
            initial(net, &net->layer[i], p, (p->role == AM_LEARNED ? value : buffer) + p->offset,
                    &r);
        }
    if (net->learned) net->be->ops->upload(net->be, net->learned, value, w->value);
    if (net->buffers) net->be->ops->upload(net->be, net->buffers, buffer, w->buffer);
    free(value);
    free(buffer);
    am_weights_prepare(net, w);
    return AM_OK;
}

void am_weights_copy(const am_net *net, const am_weights *from, am_weights *to)
{
    if (net->learned) net->be->ops->copy(net->be, net->learned, from->value, to->value);
    if (net->buffers) net->be->ops->copy(net->be, net->buffers, from->buffer, to->buffer);
}

void am_weights_prepare(const am_net *net, const am_weights *w)
{
    for (int i = 1; i < net->layers; i++) {
        const am_layer *l = &net->layer[i];
        if (l->type->prepare)
            l->type->prepare(net, l, w->value, am_at(w->prepared, l->prepared_at));
    }
}
