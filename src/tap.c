#include "tap.h"

static am_status find_layers(am_taps *s, const am_mix *m, const am_trainer *t,
                             const am_layers *given, const char *const *names, am_err *e)
{
    for (int i = 0; i < given->count; i++) s->layer[s->count++] = given->at[i];
    for (int i = 0; !given->count && names[i]; i++) {
        int l = am_net_find(&t->net, names[i]);
        if (l < 0)
            return am_fail(e, AM_EINPUT, m->loc,
                           "method=%s mixes after the layer '%s', and no layer has that name; say "
                           "where with layers=NAME,NAME",
                           m->type->name, names[i]);
        s->layer[s->count++] = l;
    }
    return AM_OK;
}

am_status am_taps_open(am_taps *s, am_mix *m, am_trainer *t, const am_layers *given,
                       const char *const *names, am_err *e)
{
    AM_TRY(find_layers(s, m, t, given, names, e));
    for (int i = 0; i < s->count; i++) {
        am_shape y = t->net.layer[s->layer[i]].out;
        size_t room = t->be->ops->room(t->be, am_batch_of(y, t->n)), pixels = (size_t)(y.h * y.w),
               values = pixels * (size_t)y.c;
        if (room > s->room) s->room = room;
        if (pixels > s->pixels) s->pixels = pixels;
        if (values > s->values) s->values = values;
    }
    s->keep = am_space_push(&t->space, s->room);
    s->spare = am_space_push(&t->space, s->room);
    s->mask = am_space_push(&t->space, (size_t)t->n * s->pixels);
    AM_TRY(am_mix_lessons(m, t, 1, e));
    for (int i = 0; i < s->count; i++) {
        int l = s->layer[i];
        const char *name = t->net.layer[l].name ? t->net.layer[l].name : t->net.layer[l].type->name;
        if (l && (!m->mixed.plan.run[l] || l >= m->mixed.plan.trip.to))
            return am_fail(e, AM_EINPUT, m->loc,
                           "layers=: the head that learns mixed images does not see '%s'; choose "
                           "layers above it",
                           name);
        if (l && m->mixed.plan.fused[l] > 0)
            return am_fail(e, AM_EINPUT, m->loc,
                           "layers=: '%s' is computed together with the [%s] right below it; "
                           "choose that one",
                           name, t->net.layer[l + 1].type->name);
    }
    return AM_OK;
}

void am_tap_learn(am_mix *m, am_trainer *t, int layer, am_tap_at *forward, am_tap_at *backward,
                  void *self)
{
    const am_ops *o = t->be->ops;
    am_dev x = am_here(&t->space, t->x), q = am_here(&t->space, t->mixed_q);
    am_dev mixed = am_here(&t->space, t->mixed_x), mask = am_here(&t->space, t->mixed_mask);
    am_dev perm = am_state_dev(t, t->pair[1].perm), lam = am_state_dev(t, t->pair[1].lam);
    o->labels_mix(t->be, t->n, t->classes, am_here(&t->space, t->q), perm, lam, q);
    m->mixed.pass.tap = (am_tap){layer, forward, backward, self};
    if (!layer) {
        o->mask_fill(t->be, t->n, t->net.input.h, t->net.input.w, lam, mask);
        o->blend(t->be, am_batch_of(t->net.input, t->n), x, perm, mask, mixed);
    }
    am_mix_teach(t, m, layer ? x : mixed, q);
}

void am_tap_keep(const am_pass *p, const am_layer *l, am_dev keep)
{
    am_o(p)->copy(am_be(p), am_o(p)->room(am_be(p), am_y_shape(p, l)), am_y(p, l), keep);
}

/* A layer that does not read its output on the way back may have lent the place to others by now. */
void am_tap_put_back(const am_pass *p, const am_layer *l, am_dev keep)
{
    if (l->type->reads & AM_READS_Y)
        am_o(p)->copy(am_be(p), am_o(p)->room(am_be(p), am_y_shape(p, l)), keep, am_y(p, l));
}
