/* pass.c: a plan at work; and what a layer may touch while it runs. */
#include "net.h"

static am_dev in_block(const am_pass *p, size_t at)
{
    return at == AM_NONE ? AM_NOWHERE : am_at(am_here(p->space, p->place), at);
}

am_dev am_y(const am_pass *p, const am_layer *l)
{
    if (l->index == p->plan->trip.from) return p->given;
    int s = p->plan->fused[l->index];
    return in_block(p, p->plan->y[s > 0 ? s : l->index]);
}

am_dev am_dy(const am_pass *p, const am_layer *l)
{
    int s = p->plan->fused[l->index];
    return in_block(p, p->plan->dy[s > 0 ? s : l->index]);
}

am_dev am_x(const am_pass *p, const am_layer *l, int i)
{
    return am_y(p, &p->plan->net->layer[l->in[i]]);
}
am_dev am_saved(const am_pass *p, const am_layer *l)
{
    return in_block(p, p->plan->save[l->index]);
}
am_dev am_scratch(const am_pass *p)
{
    return in_block(p, p->plan->scratch);
}
am_dev am_loss(const am_pass *p)
{
    return am_saved(p, &p->plan->net->layer[p->plan->trip.to]);
}
am_dev am_prepared(const am_pass *p, const am_layer *l)
{
    return am_at(p->w->prepared, l->prepared_at);
}

am_dev am_w(const am_pass *p, const am_layer *l, int i)
{
    return am_at(l->param[i].role == AM_LEARNED ? p->w->value : p->w->buffer, l->param[i].offset);
}

am_dev am_running(const am_pass *p, const am_layer *l, int i)
{
    return p->plan->trip.flags & AM_STILL ? AM_NOWHERE : am_w(p, l, i);
}

am_grad am_dx(const am_pass *p, const am_layer *l, int i)
{
    return (am_grad){am_dy(p, &p->plan->net->layer[l->in[i]]), p->plan->beta[l->index][i]};
}

am_grad am_dw(const am_pass *p, const am_layer *l, int i)
{
    if (!(p->plan->trip.flags & AM_GRAD_WEIGHTS)) return (am_grad){AM_NOWHERE, 0};
    return (am_grad){am_at(p->w->grad, l->param[i].offset), 1};
}

am_shape am_x_shape(const am_pass *p, const am_layer *l, int i)
{
    return am_batch_of(p->plan->net->layer[l->in[i]].out, p->plan->trip.n);
}

am_shape am_y_shape(const am_pass *p, const am_layer *l)
{
    return am_batch_of(l->out, p->plan->trip.n);
}

const am_layer *am_taken_along(const am_pass *p, const am_layer *l)
{
    int s = p->plan->fused[l->index];
    return s > 0 ? &p->plan->net->layer[s] : NULL;
}

am_status am_pass_make(am_pass *p, am_plan *plan, am_net *net, am_trip trip, const am_weights *w,
                       am_space *space, am_err *e)
{
    AM_TRY(am_plan_make(plan, net, trip, e));
    *p = (am_pass){.plan = plan, .w = w, .space = space, .scale = 1};
    p->place = am_space_push(space, plan->floats);
    return AM_OK;
}

void am_forward(const am_pass *p)
{
    const am_net *net = p->plan->net;
    for (int i = p->plan->trip.from + 1; i < net->layers; i++) {
        net->be->layer = i;
        if (p->plan->run[i] && p->plan->fused[i] >= 0)
            net->layer[i].type->forward(p, &net->layer[i]);
        if (i == p->tap.layer) p->tap.forward(p, &net->layer[i], p->tap.user);
    }
    net->be->layer = 0;
}

void am_backward(const am_pass *p)
{
    const am_net *net = p->plan->net;
    for (int i = net->layers - 1; i > p->plan->trip.from; i--) {
        net->be->layer = i;
        if (i == p->tap.layer) p->tap.backward(p, &net->layer[i], p->tap.user);
        if (p->plan->run[i] && p->plan->fused[i] >= 0)
            net->layer[i].type->backward(p, &net->layer[i]);
    }
    net->be->layer = 0;
}
